"""A whole embedded stack as a child process, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from farm import processes_with
from gallery_mirror import wait_until

from hashreel.processes import python_command
from hashreel.stack import running_stack

START_S = 180.0


@contextmanager
def embedded_stack(folder: Path, **environment: str) -> Iterator[str]:
    """Run ``hashreel up`` over a folder; yield its address."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            python_command("up", "--port", "0", "--data", str(folder)),
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
        try:
            yield _wait(process, folder)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], folder: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        url = running_stack(folder)
        if url is not None:
            return url
        time.sleep(0.1)
    raise RuntimeError((folder / "up.log").read_text())


class Stack:
    """One run of ``hashreel up`` over a folder, to be looked into and killed.

    Args:
        data: The folder.
        arguments: Of the command; a free port if there are none.
        environment: Variables beside the present ones.
    """

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.data = data
        self.log = data.parent / f"up-{data.name}.log"
        command = python_command("up", "--data", str(data), *(arguments or ("--port", "0")))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, stdout=log, stderr=log
            )

    @property
    def url(self) -> str:
        """Return the address at which it answers; empty if it does not."""
        return running_stack(self.data) or ""

    def wait_up(self) -> None:
        """Wait until it answers."""
        wait_until(lambda: bool(self.url) or self.process.poll() is not None, "the stack comes up", seconds=START_S)
        assert self.process.poll() is None, self.log.read_text()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return how the command ended."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what a GET, or a POST of a document, is answered with."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as reply:
            return json.load(reply)

    def processes(self) -> list[int]:
        """Return the ids of all that runs for this folder."""
        return processes_with(str(self.data))

    def children(self) -> dict[str, int]:
        """Return the process ids of the direct children by their names: redis, serve, worker."""
        words = {"serve": "\0serve\0", "worker": "\0worker\0", "redis": "unixsocket"}
        found = {}
        for pid in self.processes():
            with suppress(OSError):
                parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
                command = Path(f"/proc/{pid}/cmdline").read_text()
                if int(parent) == self.process.pid:
                    found |= {name: pid for name, word in words.items() if word in command}
        return found

    def kill_child(self, name: str) -> None:
        """Kill a child and wait until there is another one."""
        before = self.children()[name]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: self.children().get(name, before) != before, f"{name} is back", seconds=START_S)

    def socket_folder(self) -> Path:
        """Return the folder of the socket of its Redis."""
        return Path(json.loads((self.data / "stack.json").read_text())["redis_url"].split(":")[1].split("?")[0]).parent
