"""Jobs: every source that was named is accounted for, whatever happens to it."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from farm import Farm
from stored_gallery import make_chunk

from hashreel.errors import BadInputError, ConflictError, NotFoundError
from hashreel.schemas import JobModel
from hashreel.settings import Settings
from indexer.chunks import Chunk
from indexer.generations import Generations
from workers.app import make_app
from workers.backlog import Backlog
from workers.messages import Unit, queue_name
from workers.queue import JobQueue
from workers.sending import MAX_WAITING


def put(farm: Farm, *names: str) -> None:
    for name in names:
        path = farm.folder / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def chunk_of(farm: Farm, frames: int = 1) -> Chunk:
    model = farm.model
    return make_chunk(np.random.default_rng(0), frames, bits=model.bits, fingerprint=model.fingerprint)


def index(farm: Farm, video: int) -> None:
    """Do a video's work by hand."""
    farm.store.plan(video, {"chunks": 1, "bounds": "[0]"})
    farm.store.commit(video, 0, chunk_of(farm))
    farm.units.finish([Unit(video)])


def states(farm: Farm, job: JobModel) -> dict[str, str]:
    records = farm.store.find_videos(job.videos)
    return {record.source: record.state for record in records if record is not None}


def adds_up(job: JobModel) -> bool:
    counts = job.counts.model_dump()
    return counts.pop("total") == sum(counts.values())


def test_every_source_that_was_named_is_in_the_job(farm: Farm) -> None:
    put(farm, "a.mp4", "b/c.mp4", "b/d.mp4", b"bad\xff.mp4".decode("utf-8", "surrogateescape"))
    job = farm.enqueue("clips", "nowhere.mp4", "http://h/x.mp4", "clips/none*", "clips/none.mp4")
    assert states(farm, job) == {
        "clips/a.mp4": "queued",
        "clips/b/c.mp4": "queued",
        "clips/b/d.mp4": "queued",
        "clips/bad�.mp4": "failed",
        "nowhere.mp4": "failed",
        "http://h/x.mp4": "failed",
        "clips/none*": "failed",
        "clips/none.mp4": "failed",
    }
    assert (job.counts.total, job.counts.queued, job.counts.failed) == (8, 3, 5)
    assert [failure.source for failure in farm.queue.failures(job=job.id).failures] == [
        "clips/bad�.mp4",
        "nowhere.mp4",
        "http://h/x.mp4",
        "clips/none*",
        "clips/none.mp4",
    ]
    assert farm.units.count_queued() == 3
    assert farm.take() == Unit(1)


def test_source_that_is_named_twice_comes_once(farm: Farm) -> None:
    put(farm, "a.mp4", "b/c.mp4")
    job = farm.enqueue("clips/a.mp4", "clips/**", "clips", str(farm.folder / "clips/a.mp4"), "clips/./b/../a.mp4")
    assert sorted(states(farm, job)) == ["clips/a.mp4", "clips/b/c.mp4"]
    assert job.counts.total == 2


def test_indexed_source_is_skipped_unless_asked_again(farm: Farm) -> None:
    put(farm, "a.mp4")
    first = farm.enqueue("clips/a.mp4")
    index(farm, first.videos[0])
    skipped = farm.enqueue("clips/a.mp4")
    assert (skipped.state, skipped.counts.skipped, skipped.videos) == ("done", 1, first.videos)
    other_step = farm.enqueue("clips/a.mp4", policy={"kind": "every", "seconds": 5})
    assert other_step.counts.queued == 1
    again = farm.enqueue("clips/a.mp4", again=True)
    index(farm, again.videos[0])
    assert farm.store.find_content("1", farm.store.redis.hget(f"hr:v:{again.videos[0]}", "content").decode())
    assert again.videos[0] in farm.store.video_numbers("1")
    assert first.videos[0] not in farm.store.video_numbers("1")


def test_changed_file_is_encoded_again(farm: Farm) -> None:
    put(farm, "a.mp4")
    index(farm, farm.enqueue("clips/a.mp4").videos[0])
    (farm.folder / "clips/a.mp4").write_bytes(b"something else, and longer")
    assert farm.enqueue("clips/a.mp4").counts.queued == 1


def test_overwritten_file_takes_the_place_of_what_was_indexed_there(farm: Farm) -> None:
    put(farm, "a.mp4", "b.mp4")
    path = farm.folder / "clips/a.mp4"
    first = farm.enqueue("clips")
    for video in first.videos:
        index(farm, video)
    coarse = farm.enqueue("clips/a.mp4", policy={"kind": "every", "seconds": 5}).videos[0]
    index(farm, coarse)
    before, was = path.read_bytes(), path.stat()
    path.write_bytes(b"something else, and longer")
    second = farm.enqueue("clips/a.mp4").videos[0]
    assert farm.store.video_numbers("1") == [*first.videos, coarse, second]  # until the new one is complete
    index(farm, second)
    assert farm.store.video_numbers("1") == [first.videos[1], coarse, second]
    last = farm.store.redis.xrevrange("hr:g:1:log", count=1)[0][1]
    assert (last[b"op"], last[b"v"], last[b"n"]) == (b"replace", b"%d" % first.videos[0], b"%d" % second)
    # The first version comes back, size and time and all: it is not taken for indexed.
    path.write_bytes(before)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    third = farm.enqueue("clips/a.mp4").videos[0]
    index(farm, third)
    assert farm.store.video_numbers("1") == [first.videos[1], coarse, third]
    farm.store.delete(third)
    assert third not in map(int, farm.store.redis.hvals("hr:g:1:places"))


def test_failure_of_a_source_goes_from_the_list_when_it_is_indexed(farm: Farm) -> None:
    first = farm.enqueue("clips/a.mp4", "clips/b.mp4")
    put(farm, "a.mp4")
    broken = farm.enqueue("clips/a.mp4").videos[0]
    farm.store.fail(broken, "decode", "damaged", retryable=False)
    assert farm.queue.failures().total == 3
    (farm.folder / "clips/a.mp4").write_bytes(b"mended")
    index(farm, farm.enqueue("clips/a.mp4").videos[0])
    assert [failure.source for failure in farm.queue.failures().failures] == ["clips/b.mp4"]
    # What happened to a job stays its history.
    assert farm.queue.failures(job=first.id).total == 2
    assert farm.queue.job(first.id).counts.failed == 2


def test_job_without_work_is_done_at_once(farm: Farm) -> None:
    job = farm.enqueue("nowhere")
    assert job.state == "done"
    assert job.finished_at is not None


def test_job_of_a_service_that_was_killed_while_it_took_sources_in_ends(farm: Farm) -> None:
    put(farm, "a.mp4")
    job = farm.enqueue("clips/a.mp4")
    index(farm, job.videos[0])
    key = f"hr:j:{job.id}"
    farm.store.redis.hset(key, mapping={"is_open": 1, "open_until": time.time() + 100})
    assert farm.queue.job(job.id).state == "running"
    farm.store.redis.hset(key, "open_until", time.time() - 1)
    assert farm.queue.job(job.id).state == "done"


class FailsLater(JobQueue):
    """A queue whose listing of sources breaks off in the middle."""

    def _sources(self, texts):  # type: ignore[no-untyped-def]
        yield next(super()._sources(texts))
        raise MemoryError("no memory for a list so long")


def test_job_that_breaks_off_while_it_takes_sources_in_is_closed(farm: Farm) -> None:
    put(farm, "a.mp4", "b.mp4")
    queue = FailsLater(farm.store, farm.units, farm.send, farm.settings)
    farm.queue = queue
    with pytest.raises(MemoryError):
        farm.enqueue("clips")
    assert [job.state for job in queue.jobs()] == ["done"]


def test_broker_that_is_away_loses_nothing(farm: Farm, caplog: pytest.LogCaptureFixture) -> None:
    put(farm, "a.mp4")
    away = Settings(redis_url=farm.server.url(), broker_url=f"redis+socket://{farm.folder}/nobody.sock?virtual_host=1")
    farm.send._app = make_app(away)
    job = farm.enqueue("clips/a.mp4")
    assert job.counts.queued == 1
    assert farm.units.count_queued() == 1
    assert "units stay queued" in caplog.text


def test_cancelled_job_stops_what_is_not_finished(farm: Farm) -> None:
    put(farm, "a.mp4", "b.mp4", "c.mp4")
    job = farm.enqueue("clips")
    done, begun, _ = job.videos
    index(farm, done)
    farm.store.plan(begun, {"chunks": 3, "bounds": "[0, 1, 2]"})
    farm.store.commit(begun, 0, chunk_of(farm))
    farm.units.queue([Unit(begun, 1), Unit(begun, 2)])
    job = farm.queue.cancel(job.id)
    assert job.state == "cancelled"
    assert states(farm, job) == {"clips/a.mp4": "indexed", "clips/b.mp4": "cancelled", "clips/c.mp4": "cancelled"}
    assert adds_up(job)
    assert farm.units.count_queued() == 0
    assert farm.store.redis.keys("hr:units:*") == []
    assert farm.queue.cancel(job.id).counts == job.counts


def test_cancelled_job_keeps_parts_when_asked(farm: Farm) -> None:
    put(farm, "a.mp4", "b.mp4")
    job = farm.enqueue("clips")
    begun = job.videos[0]
    farm.store.plan(begun, {"chunks": 3, "bounds": "[0, 1, 2]"})
    farm.store.commit(begun, 0, chunk_of(farm, 4))
    job = farm.queue.cancel(job.id, keep_partial=True)
    assert states(farm, job) == {"clips/a.mp4": "indexed", "clips/b.mp4": "cancelled"}
    assert farm.store.video(begun).frames == 4
    (failure,) = farm.queue.failures(job=job.id).failures
    assert (failure.stage, failure.partial) == ("cancel", True)


def test_retried_job_takes_its_failed_sources_again(farm: Farm) -> None:
    put(farm, "a.mp4")
    job = farm.enqueue("clips/a.mp4", "clips/b.mp4", "clips/c.mp4", tags={"case": "17"})
    index(farm, job.videos[0])
    put(farm, "b.mp4")
    retried = farm.queue.retry(job.id)
    assert states(farm, retried) == {"clips/a.mp4": "indexed", "clips/b.mp4": "queued", "clips/c.mp4": "failed"}
    assert (retried.state, retried.counts.total) == ("running", 3)
    assert adds_up(retried)
    new = next(r for r in farm.store.find_videos(retried.videos) if r and r.source == "clips/b.mp4")
    assert new.id > max(job.videos)
    assert [r.source for r in farm.store.find_videos(retried.videos) if r] == [f"clips/{n}.mp4" for n in "abc"]
    assert new.tags == {"case": "17"}
    assert new.size == len("b.mp4")
    assert farm.take() == Unit(job.videos[0])
    assert farm.take() == Unit(new.id)
    index(farm, new.id)
    assert farm.queue.job(job.id).state == "done"
    assert [failure.source for failure in farm.queue.failures().failures] == ["clips/c.mp4"]


def test_retry_leaves_failures_of_other_jobs_alone(farm: Farm) -> None:
    first, second = farm.enqueue("clips/x.mp4"), farm.enqueue("clips/y.mp4")
    farm.queue.retry(second.id)
    assert farm.queue.job(first.id).videos == first.videos


def test_what_is_not_there_is_not_found(farm: Farm) -> None:
    for act in (farm.queue.job, farm.queue.cancel, farm.queue.retry):
        with pytest.raises(NotFoundError, match="no job 'nope'"):
            act("nope")
    with pytest.raises(NotFoundError, match="no collection"):
        farm.enqueue("clips", collection="nope")
    with pytest.raises(BadInputError):
        farm.enqueue("clips", policy={"kind": "every", "seconds": 1, "threshold": 3})


def test_job_of_a_dropped_generation_comes_to_an_end(farm: Farm) -> None:
    put(farm, "a.mp4", "b.mp4", "c.mp4")
    live = farm.enqueue("clips")
    for video in live.videos:
        index(farm, video)
    fresh = farm.store.create_generation("main", model="other", fingerprint="b7" * 32, bits=farm.model.bits)
    job = farm.queue.reencode("main", fresh.id)
    assert job.counts.queued == 3
    Generations(farm.store).drop(fresh.id)
    ended = farm.queue.job(job.id)
    assert (ended.state, ended.counts.cancelled) == ("done", 3)
    assert adds_up(ended)
    assert farm.queue.job(live.id).counts.indexed == 3


def test_forgotten_job_is_left_out_of_the_list(farm: Farm) -> None:
    kept, lost = farm.enqueue("a"), farm.enqueue("b")
    farm.store.redis.delete(f"hr:j:{lost.id}")
    assert [job.id for job in farm.queue.jobs()] == [kept.id]


def test_few_sources_go_before_many_unless_asked_otherwise(farm: Farm) -> None:
    put(farm, *[f"{n}.mp4" for n in range(21)])
    assert farm.enqueue("clips").lane == "bulk"
    assert farm.enqueue("clips/1.mp4").lane == "interactive"
    assert farm.enqueue("clips/1.mp4", lane="bulk").lane == "bulk"
    assert farm.enqueue("clips", lane="interactive").lane == "interactive"
    with open(farm.folder / "clips/1.mp4", "wb") as file:
        file.truncate(9 * 2**30)  # sparse
    assert farm.enqueue("clips/1.mp4").lane == "bulk"


def test_broker_holds_a_bounded_number_of_messages_and_every_source_gets_its_turn(farm: Farm) -> None:
    put(farm, *[f"{n // 100}/{n}.mp4" for n in range(1200)])
    first = farm.enqueue("clips")
    assert (first.counts.queued, len(first.videos)) == (1200, 1000)
    pages = [farm.queue.job_videos(first.id, limit=700, offset=offset) for offset in (0, 700)]
    assert [page.total for page in pages] == [1200, 1200]
    assert len({video for page in pages for video in page.videos}) == 1200
    broker, bulk = farm.server.client(1), queue_name(farm.model.fingerprint)
    assert broker.llen(bulk) == MAX_WAITING
    second = farm.enqueue("clips/1", policy={"kind": "every", "seconds": 9}, lane="bulk")
    jobs = dict.fromkeys(pages[0].videos + pages[1].videos, first.id) | dict.fromkeys(second.videos, second.id)
    taken = []
    while (unit := farm.take()) is not None:
        assert broker.llen(bulk) <= MAX_WAITING
        taken.append(jobs[unit.video])
        farm.units.claim(unit, "here", 3)
        farm.units.finish([unit])
    # Nothing twice, nothing forgotten; the second job is through when the first has had as many turns since it came.
    assert (taken.count(first.id), taken.count(second.id), len(taken)) == (1200, 100, 1300)
    last = len(taken) - 1 - taken[::-1].index(second.id)
    assert last <= MAX_WAITING + 2 * 100
    assert farm.store.redis.keys("hr:units:*") == []


def test_chunks_of_begun_videos_come_before_videos_that_wait(farm: Farm) -> None:
    put(farm, *[f"{n}.mp4" for n in range(300)])
    job = farm.enqueue("clips")
    begun = job.videos[299]
    farm.store.plan(begun, {"chunks": 2, "bounds": "[0, 1]"})
    farm.units.finish([Unit(begun)])
    farm.units.queue([Unit(begun, 0), Unit(begun, 1)])
    farm.dispatcher.dispatch([Unit(begun, 0), Unit(begun, 1)], farm.model.fingerprint)
    taken = [farm.take() for _ in range(MAX_WAITING + 2)]
    assert taken[MAX_WAITING:] == [Unit(begun, 0), Unit(begun, 1)]


def test_cancelled_job_has_nothing_left_that_waits_for_its_turn(farm: Farm) -> None:
    put(farm, *[f"{n}.mp4" for n in range(300)])
    job = farm.enqueue("clips")
    assert not Backlog(farm.store.redis).is_empty(queue_name(farm.model.fingerprint))
    assert farm.queue.cancel(job.id).counts.cancelled == 300
    assert farm.store.redis.keys("hr:units:*") == []


def test_request_that_is_sent_twice_with_a_key_makes_one_job(farm: Farm) -> None:
    put(farm, "a.mp4", "b.mp4")
    first = farm.enqueue("clips/a.mp4", key="made-up-1")
    assert farm.enqueue("clips/a.mp4", key="made-up-1").id == first.id
    with pytest.raises(ConflictError, match="needs a new key"):
        farm.enqueue("clips/b.mp4", key="made-up-1")
    # What broke off half-way is done again.
    farm.store.redis.hdel(f"hr:j:{first.id}", "is_complete")
    assert farm.enqueue("clips/a.mp4", key="made-up-1").id != first.id


def test_requests_with_one_key_that_come_at_once_make_one_job(farm: Farm) -> None:
    put(farm, "a.mp4")
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: farm.enqueue("clips/a.mp4", key="made-up-1").id, range(16)))
    assert len(set(jobs)) == 1
    assert [job.id for job in farm.queue.jobs()] == jobs[:1]
    assert farm.store.video_numbers("1") == [1]


def test_ended_job_is_deleted_and_its_videos_stay(farm: Farm) -> None:
    put(farm, "a.mp4")
    job = farm.enqueue("clips/a.mp4")
    with pytest.raises(ConflictError, match="cancel it first"):
        farm.queue.delete(job.id)
    index(farm, job.videos[0])
    assert farm.queue.delete(job.id).counts.indexed == 1
    with pytest.raises(NotFoundError):
        farm.queue.job(job.id)
    assert farm.queue.jobs() == []
    assert farm.store.video(job.videos[0]).state == "indexed"


def test_jobs_are_listed_by_state(farm: Farm) -> None:
    put(farm, "a.mp4")
    waits, ended = farm.enqueue("clips/a.mp4"), farm.enqueue("nowhere.mp4")
    assert [job.id for job in farm.queue.jobs()] == [ended.id, waits.id]
    assert [job.id for job in farm.queue.jobs(state="queued")] == [waits.id]
    assert farm.queue.jobs(state="cancelled") == []


def test_progress_counts_frames_of_frames_planned(farm: Farm) -> None:
    put(farm, "long.mp4", "short.mp4", "waits.mp4")
    job = farm.enqueue("clips")
    assert (job.progress, job.frames_planned, job.eta_s, job.rate) == (0, 0, None, 0)
    long, short, waits = job.videos
    farm.store.plan(long, {"chunks": 2, "bounds": "[0, 45000]", "duration_ms": 90_000})
    farm.store.plan(short, {"chunks": 1, "bounds": "[0]", "duration_ms": 30_000})
    # What nobody has looked into counts as the mean of the others.
    assert farm.queue.job(job.id).frames_planned == 90 + 30 + 60
    farm.store.commit(long, 0, chunk_of(farm, 45), seconds=(3.0, 2.0, 1.0))
    now = farm.queue.job(job.id)
    assert (now.frames, now.frames_planned, now.progress) == (45, 180, 0.25)
    assert (now.decode_s, now.encode_s, now.commit_s) == (3.0, 2.0, 1.0)
    assert now.rate > 0
    assert now.eta_s == pytest.approx(135 / now.rate, rel=0.01, abs=0.1)
    assert now.started_at is not None
    # The rest of a video that is lost is not waited for; what comes of another is what it has.
    farm.store.fail(long, "decode", "damaged", retryable=False)
    assert farm.queue.job(job.id).frames_planned == 45 + 30 + round(75 / 2)
    farm.store.commit(short, 0, chunk_of(farm, 30))
    farm.store.cancel(waits)
    ended = farm.queue.job(job.id)
    assert (ended.state, ended.progress, ended.frames_planned, ended.eta_s) == ("done", 1.0, 75, None)


def test_cancelled_and_retried_videos_leave_the_plan(farm: Farm) -> None:
    put(farm, "a.mp4", "b.mp4")
    job = farm.enqueue("clips")
    for video in job.videos:
        farm.store.plan(video, {"chunks": 2, "bounds": "[0, 1]", "duration_ms": 60_000})
        farm.store.commit(video, 0, chunk_of(farm, 0))
    farm.store.cancel(job.videos[0])
    farm.store.fail(job.videos[1], "source", "went away", retryable=True)
    farm.queue.retry(job.id)
    stored = farm.store.redis.hgetall(f"hr:j:{job.id}")
    assert float(stored[b"planned"]) == pytest.approx(0, abs=1e-6)
    assert float(stored[b"planned_done"]) == pytest.approx(0, abs=1e-6)
    assert farm.queue.job(job.id).frames_planned == 0


@pytest.mark.full
def test_thousands_of_sources_are_all_accounted_for(farm: Farm) -> None:
    put(farm, *[f"{n // 100}/{n}.mp4" for n in range(5000)])
    job = farm.enqueue("clips")
    assert job.counts.queued == farm.queue.job_videos(job.id).total == 5000
    assert farm.units.count_queued() == 5000
