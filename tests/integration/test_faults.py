"""Every process of a stack killed with -9 at random moments of a load, and what else goes wrong under one.

docs/faults.md says what was thrown at it and what came out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from farm import Codes
from faults import CHUNK_S, CHUNKS, WAIT_S, check_index, check_records, fault_seed, moments
from gallery_mirror import wait_until
from stacks import START_S, Stack

from hashreel import Client
from hashreel.errors import HashreelError
from hashreel.schemas import JobModel
from indexer.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Faulty:
    """A stack over the load, whose processes can be killed."""

    def __init__(self, data: Path, clips: Path, **environment: str) -> None:
        self.data = data
        self._environment = {
            "HASHREEL_ROOTS": json.dumps({"clips": str(clips)}),
            "HASHREEL_DEVICE": "cpu",
            "HASHREEL_THREADS": "1",
            "HASHREEL_CHUNK_S": str(CHUNK_S),
            "HASHREEL_WORKER_LEASE_S": "2",
            "HASHREEL_RECONCILE_S": "0.2",
            # As much as can be going on when a process is killed.
            "HASHREEL_SNAPSHOT_S": "1",
            "HASHREEL_DELETE_GRACE_S": "0",
            **environment,
        }
        self.start()

    def start(self) -> None:
        self.stack = Stack(self.data, **self._environment)
        self.stack.wait_up()
        url = json.loads((self.data / "stack.json").read_text())["redis_url"]
        self.store = Store(redis.Redis.from_url(url))

    def enqueue(self, *sources: str) -> JobModel:
        with Client(self.stack.url) as client:
            return client.enqueue(list(sources), again=True).model

    def chunks_done(self, job: str) -> int:
        """Return how many chunks of a job are committed; 0 while Redis does not answer."""
        with suppress(redis.RedisError):
            return int(float(self.store.redis.hget(f"hr:j:{job}", "chunks_done") or 0))
        return 0

    def wait(self, job: str) -> JobModel:
        found: list[JobModel] = []

        def is_done() -> bool:
            # The service may be away just now.
            with suppress(HashreelError), Client(self.stack.url or "http://127.0.0.1:1") as client:
                found.append(client.job(job).model)
                return found[-1].state == "done"
            return False

        wait_until(is_done, f"job {job} ends: {found[-1:]}", seconds=WAIT_S)
        return found[-1]

    def check(self, job: str, undisturbed_load: Codes) -> None:
        """Assert that the load has ended as it does when nothing happens."""
        done = self.wait(job)
        with Client(self.stack.url) as client:
            failures = list(client.failures(job=job))
            check_records(self.store, done, failures, undisturbed_load)
            check_index(self.store, client)

    def workers(self) -> list[int]:
        """Return the ids of the processes that encode."""
        found = []
        for pid in self.stack.processes():
            with suppress(OSError):
                if b"\0--single\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def kill_worker(self) -> None:
        found: list[int] = []
        # It may be between two lives.
        wait_until(lambda: bool(found.extend(self.workers()) or found), "a worker runs", seconds=START_S)
        os.kill(found[0], signal.SIGKILL)

    def kill_stack(self) -> None:
        self.stack.end(signal.SIGKILL)
        wait_until(lambda: not self.stack.processes(), "nothing outlives the stack", seconds=START_S)
        self.start()

    def kill(self, victim: str) -> None:
        {
            "worker": self.kill_worker,
            "supervisor": lambda: self.stack.kill_child("worker"),
            "redis": lambda: self.stack.kill_child("redis"),
            "service": lambda: self.stack.kill_child("serve"),
            "stack": self.kill_stack,
        }[victim]()

    def close(self) -> None:
        self.stack.process.kill()
        self.stack.process.wait(10)


@pytest.fixture
def faulty(tmp_path: Path, fault_load: Path) -> Iterator[Callable[..., Faulty]]:
    """Return a maker of stacks over the load."""
    made: list[Faulty] = []

    def make(**environment: str) -> Faulty:
        made.append(Faulty(tmp_path / f"data-{len(made)}", fault_load, **environment))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_load_under_which_every_process_is_killed_once(faulty: Callable[..., Faulty], undisturbed_load: Codes) -> None:
    stack = faulty()
    job = stack.enqueue("clips").id
    for chunks, victim in ((3, "worker"), (9, "service"), (15, "supervisor"), (21, "redis")):
        wait_until(lambda c=chunks: stack.chunks_done(job) >= c, f"{chunks} chunks are there", seconds=WAIT_S)
        stack.kill(victim)
    stack.check(job, undisturbed_load)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victim", ["worker", "supervisor", "redis", "service", "stack"])
def test_process_killed_at_ten_random_moments(
    faulty: Callable[..., Faulty], undisturbed_load: Codes, victim: str
) -> None:
    stack = faulty()
    struck = []
    for moment in moments(fault_seed()):
        job = stack.enqueue("clips").id
        wait_until(lambda: stack.chunks_done(job) >= moment.chunks, f"{moment} of {victim}", seconds=WAIT_S)  # noqa: B023
        time.sleep(moment.delay_s)
        struck.append(stack.chunks_done(job) < CHUNKS)
        stack.kill(victim)
        stack.check(job, undisturbed_load)
    print(f"{victim}: {sum(struck)} of {len(struck)} kills in the middle of the load")
