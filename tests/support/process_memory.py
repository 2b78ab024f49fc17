"""Memory of worker processes while they work, looked at by a thread."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from farm import processes_with

MIB = 2**20


class MemoryWatch:
    """Notes the largest memory of each worker process of a Redis, until it ends.

    Attributes:
        peaks: Bytes by process id: resident pages, those that are shared counted in part (PSS).

    Args:
        address: Of the Redis.
    """

    def __init__(self, address: str) -> None:
        self.peaks: dict[int, int] = {}
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def end(self) -> dict[int, int]:
        """Stop looking and return the peaks."""
        self._stop.set()
        self._thread.join(30)
        return self.peaks

    def _work(self) -> None:
        while not self._stop.wait(0.2):
            for pid in processes_with(self._address):
                with suppress(OSError):
                    if b"\0--single\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        self.peaks[pid] = max(self.peaks.get(pid, 0), pss(pid))


def pss(pid: int) -> int:
    """Return a process's proportional share of the memory, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * 1024
    return 0
