"""A video that kills whoever decodes it: given up after its tries, with growing pauses, and nobody else suffers."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from farm import Farm, make_clips, processes_with
from faults import wait_no_unit_left
from gallery_mirror import wait_until
from redis_server import RedisServer

from encoder.clips import generate_clip
from encoder.model import Model
from workers.units import Units

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.full,
    pytest.mark.timeout(900),
]

PAUSES_S = (0.0, 5.0, 10.0)


class Poison:
    """Kills the process of any worker that starts a chunk of a video, as a decoder that crashes would."""

    def __init__(self, farm: Farm, video: int) -> None:
        self.deaths: list[float] = []
        self._units = Units(farm.server.client())
        self._address, self._video = farm.server.url(), video
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        killed: set[float] = set()
        while not self._stop.wait(0.005):
            with suppress(redis.RedisError):
                for unit, worker, started in self._units.running():
                    # The successor has the same name, and the start stands in the records until its lease is over.
                    if unit.video == self._video and unit.chunk is not None and started not in killed:
                        killed.add(started)
                        self._kill(worker)

    def _kill(self, worker: str) -> None:
        process = worker.partition("#")[0].encode()
        for pid in processes_with(self._address):
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"--single" in command and process in command:
                    os.kill(pid, signal.SIGKILL)
                    self.deaths.append(time.time())

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10)


def test_poison_video_ends_in_the_ledger(
    private_redis: Callable[..., RedisServer], tmp_path: Path, model: Model
) -> None:
    farm = Farm(private_redis(), tmp_path, model)
    make_clips(tmp_path / "clips", 6)
    # Long enough that no worker can be done with it before it is killed.
    generate_clip(tmp_path / "clips" / "poison.mp4", seed=50, seconds=300.0, size=(96, 64), fps=10, shots=3)
    names = sorted(path.name for path in (tmp_path / "clips").iterdir())
    job = farm.enqueue("clips", policy={"kind": "every", "seconds": 0.1})
    poison = Poison(farm, job.videos[names.index("poison.mp4")])
    farm.start("--processes", "2", "--gpus", "none")
    wait_until(lambda: farm.is_done(job.id), "the job ends", seconds=600)
    poison.end()
    done = farm.queue.job(job.id)
    assert (done.counts.indexed, done.counts.failed) == (6, 1)
    (failure,) = farm.queue.failures(job=job.id).failures
    assert failure.source == "clips/poison.mp4"
    assert failure.stage == "worker"
    assert failure.retryable
    assert failure.reason == "its worker died or hung 3 times on it"
    wait_no_unit_left(farm.store)
    # Each pause is at least as long as its back-off; a slow machine makes it longer.
    gaps = [after - before for before, after in zip(poison.deaths, poison.deaths[1:], strict=False)]
    print("pauses:", [round(gap, 1) for gap in gaps])
    assert len(poison.deaths) == 3
    assert all(gap >= pause for gap, pause in zip(gaps, PAUSES_S[:2], strict=True))
    farm.close()
