"""Workers whose Redis is paused, out of reach, or loses what was sent: nothing is lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from farm import Codes, Farm, processes_with
from faults import CHUNK_S, CHUNKS, WAIT_S, check_records, fault_seed, moments
from gallery_mirror import wait_until
from leaky_proxy import LeakyProxy
from redis_server import RedisServer

from encoder.model import Model
from hashreel.schemas import EnqueueRequest, JobModel
from hashreel.settings import Settings
from indexer.store import Store, connect
from workers.app import make_app
from workers.messages import LANES, Unit, queue_name
from workers.queue import JobQueue
from workers.sending import Sender
from workers.units import Units

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PAUSE_S = 20.0


@pytest.fixture
def farm(private_redis: Callable[..., RedisServer], fault_load: Path, tmp_path: Path, model: Model) -> Iterator[Farm]:
    """Return workers over the load, with a Redis of their own."""
    made = Farm(private_redis(), tmp_path, model, chunk_s=CHUNK_S, roots={"clips": fault_load})
    yield made
    made.close()


def start(farm: Farm, processes: int = 1) -> None:
    farm.start("--processes", str(processes), "--gpus", "none")


def chunks_done(farm: Farm, job: str) -> int:
    with suppress(Exception):
        return int(float(farm.store.redis.hget(f"hr:j:{job}", "chunks_done") or 0))
    return 0


def is_alive(farm: Farm) -> bool:
    """Return true; a supervisor that has ended by itself is reported at once."""
    assert all(child.exit_code is None for child in farm.children), farm.log()
    return True


def wait_chunks(farm: Farm, job: str, chunks: int) -> None:
    def is_so() -> bool:
        return is_alive(farm) and chunks_done(farm, job) >= chunks

    wait_until(is_so, f"{chunks} chunks are there", seconds=WAIT_S)


def check(farm: Farm, job: str, undisturbed_load: Codes) -> JobModel:
    wait_until(lambda: is_alive(farm) and farm.is_done(job), f"job {job} ends", seconds=WAIT_S)
    done = farm.queue.job(job)
    check_records(farm.store, done, farm.queue.failures(job=job).failures, undisturbed_load)
    return done


def tell_through(farm: Farm, proxy: LeakyProxy) -> None:
    """Let worker processes that are started from now on reach Redis through a proxy."""
    farm.settings.redis_url, farm.settings.broker_url = proxy.url(0), proxy.url(1)


def test_connections_that_are_lost_now_and_then(farm: Farm, undisturbed_load: Codes) -> None:
    """Requests that never arrive and replies that never come back, all through a load."""
    with LeakyProxy(str(farm.server.socket), seed=fault_seed(), lost=0.005) as proxy:
        tell_through(farm, proxy)
        job = farm.enqueue("clips").id
        start(farm)
        wait_chunks(farm, job, CHUNKS // 2)
        assert proxy.cut() > 0
        check(farm, job, undisturbed_load)
        print(f"{proxy.requests_lost} requests and {proxy.replies_lost} replies lost")
        assert proxy.requests_lost
        assert proxy.replies_lost
        # Without this, a worker that ends would look for a server that is gone.
        proxy.lost = 0.0


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("lost", [0.01, 0.02, 0.05])
def test_connections_that_are_lost_at_every_rate(farm: Farm, undisturbed_load: Codes, lost: float) -> None:
    farm.settings.max_tries = 20
    with LeakyProxy(str(farm.server.socket), seed=fault_seed(), lost=lost) as proxy:
        tell_through(farm, proxy)
        job = farm.enqueue("clips").id
        start(farm, 2)
        check(farm, job, undisturbed_load)
        print(f"{lost}: {proxy.requests_lost} requests and {proxy.replies_lost} replies lost")
        proxy.lost = 0.0


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_redis_out_of_reach_at_ten_random_moments(farm: Farm, undisturbed_load: Codes) -> None:
    with LeakyProxy(str(farm.server.socket)) as proxy:
        tell_through(farm, proxy)
        start(farm)
        for moment in moments(fault_seed()):
            job = farm.enqueue("clips", again=True).id
            wait_chunks(farm, job, moment.chunks)
            time.sleep(moment.delay_s)
            proxy.go_down()
            # Long enough for whoever is in the middle of something to notice.
            time.sleep(4 * moment.delay_s)
            proxy.come_back()
            check(farm, job, undisturbed_load)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", ["stopped", "paused"])
def test_redis_that_does_not_answer_for_twenty_seconds(farm: Farm, undisturbed_load: Codes, how: str) -> None:
    """Longer than any lease and than the workers' patience with one call."""
    job = farm.enqueue("clips").id
    start(farm, 2)
    wait_chunks(farm, job, 4)
    if how == "stopped":
        farm.server.pause()
        time.sleep(PAUSE_S)
        farm.server.go_on()
    else:
        farm.store.redis.client_pause(int(1000 * PAUSE_S))
        time.sleep(PAUSE_S)
    check(farm, job, undisturbed_load)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_messages_removed_from_the_broker_by_hand(farm: Farm, undisturbed_load: Codes, share: float) -> None:
    rng = random.Random(fault_seed())
    broker = farm.server.client(1)
    job = farm.enqueue("clips").id
    start(farm)
    removed = 0
    for chunks in (2, 8, 14):
        wait_chunks(farm, job, chunks)
        for queue in (queue_name(farm.model.fingerprint, lane) for lane in LANES):
            for message in broker.lrange(queue, 0, -1):
                if rng.random() < share:
                    removed += broker.lrem(queue, 1, message)
        if share == 1.0:
            # What is on its way into a worker's hands as well.
            broker.delete("unacked", "unacked_index")
    print(f"{removed} messages removed")
    check(farm, job, undisturbed_load)
    assert removed


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_two_workers_that_are_given_the_same_chunks(farm: Farm, undisturbed_load: Codes) -> None:
    job = farm.enqueue("clips").id
    start(farm, 2)
    units = [Unit(video) for video in farm.queue.job(job).videos]
    for chunks in (1, 10, 20):
        wait_chunks(farm, job, chunks)
        for _ in range(3):
            farm.send(units, farm.model.fingerprint)
            farm.send((Unit(video.video, chunk) for video in units for chunk in range(5)), farm.model.fingerprint)
    done = check(farm, job, undisturbed_load)
    assert farm.store.redis.xlen("hr:g:1:log") == done.chunks
    # Messages that are left over find nothing to do.
    queues = [queue_name(farm.model.fingerprint, lane) for lane in LANES]
    broker = farm.server.client(1)
    wait_until(lambda: not any(broker.llen(queue) for queue in queues), "the queues are empty", seconds=WAIT_S)
    check(farm, job, undisturbed_load)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_worker_that_stands_still_while_another_takes_its_chunk(farm: Farm, undisturbed_load: Codes) -> None:
    """Both go on with the same chunk in the end; the first commit counts."""
    start(farm, 2)
    for chunks in (2, 9, 16):
        job = farm.enqueue("clips", again=True).id
        wait_chunks(farm, job, chunks)
        worker = next(pid for pid in processes_with(farm.server.url()) if is_single(pid))
        os.kill(worker, signal.SIGSTOP)
        check(farm, job, undisturbed_load)
        os.kill(worker, signal.SIGCONT)
        # What it finds when it comes back is done already.
        wait_until(lambda: farm.server.client(1).hlen("unacked") == 0, "nothing is in hand", seconds=WAIT_S)
        check(farm, job, undisturbed_load)


def is_single(pid: int) -> bool:
    with suppress(OSError):
        return b"\0--single\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def test_sources_are_counted_once_whatever_is_lost_while_they_are_taken_in(farm: Farm) -> None:
    """The service's replies get lost as well: a job counts each of its sources once, or says that it failed."""
    seen: set[int] = set()
    with LeakyProxy(str(farm.server.socket), seed=fault_seed(), lost=0.05) as proxy:
        settings = Settings(**{**farm.settings.model_dump(), "redis_url": proxy.url(0), "broker_url": proxy.url(1)})
        app = make_app(settings)
        store = Store(connect(proxy.url(0)))
        queue = JobQueue(store, Units(store.redis), Sender(app), settings)
        for _ in range(30):
            with suppress(Exception):
                queue.enqueue(EnqueueRequest(sources=["clips"], again=True))
        proxy.lost = 0.0
        for job in farm.queue.jobs(100):
            full = farm.queue.job(job.id)
            counts = full.counts
            assert counts.total == len(full.videos) == len(set(full.videos))
            assert counts.queued == counts.total
            assert seen.isdisjoint(full.videos)
            seen.update(full.videos)
        print(f"{proxy.requests_lost} requests and {proxy.replies_lost} replies lost; {len(seen)} sources")
        assert proxy.replies_lost
        store.redis.close()
        app.close()
    queued = farm.store.redis.zcard("hr:units:queued")
    assert queued == len(seen)
