"""Worker processes that are killed, and a Redis that is killed under them: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from farm import Codes, Farm, make_clips, processes_with
from gallery_mirror import wait_until
from redis_server import RedisServer

from encoder.clips import generate_clip
from encoder.model import Model
from hashreel.processes import Child
from indexer.log import Log
from indexer.records import LogPosition
from workers.reconciler import Reconciler

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CLIPS = 20
START_S = 120.0
# A worker in which two chunks, each in the middle of being decoded, and the network, with a batch in its hands, wait
# until all three are there.
MEETING = """
import sys, threading
from pathlib import Path
from encoder.batching import Batcher
from hashreel.settings import Settings
from workers import process, reading
meeting = threading.Barrier(3, action=Path(sys.argv[1]).touch, timeout=240)
chunks, network = threading.Semaphore(2), threading.Semaphore(1)
decode = reading.iter_key_frames
def met(*arguments, **options):
    for number, frame in enumerate(decode(*arguments, **options)):
        if number == 3 and chunks.acquire(blocking=False):
            meeting.wait()
        yield frame
class MeetingBatcher(Batcher):
    def _launch(self, items):
        if network.acquire(blocking=False):
            meeting.wait()
        return super()._launch(items)
reading.iter_key_frames, process.Batcher = met, MeetingBatcher
process.run_worker(Settings())
"""


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load")
    make_clips(folder / "clips", CLIPS)
    return folder


@pytest.fixture(scope="session")
def undisturbed(clips: Path, session_redis: RedisServer, model: Model) -> Codes:
    """Return the codes of a run in which nothing happens."""
    session_redis.client().flushall()
    farm = Farm(session_redis, clips, model)
    farm.enqueue("clips")
    farm.run_all()
    codes = farm.codes()
    farm.close()
    assert len(codes) == CLIPS
    return codes


@pytest.fixture
def crashing(
    private_redis: Callable[..., RedisServer], clips: Path, undisturbed: Codes, model: Model
) -> Iterator[Farm]:
    farm = Farm(private_redis(), clips, model)
    yield farm
    farm.close()


def committed(farm: Farm) -> int:
    return int(farm.store.redis.xlen("hr:g:1:log"))


def check_all_is_there(farm: Farm, job: str, undisturbed: Codes) -> None:
    done = farm.wait(job)
    assert done.counts.model_dump() == {
        "total": CLIPS,
        "queued": 0,
        "encoding": 0,
        "indexed": CLIPS,
        "failed": 0,
        "cancelled": 0,
        "skipped": 0,
    }
    assert farm.codes() == undisturbed
    assert committed(farm) == CLIPS
    assert farm.queue.failures(job=job).failures == []
    assert len(Log(farm.store.redis, "1").read(start_of(farm))) == CLIPS


def start_of(farm: Farm) -> LogPosition:
    return LogPosition("0-0", farm.store.redis.hget("hr:g:1:head", "epoch").decode())


def test_supervisor_and_workers_killed_and_redis_killed_under_them(crashing: Farm, undisturbed: Codes) -> None:
    """One load with every crash in it: two workers, a killed worker, a killed Redis, a killed supervisor."""
    farm = crashing
    job = farm.enqueue("clips").id
    supervisor = farm.start("--processes", "2", "--gpus", "none")
    wait_until(lambda: committed(farm) >= 2, "the first clips are committed", seconds=START_S)

    workers = [pid for pid in processes_with(farm.server.url()) if b"--single" in command_of(pid)]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: committed(farm) >= 6, "the other worker goes on", seconds=START_S)

    farm.server.kill()
    farm.server.start()
    wait_until(lambda: committed(farm) >= 10, "work goes on after Redis came back", seconds=START_S)

    supervisor.signal(signal.SIGKILL)
    supervisor.join(10)
    wait_until(lambda: not processes_with(farm.server.url()), "no worker outlives its supervisor")
    assert committed(farm) < CLIPS
    again = farm.start("--processes", "1", "--gpus", "none")
    check_all_is_there(farm, job, undisturbed)

    again.signal(signal.SIGTERM)
    again.join(60)
    assert again.exit_code == 0
    assert processes_with(farm.server.url()) == []
    assert "Traceback" not in farm.log(1)


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.full
@pytest.mark.timeout(900)
def test_single_worker_killed_half_way_and_started_again(crashing: Farm, undisturbed: Codes) -> None:
    farm = crashing
    job = farm.enqueue("clips").id
    first = farm.start()
    wait_until(lambda: committed(farm) >= CLIPS // 2, "half the clips are committed", seconds=START_S)
    first.signal(signal.SIGKILL)
    first.join(10)
    # Without a supervisor nobody looks for lost work; one round of looking is done here.
    farm.start()
    reconcile_until_done(farm, job)
    check_all_is_there(farm, job, undisturbed)


def reconcile_until_done(farm: Farm, job: str) -> None:
    reconciler = Reconciler(farm.store, farm.units, farm.send, farm.server.client(1), farm.settings)

    def look() -> bool:
        reconciler.check()
        return farm.is_done(job)

    wait_until(look, "the job ends", seconds=240)


def test_worker_that_is_asked_to_end_finishes_its_unit(crashing: Farm, undisturbed: Codes) -> None:
    farm = crashing
    job = farm.enqueue("clips").id
    worker = farm.start()
    wait_until(lambda: committed(farm) >= 1, "the first clip is committed", seconds=START_S)
    worker.signal(signal.SIGTERM)
    worker.join(60)
    assert worker.exit_code == 0
    # What it had begun is done; nothing is left half-way or in its name.
    assert farm.units.running() == []
    assert farm.store.redis.keys("hr:w:*") == []
    states = [record.state for record in farm.store.find_videos(farm.queue.job(job).videos) if record]
    # A film that was planned just then is "encoding", its first chunk queued.
    assert {"indexed", "queued"} <= set(states) <= {"indexed", "queued", "encoding"}
    assert farm.codes().items() <= undisturbed.items()
    assert "Traceback" not in farm.log()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_worker_that_hangs_is_replaced(crashing: Farm, undisturbed: Codes) -> None:
    farm = crashing
    farm.settings.unit_timeout_s = 10.0
    farm.settings.worker_lease_s = 60.0
    job = farm.enqueue("clips").id
    farm.start("--processes", "1", "--gpus", "none")
    wait_until(lambda: committed(farm) >= 2, "the first clips are committed", seconds=START_S)
    (worker,) = [pid for pid in processes_with(farm.server.url()) if b"--single" in command_of(pid)]
    os.kill(worker, signal.SIGSTOP)
    check_all_is_there(farm, job, undisturbed)
    assert "hangs; replacing it" in farm.log()


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("round_", range(5))
def test_workers_killed_again_and_again(crashing: Farm, undisturbed: Codes, round_: int) -> None:
    farm = crashing
    farm.settings.max_tries = 50
    job = farm.enqueue("clips").id
    for step in range(4):
        supervisor = farm.start("--processes", "2", "--gpus", "none")
        wait_until(lambda step=step: committed(farm) >= 4 * step + 1 + round_ % 3, "some progress", seconds=START_S)
        supervisor.signal(signal.SIGKILL)
        supervisor.join(10)
        if step % 2:
            farm.server.kill()
            farm.server.start()
    farm.start("--processes", "1", "--gpus", "none")
    check_all_is_there(farm, job, undisturbed)


def test_two_chunks_are_decoded_at_the_same_moment_while_the_network_runs(farm: Farm, tmp_path: Path) -> None:
    generate_clip(farm.folder / "clips/film.mp4", seed=4, seconds=20.0, size=(160, 90), fps=4, shots=2)
    farm.settings.chunk_s, farm.settings.decoders = 10.0, 2
    job = farm.enqueue("clips")
    have_met = tmp_path / "met"
    worker = Child(
        "meeting",
        [sys.executable, "-P", "-c", MEETING, str(have_met)],
        environment=farm.settings.environment(),
        log=farm.folder / "worker-meeting.log",
    )
    worker.start()
    farm.children.append(worker)
    assert farm.wait(job.id).counts.indexed == 1
    assert len(farm.codes()) == 2
    assert have_met.exists()
