"""How many processes, network threads and decoders a machine is given."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Sizes", "usable_cores", "worker_sizes"]

CORES_A_PROCESS = 8
"""One process is as fast as two on two cores, for half the memory (``python -m benchmarks.encoding --sizes``). On many
cores its threads would wait for Python's lock; eight a process is reasoned, not measured."""
MOST_DECODERS = 32
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Sizes:
    """What the processes of a machine are.

    Attributes:
        processes: How many there are.
        threads: Threads of the network in each, on CPUs.
        decoders: Chunks that each decodes at once.
    """

    processes: int
    threads: int
    decoders: int


def usable_cores() -> int:
    """Return the number of cores that this process may use: by affinity and, in a container, by quota."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = _CPU_MAX.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def worker_sizes(cores: int, gpus: int, *, processes: int = 0, threads: int = 0, decoders: int = 0) -> Sizes:
    """Return the sizes for a machine; those that are named (not 0) stay.

    Args:
        cores: Cores that may be used.
        gpus: GPUs, one process each; 0 for the CPU.
        processes: Processes on the CPU.
        threads: Threads of the network in each process.
        decoders: Chunks that each process decodes at once.

    Example:
        >>> worker_sizes(2, 0)
        Sizes(processes=1, threads=2, decoders=2)
        >>> worker_sizes(64, 4)
        Sizes(processes=4, threads=16, decoders=16)
    """
    processes = gpus or processes or -(-cores // CORES_A_PROCESS)
    share = max(1, cores // processes)
    return Sizes(processes, threads or share, decoders or min(share, MOST_DECODERS))
