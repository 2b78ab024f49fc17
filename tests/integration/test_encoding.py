"""What a worker does with a unit: from a file to committed codes, once, whatever goes wrong."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import redis
from farm import Codes, Farm, make_clips
from gallery_mirror import wait_until
from numpy.typing import NDArray
from PIL import Image as PillowImage
from redis_server import RedisServer

from encoder.clips import generate_clip
from encoder.model import Model
from encoder.policies import Every, parse_policy
from encoder.runtime import RawOutput
from encoder.video import iter_key_frames
from indexer.records import VideoRecord
from workers.encoding import UnitRunner
from workers.messages import Unit
from workers.reading import chunk_bounds


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 25 s, which makes three chunks of 10 s."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    generate_clip(path, seed=5, seconds=25.0, size=(160, 90), fps=4, shots=3)
    return path


def one(farm: Farm, job: str) -> VideoRecord:
    record = farm.store.find_video(farm.queue.job(job).videos[0])
    assert record is not None
    return record


def whole(codes: Codes) -> tuple[list[int], bytes]:
    """Return times and codes of a single video, its chunks put together."""
    times = [time for key in sorted(codes) for time in codes[key][0]]
    return times, b"".join(codes[key][1] for key in sorted(codes))


def test_clip_becomes_the_codes_of_its_key_frames(farm: Farm, model: Model) -> None:
    (clip,) = make_clips(farm.folder / "clips", 1)
    job = farm.enqueue("clips/clip 00.mp4")
    farm.run_all()
    record = one(farm, job.id)
    assert (record.state, record.frames, record.chunks, record.done) == ("indexed", 3, 1, 1)
    assert (record.width, record.height, record.codec, record.duration_ms) == (160, 90, "h264", 3000)
    assert record.runtimes == {model.runtime.name: 3}
    size = model.transform.size
    frames = list(iter_key_frames(clip, parse_policy(record.policy), short_side=size))
    expected = ([frame.time_ms for frame in frames], model.encode([frame.image for frame in frames]).tobytes())
    assert farm.codes() == {("clips/clip 00.mp4", 0): expected}
    job = farm.queue.job(job.id)
    assert (job.state, job.frames, job.chunks, job.chunks_done) == ("done", 3, 1, 1)
    assert farm.store.redis.keys("hr:units:*") == []


@pytest.mark.parametrize("policy", [{"kind": "every", "seconds": 0.7}, {"kind": "codec"}])
def test_chunked_video_has_the_codes_of_the_whole(farm: Farm, long_clip: Path, policy: dict[str, object]) -> None:
    shutil.copy(long_clip, farm.folder / "clips")
    job = farm.enqueue("clips/long.mp4", policy=policy)
    farm.run_all()
    unchunked = whole(farm.codes())
    assert one(farm, job.id).chunks == 1
    farm.settings.chunk_s = 10.0
    job = farm.enqueue("clips/long.mp4", policy=policy, again=True)
    farm.run_all()
    record = one(farm, job.id)
    assert (record.state, record.chunks) == ("indexed", 3)
    assert whole(farm.codes()) == unchunked
    assert len(unchunked[0]) == record.frames > 0


def test_chunk_borders_cover_any_video() -> None:
    for chunk_s, step_s, duration_ms in [
        (10, 0.04, 1),
        (10, 0.7, 25_000),
        (10, 3600, 7_200_000),
        (600, 1, 600_000),
        (600, 1, 600_001),
        (10, 1, 40 * 3_600_000),
        (10, 0.04, 1000 * 3_600_000),
    ]:
        bounds = chunk_bounds(Every(step_s), duration_ms, chunk_s)
        assert bounds[0] == 0
        assert bounds == sorted(set(bounds))
        assert len(bounds) <= 4095
        assert bounds[-1] < max(duration_ms, 1)


@pytest.mark.parametrize(
    ("policy", "bounds"),
    [
        ({"kind": "codec"}, [0, 9_000, 18_000]),
        ({"kind": "every", "seconds": 0.7}, [0, 9_100, 18_200]),
        ({"kind": "every", "seconds": 7}, [0, 7_000, 14_000, 21_000]),
    ],
)
def test_chunks_begin_where_decoding_can_begin(farm: Farm, policy: dict[str, object], bounds: list[int]) -> None:
    # A key-frame of the codec stands at every 3 s.
    generate_clip(farm.folder / "clips/gop.mp4", seed=6, seconds=25.0, size=(160, 90), fps=4, shots=1, gop=12)
    farm.settings.chunk_s = 10.0
    job = farm.enqueue("clips/gop.mp4", policy=policy)
    farm.run_all()
    assert one(farm, job.id).bounds == bounds
    chunked = whole(farm.codes())
    farm.settings.chunk_s = 600.0
    farm.enqueue("clips/gop.mp4", policy=policy, again=True)
    farm.run_all()
    assert whole(farm.codes()) == chunked


def test_units_that_run_twice_change_nothing(farm: Farm, long_clip: Path) -> None:
    shutil.copy(long_clip, farm.folder / "clips")
    farm.settings.chunk_s = 10.0
    job = farm.enqueue("clips/long.mp4")
    farm.run_all()
    before, video = farm.codes(), one(farm, job.id).id
    units = [Unit(video), Unit(video, 0), Unit(video, 1), Unit(video, 2)]
    farm.units.queue(units)
    for unit in units:
        farm.runner().run(unit)
    assert farm.codes() == before
    assert farm.store.redis.xlen("hr:g:1:log") == 3
    assert farm.store.redis.keys("hr:units:*") == []


def test_units_that_run_side_by_side_commit_each_chunk_once(farm: Farm, long_clip: Path) -> None:
    for number in range(3):
        # A byte more makes another content of it.
        (farm.folder / "clips" / f"{number}.mp4").write_bytes(long_clip.read_bytes() + bytes(number))
    farm.settings.chunk_s = 10.0
    job = farm.enqueue("clips")
    units = [Unit(video, chunk) for video in job.videos for chunk in (None, 0, 1, 2)]
    threads = [threading.Thread(target=run_each, args=(farm, name, units)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    farm.run_all()
    assert farm.queue.job(job.id).counts.indexed == 3
    assert len(farm.codes()) == 9
    assert farm.store.redis.xlen("hr:g:1:log") == 9


def run_each(farm: Farm, name: str, units: Sequence[Unit]) -> None:
    runner = farm.runner(name)
    for unit in units:
        runner.run(unit)


def test_folder_of_pictures_is_a_video_of_one_frame_a_second(farm: Farm, model: Model) -> None:
    folder = farm.folder / "clips" / "day"
    folder.mkdir()
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 255, (90, 160, 3), dtype=np.uint8) for _ in range(3)]
    for number, picture in zip((1, 2, 10), pictures, strict=True):
        PillowImage.fromarray(picture).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no picture")
    job = farm.enqueue("clips/day")
    farm.run_all()
    record = one(farm, job.id)
    assert (record.state, record.kind, record.frames) == ("indexed", "pictures", 3)
    assert [(w["stage"], w["at_ms"]) for w in record.warnings] == [("decode", 2000)]
    assert "3.png" in record.warnings[0]["reason"]
    assert farm.codes()["clips/day", 0][0] == [0, 1000, 3000]


def test_what_is_no_video_is_failed_with_its_reason(farm: Farm) -> None:
    (farm.folder / "clips/notes.txt").write_text("these are notes")
    (farm.folder / "clips/empty.mp4").write_bytes(b"")
    job = farm.enqueue("clips")
    farm.run_all()
    failures = {failure.source: failure for failure in farm.queue.failures(job=job.id).failures}
    assert set(failures) == {"clips/notes.txt", "clips/empty.mp4"}
    assert {(f.stage, f.retryable, f.partial) for f in failures.values()} == {("decode", False, False)}
    assert all(failure.reason for failure in failures.values())
    job = farm.queue.job(job.id)
    assert (job.state, job.counts.failed, job.counts.total) == ("done", 2, 2)


@pytest.mark.parametrize("when", ["planned", "encoded"])
def test_source_that_went_away_or_changed_is_failed_and_may_be_retried(farm: Farm, when: str) -> None:
    gone, changed = make_clips(farm.folder / "clips", 2)
    job = farm.enqueue("clips")
    if when == "encoded":
        for video in job.videos:
            farm.runner()._plan(video)
    gone.unlink()
    changed.write_bytes(changed.read_bytes() + b"x")
    for video in job.videos:
        farm.units.queue([Unit(video), Unit(video, 0)])
        farm.runner().run(Unit(video) if when == "planned" else Unit(video, 0))
    failures = {failure.source: failure for failure in farm.queue.failures(job=job.id).failures}
    assert {(f.stage, f.retryable) for f in failures.values()} == {("source", True)}
    assert "No such file" in failures["clips/clip 00.mp4"].reason
    assert "changed after it was enqueued" in failures["clips/clip 01.mp4"].reason


class Broken:
    """A model at whose every batch something happens: here it fails a number of times before it works."""

    def __init__(self, model: Model, error: Exception | None = None, times: int = 0) -> None:
        self._model, self._error, self._times = model, error, times
        self.runtime = copy.copy(model.runtime)
        start = model.runtime.start

        def begin(pixels: NDArray[np.uint8]) -> Callable[[], RawOutput]:
            self.happen()
            return start(pixels)

        self.runtime.start = begin  # type: ignore[method-assign]

    def happen(self) -> None:
        if self._times and self._error is not None:
            self._times -= 1
            raise self._error

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)


def with_model(farm: Farm, model: Broken) -> UnitRunner:
    return farm.runner(model=model)  # type: ignore[arg-type]


def make_due(farm: Farm) -> None:
    for name in farm.store.redis.zrange("hr:units:queued", 0, -1):
        farm.store.redis.zadd("hr:units:queued", {name: 1.0})


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), OSError(5, "Input/output error")])
def test_unit_that_fails_is_tried_again_later(
    farm: Farm, model: Model, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    make_clips(farm.folder / "clips", 1)
    job = farm.enqueue("clips")
    runner = with_model(farm, Broken(model, error, times=1))
    farm.take()
    runner.run(Unit(job.videos[0]))
    assert one(farm, job.id).state == "encoding"
    assert farm.units.queued_before(1e12) == [Unit(job.videos[0], 0)]
    make_due(farm)
    runner.run(Unit(job.videos[0], 0))
    assert one(farm, job.id).state == "indexed"
    caplog.clear()


def test_unit_is_not_blamed_for_an_outage_of_redis(farm: Farm, model: Model) -> None:
    make_clips(farm.folder / "clips", 1)
    job = farm.enqueue("clips")
    # A start meets one outage or more: as many as it had pictures in the queue.
    times = 10 * farm.settings.max_tries
    runner = with_model(farm, Broken(model, redis.ConnectionError("Connection reset by peer"), times=times))
    runner.run(Unit(job.videos[0]))
    starts = 1
    while one(farm, job.id).state != "indexed":
        assert farm.units.queued_before(1e12) == [Unit(job.videos[0], 0)]
        runner.run(Unit(job.videos[0], 0))
        starts += 1
    assert starts > farm.settings.max_tries
    assert farm.queue.failures(job=job.id).failures == []


def test_unit_that_always_fails_is_given_up_after_its_tries(
    farm: Farm, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    make_clips(farm.folder / "clips", 1)
    job = farm.enqueue("clips")
    runner = with_model(farm, Broken(model, RuntimeError("CUDA out of memory"), times=99))
    runner.run(Unit(job.videos[0]))
    for _ in range(5):
        runner.run(Unit(job.videos[0], 0))
    (failure,) = farm.queue.failures(job=job.id).failures
    assert (failure.stage, failure.retryable) == ("encode", True)
    assert failure.reason == "RuntimeError: CUDA out of memory"
    assert farm.store.redis.keys("hr:units:*") == []
    assert farm.queue.job(job.id).state == "done"
    caplog.clear()


@pytest.mark.parametrize("chunk", [None, 1])
def test_unit_that_killed_its_workers_is_given_up_and_the_rest_goes_on(
    farm: Farm, long_clip: Path, chunk: int | None
) -> None:
    shutil.copy(long_clip, farm.folder / "clips")
    farm.settings.chunk_s = 10.0
    job = farm.enqueue("clips")
    poison = Unit(job.videos[0], chunk)
    farm.store.redis.hset("hr:units:tries", str(poison), farm.settings.max_tries)
    farm.run_all()
    record = one(farm, job.id)
    (failure,) = farm.queue.failures(job=job.id).failures
    assert failure.stage == "worker"
    assert "died or hung 3 times" in failure.reason
    if chunk is None:
        assert (record.state, failure.partial, failure.retryable) == ("failed", False, True)
    else:
        assert (record.state, failure.partial) == ("indexed", True)
        assert farm.codes()["clips/long.mp4", 1] == ([], b"")
        # One a second, but for what the middle chunk would have had.
        assert record.frames == 25 - (record.bounds[2] - record.bounds[1]) // 1000
    assert farm.store.redis.keys("hr:units:*") == []


def test_cancelled_video_is_dropped_in_the_middle(farm: Farm, model: Model, long_clip: Path) -> None:
    shutil.copy(long_clip, farm.folder / "clips")
    job = farm.enqueue("clips", policy={"kind": "every", "seconds": 0.25})

    class CancelsMeanwhile(Broken):
        def happen(self) -> None:
            farm.queue.cancel(job.id)

    with_model(farm, CancelsMeanwhile(model)).run(Unit(job.videos[0]))
    record = one(farm, job.id)
    assert (record.state, record.frames) == ("cancelled", 0)
    assert farm.codes() == {}
    assert farm.store.redis.keys("hr:units:*") == []
    assert farm.queue.job(job.id).state == "cancelled"


def test_messages_of_cancelled_work_are_dropped(farm: Farm) -> None:
    make_clips(farm.folder / "clips", 2)
    job = farm.enqueue("clips")
    farm.queue.cancel(job.id)
    farm.run_all()
    assert farm.queue.job(job.id).counts.cancelled == 2
    assert farm.codes() == {}


def test_worker_waits_for_redis_and_loses_nothing(
    private_redis: Callable[..., RedisServer], tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    server = private_redis()
    farm = Farm(server, tmp_path, model)
    make_clips(tmp_path / "clips", 1)
    job = farm.enqueue("clips")
    begun, may_go_on = threading.Event(), threading.Event()

    class Waits(Broken):
        def happen(self) -> None:
            begun.set()
            may_go_on.wait(60)

    runner = with_model(farm, Waits(model))
    thread = threading.Thread(target=runner.run, args=(Unit(job.videos[0]),))
    thread.start()
    assert begun.wait(60)
    server.kill()
    may_go_on.set()
    wait_until(lambda: "waiting for Redis" in caplog.text, "the worker finds Redis gone")
    server.start()
    thread.join(60)
    assert one(farm, job.id).state == "indexed"
    farm.close()
    caplog.clear()


def test_worker_waits_while_redis_has_no_memory(
    private_redis: Callable[..., RedisServer], tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    server = private_redis(maxmemory=2**30)
    farm = Farm(server, tmp_path, model)
    make_clips(tmp_path / "clips", 1)
    job = farm.enqueue("clips")
    farm.store.redis.config_set("maxmemory", 1)
    thread = threading.Thread(target=farm.runner().run, args=(Unit(job.videos[0]),))
    thread.start()
    wait_until(lambda: "waiting for Redis" in caplog.text, "the worker finds no memory")
    assert one(farm, job.id).state == "queued"
    farm.store.redis.config_set("maxmemory", 0)
    thread.join(60)
    assert one(farm, job.id).state == "indexed"
    assert farm.queue.job(job.id).counts.failed == 0
    farm.close()
    caplog.clear()
