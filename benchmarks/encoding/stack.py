"""Redis and `hashreel worker` as processes, and the processor time that they take."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from encoder.model import Model
from hashreel.processes import Child, python_command
from hashreel.schemas import EnqueueRequest, JobModel
from hashreel.settings import Settings
from hashreel.stack import redis_program
from indexer.store import Store, connect
from workers.app import make_app
from workers.queue import JobQueue
from workers.sending import Sender
from workers.units import Units

__all__ = ["Load", "Stack", "open_stack"]

WAIT_S = 600.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What one job took.

    Attributes:
        frames: Key-frames that were encoded.
        units: Units of work, plans included.
        wall_s: From the request to the last commit.
        workers_cpu_s: Processor seconds of all worker processes, their supervisor included.
        redis_cpu_s: Processor seconds of Redis.
    """

    frames: int
    units: int
    wall_s: float
    workers_cpu_s: float
    redis_cpu_s: float

    @property
    def rate(self) -> float:
        """Key-frames a second."""
        return self.frames / self.wall_s


class Stack:
    """A Redis for data and queues, with workers that come and go.

    Args:
        folder: For Redis; its folder ``clips`` is the source root ``clips``.
        model: Whose codes are made.
        server: The running Redis.
    """

    def __init__(self, folder: Path, model: Model, server: subprocess.Popen[bytes]) -> None:
        socket = folder / "redis.sock"
        self.settings = Settings(
            redis_url=f"unix://{socket}?db=0",
            broker_url=f"unix://{socket}?db=1",
            data=folder,
            roots={"clips": folder / "clips"},
            device="cpu",
            log_level="warning",
        )
        self.folder, self._server = folder, server
        self.store = Store(connect(f"unix://{socket}?db=0"))
        self._app = make_app(self.settings)
        self._queue = JobQueue(self.store, Units(self.store.redis, self.store.keys), Sender(self._app), self.settings)
        self.store.ensure_collection("main", model=model.name, fingerprint=model.fingerprint, bits=model.bits)

    def close(self) -> None:
        """Give the connections back."""
        self._app.close()
        self.store.redis.close()

    @contextmanager
    def workers(self, *, processes: int = 1, threads: int = 1, decoders: int = 1) -> Iterator[Child]:
        """Run ``hashreel worker`` on the CPU until the end of the block; ready when a first message is taken."""
        variables = {"HASHREEL_THREADS": str(threads), "HASHREEL_DECODERS": str(decoders), "OMP_NUM_THREADS": "1"}
        command = python_command("worker", "--gpus", "none", "--processes", str(processes), "--drain", "5")
        log = self.folder / "worker.log"
        child = Child("worker", command, environment=self.settings.environment() | variables, log=log)
        child.start()
        try:
            self._wait(lambda: self._ready(child) >= processes * decoders, "the workers are ready")
            yield child
        finally:
            child.signal(signal.SIGTERM)
            child.join(30)

    def _ready(self, worker: Child) -> int:
        if worker.exit_code is not None:
            raise SystemExit("the workers did not start:\n" + (self.folder / "worker.log").read_text()[-4000:])
        # A slot has a lease only while it works or its process renews it; either way the consumer is up.
        return len(self.store.redis.keys(self.store.keys.worker("*")))

    def run(self, worker: Child, source: str, policy: dict[str, Any]) -> Load:
        """Index a folder under ``clips`` once more; return what that took."""
        before = self._cpu(worker)
        begun = time.perf_counter()
        job = self._queue.enqueue(EnqueueRequest(sources=[f"clips/{source}"], policy=policy, again=True)).id  # type: ignore[arg-type]
        self._wait(lambda: self._job(job).state == "done", "the job is done")
        wall_s = time.perf_counter() - begun
        workers_cpu_s, redis_cpu_s = (after - first for after, first in zip(self._cpu(worker), before, strict=True))
        done = self._job(job)
        if done.counts.indexed != done.counts.total:
            raise SystemExit(f"{done.counts.total - done.counts.indexed} videos were not indexed")
        return Load(done.frames, done.chunks + done.counts.total, wall_s, workers_cpu_s, redis_cpu_s)

    def memory(self, worker: Child) -> int:
        """Return the greatest memory so far of the worker processes together, in bytes."""
        assert worker.pid is not None
        return sum(map(_peak_bytes, _children_of(worker.pid)))

    def _job(self, job: str) -> JobModel:
        return self._queue.job(job)

    def _cpu(self, worker: Child) -> tuple[float, float]:
        assert worker.pid is not None
        family = [worker.pid, *_children_of(worker.pid)]
        return sum(map(_cpu_s, family)), _cpu_s(self._server.pid)

    def _wait(self, is_so: Any, what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not is_so():
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {WAIT_S:.0f} s: {what}")
            time.sleep(0.03)


@contextmanager
def open_stack(model: Model) -> Iterator[Stack]:
    """Yield a stack over a temporary folder, without workers."""
    with tempfile.TemporaryDirectory(prefix="hashreel-bench-") as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        options = {"port": "0", "unixsocket": str(folder / "redis.sock"), "dir": name, "save": "", "appendonly": "yes"}
        command = [redis_program(), *(part for key, value in options.items() for part in (f"--{key}", value))]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for_redis(folder / "redis.sock")
            stack = Stack(folder, model, server)
            yield stack
            stack.close()
        finally:
            server.terminate()
            server.wait(30)


def _wait_for_redis(socket: Path) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    client.close()


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_children_of(int(child))]
    return found


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has taken, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
