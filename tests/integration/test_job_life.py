"""A job over real HTTP and a real Redis: followed by its events while a worker works on it, and by a client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from farm import Farm, make_clips
from memory_service import MemoryEngine, serve

from hashreel import Client
from hashreel.errors import ConflictError, NotFoundError
from indexer.job_seconds import JobSeconds
from search.http import make_app


@pytest.fixture
def url(farm: Farm) -> Iterator[str]:
    """Return the address of an app over the farm's queue; no query is sent to its engine."""
    with serve(make_app(MemoryEngine(), farm.queue, farm.settings)) as address:
        yield address


def follow(url: str, job: str, events: list[dict[str, Any]], has_begun: threading.Event) -> None:
    """Collect a job's events until the stream ends."""
    address = f"{url}/v1/jobs/{job}/events"
    with httpx.Client(trust_env=False, timeout=60) as http, http.stream("GET", address) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                has_begun.set()


def test_events_tell_how_far_a_job_is(farm: Farm, url: str) -> None:
    farm.settings.chunk_s = 10.0
    make_clips(farm.folder / "clips", 2, seconds=25.0)
    job = farm.enqueue("clips", policy={"kind": "every", "seconds": 1})
    events: list[dict[str, Any]] = []
    has_begun = threading.Event()
    follower = threading.Thread(target=follow, args=(url, job.id, events, has_begun), daemon=True)
    follower.start()
    assert has_begun.wait(60)
    farm.run_all()
    follower.join(60)
    first, last = events[0], events[-1]
    assert (first["state"], first["progress"], first["eta_s"], first["lane"]) == ("queued", 0, None, "interactive")
    assert (last["state"], last["progress"], last["frames"], last["frames_planned"]) == ("done", 1, 50, 50)
    assert min(last["decode_s"], last["encode_s"], last["commit_s"]) > 0
    assert first["created_at"] <= last["started_at"] <= last["finished_at"]
    assert all(0 <= event["progress"] <= 1 for event in events)
    # An estimate until the end: chunks do not begin at whole seconds.
    assert all(45 <= event["frames_planned"] <= 55 for event in events if event["frames_planned"])


def test_planning_and_commits_are_counted_as_the_rest(farm: Farm) -> None:
    path = make_clips(farm.folder / "clips", 1)[0]
    job = farm.enqueue("clips")
    farm.run_all()

    # The commit of the very chunk is in it, though it is over only then.
    def before(*arguments: Any, seconds: tuple[float, float, float], **options: Any) -> str:
        given.append(seconds[2])
        return commit(*arguments, seconds=seconds, **options)

    given: list[float] = []
    commit = farm.store.commit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(farm.store, "commit", before)
        again = farm.enqueue("clips", again=True)
        farm.run_all()
    assert farm.queue.job(again.id).commit_s > sum(given) > 0
    # A copy is only looked into.
    path.with_name("copy.mp4").write_bytes(path.read_bytes())
    copy = farm.queue.job(_ended(farm, "clips/copy.mp4"))
    assert copy.counts.skipped == 1
    assert copy.commit_s > 0
    assert (copy.decode_s, copy.encode_s) == (0, 0)
    # What comes late brings no piece of a deleted job back.
    farm.queue.delete(job.id)
    JobSeconds(farm.store).add_rest(job.videos[0], 1.0)
    assert not farm.store.redis.exists(farm.store.keys.job(job.id))


def _ended(farm: Farm, source: str) -> str:
    job = farm.enqueue(source)
    farm.run_all()
    return job.id


def test_job_is_made_listed_watched_and_deleted(farm: Farm, url: str) -> None:
    make_clips(farm.folder / "clips", 1, seconds=2.0)
    with Client(url) as client:
        job = client.enqueue("clips", key="made-up-by-me")
        assert client.enqueue("clips", key="made-up-by-me").id == job.id
        with pytest.raises(ConflictError, match="needs a new key"):
            client.enqueue("clips", key="made-up-by-me", every_s=5.0)
        with pytest.raises(ConflictError, match="cancel it first"):
            job.delete()
        seen = job.watch(timeout_s=120)
        assert next(seen).state == "queued"
        farm.run_all()
        assert list(seen)[-1].state == "done"
        assert list(job.iter_videos()) == job.videos == [1]
        assert [one.id for one in client.jobs(state="done")] == [job.id]
        assert job.delete().counts.indexed == 1
        assert client.jobs() == []
        with pytest.raises(NotFoundError):
            client.job(job.id)
        assert farm.store.video(1).state == "indexed"
