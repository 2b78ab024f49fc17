"""Everything around workers in one place: a Redis, records, a job queue, and workers here or as processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gallery_mirror import wait_until
from redis_server import RedisServer

from encoder.batching import Batcher
from encoder.clips import generate_clip
from encoder.model import Model
from hashreel.processes import Child, python_command
from hashreel.schemas import EnqueueRequest, JobModel
from hashreel.settings import Settings
from indexer.chunks import decode_chunk
from indexer.store import Store
from workers.app import make_app
from workers.encoding import UnitRunner
from workers.messages import LANES, Unit, queue_name
from workers.queue import JobQueue
from workers.room import Room
from workers.sending import Dispatcher, Sender
from workers.units import Units

Codes = dict[tuple[str, int], tuple[list[int], bytes]]


def make_clips(folder: Path, count: int, *, seconds: float = 3.0) -> list[Path]:
    """Write short clips that are different from each other."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"clip {number:02}.mp4" for number in range(count)]
    for seed, path in enumerate(paths):
        generate_clip(path, seed=seed, seconds=seconds, size=(160, 90), fps=4, shots=2)
    return paths


class Farm:
    """A Redis with its workers.

    Args:
        server: The Redis; data in database 0, queues in 1.
        folder: For logs; its folder ``clips`` is the source root ``clips``.
        model: Whose collection this is.
    """

    def __init__(self, server: RedisServer, folder: Path, model: Model, **settings: object) -> None:
        values = {
            "redis_url": server.url(),
            "data": folder,
            "roots": {"clips": folder / "clips"},
            "device": "cpu",
            "threads": 1,
            "worker_lease_s": 2.0,
            "reconcile_s": 0.2,
        }
        self.server, self.folder, self.model = server, folder, model
        self.settings = Settings(**(values | settings))  # type: ignore[arg-type]
        self.store = Store(server.client())
        self.units = Units(self.store.redis)
        self.app = make_app(self.settings)
        self.send = Sender(self.app)
        self.dispatcher = Dispatcher(self.store, self.send)
        self.queue = JobQueue(self.store, self.units, self.send, self.settings)
        self.store.ensure_collection("main", model=model.name, fingerprint=model.fingerprint, bits=model.bits)
        self.children: list[Child] = []
        self.batchers: list[Batcher] = []

    def close(self) -> None:
        for child in self.children:
            child.signal(signal.SIGKILL)
            child.join(10)
        for batcher in self.batchers:
            batcher.close()
        self.app.close()

    # Work

    def enqueue(self, *sources: object, **options: object) -> JobModel:
        request = EnqueueRequest(sources=[str(source) for source in sources], **options)  # type: ignore[arg-type]
        return self.queue.enqueue(request)

    def is_done(self, job: str) -> bool:
        with suppress(Exception):  # the server may be away just now
            return self.queue.job(job).state in {"done", "cancelled"}
        return False

    def wait(self, job: str) -> JobModel:
        wait_until(lambda: self.is_done(job), f"job {job} ends", seconds=240)
        return self.queue.job(job)

    def codes(self) -> Codes:
        """Return times and codes of all that is stored, by (source, chunk)."""
        found: Codes = {}
        for number in self.store.video_numbers("1"):
            record = self.store.video(number)
            for chunk, value in self.store.chunk_values([number])[0].items():
                decoded = decode_chunk(value)
                assert (record.source, chunk) not in found, f"{record.source} is there twice"
                found[record.source, chunk] = (decoded.times_ms.tolist(), decoded.codes.tobytes())
        return found

    # Workers

    def runner(self, name: str = "here", *, model: Model | None = None, room: Room | None = None) -> UnitRunner:
        """Return a worker without a process of its own; those of one model share a network."""
        model = model or self.model
        batcher = next((batcher for batcher in self.batchers if batcher.model is model), None)
        if batcher is None:
            batcher = Batcher(model)
            self.batchers.append(batcher)

        def send(units: Sequence[Unit]) -> None:
            self.dispatcher.dispatch(units, self.model.fingerprint)

        return UnitRunner(self.store, self.units, batcher, self.settings, name, send, room)

    def take(self) -> Unit | None:
        """Take the next message off the queues, as a worker would, which then fills them up."""
        broker = self.server.client(1)
        raws = (broker.rpop(queue_name(self.model.fingerprint, lane)) for lane in LANES)
        raw = next((raw for raw in raws if raw), None)
        self.dispatcher.feed(self.model.fingerprint)
        return Unit.parse(json.loads(raw)["headers"]["id"]) if raw else None

    def run_all(self, name: str = "here") -> None:
        """Run units until no message waits."""
        runner = self.runner(name)
        while (unit := self.take()) is not None:
            runner.run(unit)

    def start(self, *arguments: str) -> Child:
        """Start ``hashreel worker`` as a process."""
        name = f"worker-{len(self.children)}"
        environment = self.settings.environment() | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        command = python_command("worker", *(arguments or ("--single",)))
        child = Child(name, command, environment=environment, log=self.folder / f"{name}.log")
        child.start()
        self.children.append(child)
        return child

    def log(self, number: int = 0) -> str:
        return (self.folder / f"worker-{number}.log").read_text(errors="replace")


def processes_with(text: str) -> list[int]:
    """Return the ids of living processes whose environment, command line or working folder holds a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):
            told = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            # A Redis writes its title over both; it works in the folder of its files.
            told += os.readlink(folder / "cwd").encode()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if text.encode() in told and state != "Z":
                found.append(int(folder.name))
    return found
