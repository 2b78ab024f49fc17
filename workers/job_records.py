"""Jobs as they stand in Redis: begun, kept open while sources are taken in, listed, paged through, forgotten."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import redis

from hashreel.errors import ConflictError, NotFoundError
from hashreel.schemas import JobModel, JobState, JobVideos, Lane
from workers.job_models import ENDED, job_model
from workers.message_context import job_fields

if TYPE_CHECKING:
    from indexer.records import Generation, VideoRecord
    from indexer.store import Store

__all__ = ["VIDEOS_SLICE", "JobRecords"]

OPEN_S = 300.0
VIDEOS_SHOWN = 1000
"""A job of many sources is looked at every second; who wants all of its videos asks for pages of them."""
VIDEOS_SLICE = 500
"""So many videos' records are in memory at a time."""
JOBS_SLICE = 200


class JobRecords:
    """Reads and changes the records of jobs.

    Args:
        store: The stored state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    # A job that takes sources in

    def begin(self, generation: Generation, lane: Lane) -> str:
        """Return the id of a new job of a generation, open for sources."""
        job, now = secrets.token_hex(6), time.time()
        record: dict[str, str | int | float] = {
            "collection": generation.collection,
            "generation": generation.id,
            "fingerprint": generation.fingerprint,
            "lane": lane,
            "created_at": now,
            "finished_at": now,
            "is_open": 1,
            "open_until": now + OPEN_S,
            **job_fields(),
        }
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.hset(self._keys.job(job), mapping=record)  # type: ignore[arg-type]
            pipe.zadd(self._keys.jobs, {job: now})
            pipe.execute()
        return job

    def set_lane(self, job: str, lane: Lane) -> None:
        """Say in which lane the job's work goes."""
        self._store.redis.hset(self._keys.job(job), "lane", lane)

    def keep_open(self, job: str) -> None:
        """Say that whoever takes sources in is still at it; a job that nobody keeps open ends with its last video."""
        self._store.redis.hset(self._keys.job(job), "open_until", time.time() + OPEN_S)

    def mark_complete(self, job: str) -> None:
        """Say that all sources were taken in."""
        self._store.redis.hset(self._keys.job(job), "is_complete", 1)

    def close(self, job: str) -> None:
        """Say that no more sources come."""
        self._store.redis.hset(self._keys.job(job), "is_open", 0)

    def fingerprint(self, job: str) -> str:
        """Return the fingerprint of the model whose work a job is."""
        return cast("bytes", self._store.redis.hget(self._keys.job(job), "fingerprint")).decode()

    def mark_cancelled(self, job: str) -> None:
        """Say that a job was cancelled."""
        self._store.redis.hset(self._keys.job(job), "is_cancelled", 1)

    # Saying how far it is

    def newest(self, limit: int = 50, state: JobState | None = None) -> list[JobModel]:
        """Return the newest jobs, without the numbers of their videos; only those in a state, if one is given."""
        found: list[JobModel] = []
        for start in itertools.count(0, JOBS_SLICE):
            last = start + JOBS_SLICE - 1 if state else min(start + JOBS_SLICE, limit) - 1
            names = cast("list[bytes]", self._store.redis.zrevrange(self._keys.jobs, start, last))
            found += [job for job in self._models(names) if state in {None, job.state}]
            if len(found) >= limit or len(names) < JOBS_SLICE:
                break
        return found[:limit]

    def _models(self, names: Sequence[bytes]) -> list[JobModel]:
        """Return jobs in one round trip; those that were forgotten since their names were read are left out."""
        with self._store.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._keys.job(name.decode()))
            rows = zip(names, pipe.execute(), strict=True)
        return [job_model(name.decode(), stored, []) for name, stored in rows if b"created_at" in stored]

    def job(self, job_id: str) -> JobModel:
        """Return one job, with the numbers of its first thousand videos; NotFoundError if there is none."""
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys.job(job_id))
            pipe.lrange(self._keys.job_videos(job_id), 0, VIDEOS_SHOWN - 1)
            stored, videos = pipe.execute()
        if b"created_at" not in stored:
            raise NotFoundError(f"there is no job {job_id!r}")
        return job_model(job_id, stored, [int(video) for video in videos])

    def videos(self, job_id: str, *, limit: int = 1000, offset: int = 0) -> JobVideos:
        """Return a page of a job's videos, in order of the sources; NotFoundError if there is no such job."""
        key = self._keys.job_videos(job_id)
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.exists(self._keys.job(job_id))
            pipe.lrange(key, offset, offset + limit - 1)
            pipe.llen(key)
            is_there, videos, total = pipe.execute()
        if not is_there:
            raise NotFoundError(f"there is no job {job_id!r}")
        return JobVideos(videos=[int(video) for video in videos], total=total)

    def records(self, job_id: str) -> Iterator[VideoRecord]:
        """Yield the records of a job's videos that are still there, as many at a time as memory can bear."""
        # The list is read first: a retry puts a fresh attempt where the failed one was.
        numbers: list[int] = []
        while page := self.videos(job_id, limit=10_000, offset=len(numbers)).videos:
            numbers += page
        for start in range(0, len(numbers), VIDEOS_SLICE):
            found = self._store.find_videos(numbers[start : start + VIDEOS_SLICE])
            yield from (record for record in found if record is not None)

    # Forgetting

    def forget(self, job_id: str) -> None:
        """Forget a job that has no sources yet."""
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._keys.job(job_id))
            pipe.zrem(self._keys.jobs, job_id)
            pipe.execute()

    def delete(self, job_id: str) -> JobModel:
        """Forget a job that has ended, and return what it was; its videos stay.

        Raises:
            NotFoundError: If there is no such job.
            ConflictError: If it has not ended.
        """
        with self._store.redis.pipeline(transaction=True) as pipe:
            while True:
                # Watched, so that a retry that comes between keeps its record.
                pipe.watch(self._keys.job(job_id))  # type: ignore[no-untyped-call]
                job = self.job(job_id)
                if job.state not in ENDED:
                    raise ConflictError(f"job {job_id} is {job.state}; cancel it first, or wait for its end")
                pipe.multi()
                pipe.delete(self._keys.job(job_id), self._keys.job_videos(job_id))
                pipe.zrem(self._keys.jobs, job_id)
                try:
                    pipe.execute()
                except redis.WatchError:
                    continue
                return job
