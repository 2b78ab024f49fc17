"""Hundreds of jobs at once, of odd and damaged files: all end, the counts add up, and memory stays bounded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import pytest
from farm import Farm
from faults import wait_no_unit_left
from gallery_mirror import wait_until
from PIL import Image
from process_memory import MIB, MemoryWatch
from redis_server import RedisServer

from encoder.clips import generate_clip
from encoder.model import Model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

WORKER_MIB = 1536
"""What docs/faults.md promises of a worker process."""


def write_odd_files(folder: Path) -> None:
    """Write videos of many shapes, and files that are none."""
    folder.mkdir()
    for seed, (suffix, size) in enumerate(
        [("mp4", (96, 64)), ("mkv", (64, 96)), ("avi", (1920, 1080)), ("ts", (160, 90)), ("mp4", (3840, 2160))]
    ):
        generate_clip(folder / f"{seed}.{suffix}", seed=seed, seconds=2.0, size=size, fps=4, shots=1)
    whole = (folder / "0.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").touch()
    (folder / "noise.mov").write_bytes(bytes(range(256)) * 100)
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(3):
        Image.new("RGB", (64 + number, 48), (80 * number, 10, 10)).save(pictures / f"{number}.png")
    (pictures / "torn.jpg").write_bytes(b"\xff\xd8 torn")


def run_jobs(farm: Farm, sources: Sequence[str], processes: int) -> list[int]:
    """Queue one job a source, wait for all, and return the peaks of the workers' memory in MiB."""
    jobs = [farm.enqueue(source, again=True).id for source in sources]
    watch = MemoryWatch(farm.server.url())
    farm.settings.decoders = 2
    farm.start("--processes", str(processes), "--gpus", "none")
    for job in jobs:
        wait_until(lambda job=job: is_alive(farm) and farm.is_done(job), f"job {job} ends", seconds=1500)
    peaks = [peak // MIB for peak in watch.end().values()]
    print(f"{len(jobs)} jobs; peaks of the workers' memory: {peaks} MiB")
    check_counts(farm, jobs)
    return peaks


def is_alive(farm: Farm) -> bool:
    assert all(child.exit_code is None for child in farm.children), farm.log()
    return True


def check_counts(farm: Farm, jobs: Sequence[str]) -> None:
    reasons = 0
    for job in jobs:
        done = farm.queue.job(job)
        counts = done.counts
        assert counts.total == counts.indexed + counts.skipped + counts.failed == len(done.videos) == 1
        assert done.chunks == done.chunks_done or counts.failed
        failures = farm.queue.failures(job=job).failures
        assert all(failure.reason for failure in failures)
        assert sum(not failure.partial for failure in failures) == counts.failed
        reasons += counts.failed
    wait_no_unit_left(farm.store)
    # What a later job replaced is gone; a chunk was committed once.
    farm.codes()
    print(f"{reasons} of {len(jobs)} failed, each with its reason")


def test_jobs_of_odd_files_that_are_queued_at_once(
    private_redis: Callable[..., RedisServer], tmp_path: Path, model: Model
) -> None:
    write_odd_files(tmp_path / "clips")
    farm = Farm(private_redis(), tmp_path, model)
    names = sorted(f"clips/{path.name}" for path in (tmp_path / "clips").iterdir())
    peaks = run_jobs(farm, list(islice(cycle(names), 3 * len(names))), 1)
    farm.close()
    assert max(peaks) <= WORKER_MIB


@pytest.mark.full
@pytest.mark.shared
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("processes", [1, 2])
def test_two_hundred_jobs_of_odd_and_real_clips(
    private_redis: Callable[..., RedisServer], tmp_path: Path, model: Model, shared: Path, processes: int
) -> None:
    roots = {name: shared / "videos" / name for name in ("odd", "real")}
    farm = Farm(private_redis(), tmp_path, model, roots=roots)
    names = sorted(f"{root}/{path.name}" for root, folder in roots.items() for path in folder.iterdir())
    peaks = run_jobs(farm, list(islice(cycle(names), 200)), processes)
    farm.close()
    assert max(peaks) <= WORKER_MIB
