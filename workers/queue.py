"""Jobs: taking sources in, saying how far they are, cancelling, retrying, and listing what failed."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from kombu.exceptions import KombuError, OperationalError

from encoder.policies import parse_policy
from hashreel.errors import NotFoundError
from hashreel.schemas import EnqueueRequest, Failure, Failures, JobCounts, JobModel, JobState
from indexer.records import NewVideo, VideoRecord
from workers.evaluation_queue import EvaluationQueue
from workers.messages import (
    EVALUATION_QUEUE,
    RUN_EVALUATION,
    RUN_UNIT,
    Unit,
    evaluation_payload,
    payload,
    queue_name,
)
from workers.sources import Source, SourceRoots

if TYPE_CHECKING:
    from celery import Celery

    from hashreel.settings import Settings
    from indexer.records import Generation
    from indexer.store import Store
    from workers.units import Units

__all__ = ["JobQueue", "Sender"]

logger = logging.getLogger(__name__)

TAKE_SLICE = 500
REENCODE_SLICE = 200
OPEN_S = 300.0


class Sender:
    """Sends units to the queue of a model.

    A message that cannot be sent is no loss: the unit is recorded as queued, and the reconciler sends it.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self, units: Iterable[Unit], fingerprint: str) -> None:
        """Send one message a unit."""
        try:
            for unit in units:
                self._app.send_task(
                    RUN_UNIT,
                    kwargs=payload(unit),
                    task_id=str(unit),
                    queue=queue_name(fingerprint),
                    ignore_result=True,
                )
        except (OperationalError, KombuError, OSError) as exc:
            logger.warning("units stay queued, the broker does not answer: %s", exc, extra={"action": "send_failed"})

    def evaluations(self, names: Iterable[str]) -> None:
        """Send one message an evaluation, to whatever worker is free first."""
        try:
            for name in names:
                self._app.send_task(
                    RUN_EVALUATION,
                    kwargs=evaluation_payload(name),
                    task_id=name,
                    queue=EVALUATION_QUEUE,
                    ignore_result=True,
                )
        except (OperationalError, KombuError, OSError) as exc:
            logger.warning("evaluations stay queued: %s", exc, extra={"action": "send_failed"})


class JobQueue:
    """What the HTTP app and the command line enqueue through (``search.ports.QueuePort``).

    Args:
        store: The stored state.
        units: Records of the units.
        send: Sends units to the queue of the model with a fingerprint.
        settings: Source roots and defaults.
    """

    def __init__(self, store: Store, units: Units, send: Sender, settings: Settings) -> None:
        self._store = store
        self._units = units
        self._send = send
        self._settings = settings
        roots = {"uploads": settings.data / "uploads", **settings.roots}
        self._roots = SourceRoots(roots, is_open=settings.open_roots)
        self.evaluations = EvaluationQueue(store, send, settings)

    def units(self) -> tuple[int, int]:
        """Return how many units of work wait, and how many run."""
        return self._units.counts()

    # Taking work in

    def enqueue(self, request: EnqueueRequest) -> JobModel:
        """Register the sources and start their work.

        Raises:
            BadInputError: If the key-frame policy is not a valid one.
            NotFoundError: If there is no such collection.
        """
        policy = self._policy(request)
        generation = self._store.collection(request.collection or self._settings.collection)
        job = self._new_job(generation)
        try:
            for sources in _slices(self._sources(request.sources)):
                self._take(generation, job, sources, policy, request)
                self._store.redis.hset(self._store.keys.job(job), "open_until", time.time() + OPEN_S)
        finally:
            self._store.redis.hset(self._store.keys.job(job), "is_open", 0)
        return self.job(job)

    def _sources(self, texts: Iterable[str]) -> Iterator[Source]:
        """Yield what the texts stand for; a source that several of them reach comes once."""
        seen: set[str] = set()
        for text in texts:
            for source in self._roots.expand(text):
                if source.name not in seen:
                    seen.add(source.name)
                    yield source

    def _policy(self, request: EnqueueRequest) -> dict[str, object]:
        document = {} if request.policy is None else request.policy.model_dump(exclude_none=True)
        document = {"kind": "every"} | document
        if document["kind"] == "every":
            document = {"seconds": self._settings.every_s} | document
        return parse_policy(document).to_json()

    def _new_job(self, generation: Generation) -> str:
        job, now = secrets.token_hex(6), time.time()
        keys = self._store.keys
        record: dict[str, str | int | float] = {
            "collection": generation.collection,
            "generation": generation.id,
            "fingerprint": generation.fingerprint,
            "created_at": now,
            "finished_at": now,
            "is_open": 1,
            "open_until": now + OPEN_S,
        }
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.hset(keys.job(job), mapping=record)  # type: ignore[arg-type]
            pipe.zadd(keys.jobs, {job: now})
            pipe.execute()
        return job

    def _take(
        self,
        generation: Generation,
        job: str,
        sources: Sequence[Source],
        policy: dict[str, object],
        request: EnqueueRequest,
    ) -> None:
        fresh: list[NewVideo] = []
        for source in sources:
            content = _content(source, policy)
            known = self._store.find_content(generation.id, content)
            if known is not None and not request.again:
                self._skip(job, known, request.tags)
                continue
            fresh.append(_new_video(source, policy, request.tags, replaces=known))
        self._begin(generation, job, fresh)

    def _begin(self, generation: Generation, job: str, fresh: Sequence[NewVideo]) -> None:
        """Register sources and send their first units."""
        numbers = self._store.register(generation.id, job, fresh, first_unit=_first_unit)
        begun = [Unit(number) for number, new in zip(numbers, fresh, strict=True) if new.failure is None]
        self._send(begun, generation.fingerprint)

    def _skip(self, job: str, known: int, tags: Mapping[str, str]) -> None:
        """Count a source that is indexed already, and list its video under the job; new tags are set."""
        record = self._store.find_video(known)
        if record is not None and not tags.items() <= record.tags.items():
            self._store.set_tags(known, tags)
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.hincrby(self._store.keys.job(job), "total", 1)
            pipe.hincrby(self._store.keys.job(job), "n_skipped", 1)
            pipe.rpush(self._store.keys.job_videos(job), known)
            pipe.execute()

    def reencode(self, collection: str, generation: str) -> JobModel:
        """Index the sources of a collection's live generation into another of its generations.

        Calling it again goes on where it stopped: what is in the new generation already is skipped.
        """
        live, target = self._store.collection(collection), self._store.generation(generation)
        job = self._new_job(target)
        numbers = self._store.video_numbers(live.id)
        for first in range(0, len(numbers), REENCODE_SLICE):
            records = self._store.find_videos(numbers[first : first + REENCODE_SLICE])
            wanted = [r for r in records if r is not None and r.state == "indexed"]
            fresh = [new for record in wanted if (new := self._renewed(target, job, record)) is not None]
            self._begin(target, job, fresh)
            self._store.redis.hset(self._store.keys.job(job), "open_until", time.time() + OPEN_S)
        self._store.redis.hset(self._store.keys.job(job), "is_open", 0)
        return self.job(job)

    def _renewed(self, target: Generation, job: str, record: VideoRecord) -> NewVideo | None:
        """Return a video's source as one to index anew; None if the target has it."""
        source = next(iter(self._roots.expand(record.path or record.source)))
        new = _new_video(replace(source, name=record.source), record.policy, record.tags)
        known = self._store.find_content(target.id, new.content)
        if known is not None:
            self._skip(job, known, record.tags)
            return None
        return new

    # Saying how far it is

    def jobs(self, limit: int = 50) -> list[JobModel]:
        """Return the newest jobs."""
        names = cast("list[bytes]", self._store.redis.zrevrange(self._store.keys.jobs, 0, limit - 1))
        jobs = []
        for name in names:
            with suppress(NotFoundError):  # forgotten since the names were read
                jobs.append(self._job(name.decode(), with_videos=False))
        return jobs

    def job(self, job_id: str) -> JobModel:
        """Return one job; NotFoundError if there is none."""
        return self._job(job_id, with_videos=True)

    def _job(self, job_id: str, *, with_videos: bool) -> JobModel:
        keys = self._store.keys
        stored = cast("dict[bytes, bytes]", self._store.redis.hgetall(keys.job(job_id)))
        if b"created_at" not in stored:
            raise NotFoundError(f"there is no job {job_id!r}")
        raw = {name.decode(): value.decode() for name, value in stored.items()}
        videos = cast("list[bytes]", self._store.redis.lrange(keys.job_videos(job_id), 0, -1)) if with_videos else []
        counts = _counts(raw)
        state = _state(raw, counts)
        return JobModel(
            id=job_id,
            state=state,
            collection=raw["collection"],
            counts=counts,
            frames=_number(raw, "frames"),
            chunks=_number(raw, "chunks"),
            chunks_done=_number(raw, "chunks_done"),
            created_at=float(raw["created_at"]),
            finished_at=float(raw["finished_at"]) if state in {"done", "cancelled"} and "finished_at" in raw else None,
            decode_s=float(raw.get("decode_s", 0)),
            encode_s=float(raw.get("encode_s", 0)),
            commit_s=float(raw.get("commit_s", 0)),
            videos=[int(video) for video in videos],
        )

    # Changing its course

    def cancel(self, job_id: str, *, keep_partial: bool = False) -> JobModel:
        """Stop what is not finished; committed chunks of unfinished videos go unless ``keep_partial``."""
        job = self.job(job_id)
        self._store.redis.hset(self._store.keys.job(job_id), "is_cancelled", 1)
        for record in self._store.find_videos(job.videos):
            if record is not None and record.job == job_id and record.state in {"queued", "encoding"}:
                self._store.cancel(record.id, keep_partial=keep_partial)
                self._units.finish([Unit(record.id), *(Unit(record.id, chunk) for chunk in range(record.chunks))])
        return self.job(job_id)

    def retry(self, job_id: str) -> JobModel:
        """Queue the job's failed sources again, each under a new video number."""
        for record in self._store.find_videos(self.job(job_id).videos):
            if record is not None and record.job == job_id and record.state == "failed":
                self._retry_one(record)
        return self.job(job_id)

    def _retry_one(self, record: VideoRecord) -> None:
        source = next(iter(self._roots.expand(record.path or record.source)))
        new = _new_video(replace(source, name=record.source), record.policy, record.tags, replaces=record.replaces)
        number = self._store.retry(record, new, first_unit=_first_unit)
        if number is not None and new.failure is None:
            self._send([Unit(number)], self._store.generation(record.generation).fingerprint)

    # What failed

    def failures(
        self, *, job: str | None = None, video: int | None = None, limit: int = 100, offset: int = 0
    ) -> Failures:
        """Return recorded failures, newest first: failed sources, and what damaged ones lost."""
        if video is not None:
            rows = _failures(self._store.video(video), 0.0)
        elif job is not None:
            records = self._store.find_videos(self.job(job).videos)
            rows = [failure for record in records if record is not None for failure in _failures(record, 0.0)]
        else:
            return self._all_failures(limit, offset)
        return Failures(failures=rows[offset : offset + limit], total=len(rows))

    def _all_failures(self, limit: int, offset: int) -> Failures:
        generation = self._store.collection(self._settings.collection)
        pairs, total = self._store.failed_page(generation.id, limit, offset)
        return Failures(failures=[row for record, at in pairs for row in _failures(record, at)], total=total)


def _first_unit(video: int) -> str:
    return str(Unit(video))


def _slices(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """Yield sources in lists, so that a large archive starts to be encoded while it is still being listed."""
    part: list[Source] = []
    for source in sources:
        part.append(source)
        if len(part) == TAKE_SLICE:
            yield part
            part = []
    if part:
        yield part


def _failures(record: VideoRecord, at: float) -> list[Failure]:
    if record.state == "failed":
        return [
            Failure(
                source=record.source,
                video=record.id,
                job=record.job,
                stage=record.stage,
                reason=record.reason,
                retryable=record.retryable,
                at=at,
            )
        ]
    return [
        Failure(
            source=record.source,
            video=record.id,
            job=record.job,
            stage=str(warning.get("stage", "")),
            reason=str(warning.get("reason", "")),
            retryable=False,
            partial=True,
            at=at,
        )
        for warning in record.warnings
    ]


def _new_video(
    source: Source, policy: Mapping[str, object], tags: Mapping[str, str], *, replaces: int | None = None
) -> NewVideo:
    return NewVideo(
        source=source.name,
        path=source.path,
        kind=source.kind,
        policy=policy,
        tags=tags,
        size=source.size,
        modified_ns=source.modified_ns,
        content=_content(source, policy),
        place=_place(source, policy),
        failure=("source", source.problem) if source.problem else None,
        replaces=replaces,
    )


def _content(source: Source, policy: Mapping[str, object]) -> str:
    """Return what tells that a source was indexed before: name, size, time of change and policy."""
    text = json.dumps([source.name, source.size, source.modified_ns, policy], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _place(source: Source, policy: Mapping[str, object]) -> str:
    """Return what tells that an overwritten file is the same source: name and policy."""
    text = json.dumps([source.name, policy], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _number(raw: dict[str, str], name: str) -> int:
    return int(float(raw.get(name, "0")))


def _counts(raw: dict[str, str]) -> JobCounts:
    names = ("queued", "encoding", "indexed", "failed", "cancelled", "skipped")
    return JobCounts(total=_number(raw, "total"), **{name: _number(raw, f"n_{name}") for name in names})


def _state(raw: dict[str, str], counts: JobCounts) -> JobState:
    # A service that was killed while it took sources in cannot say that it has ended.
    is_open = raw.get("is_open") == "1" and float(raw.get("open_until", 0)) > time.time()
    if counts.queued + counts.encoding or is_open:
        begun = counts.encoding + counts.indexed + counts.failed
        return "running" if begun else "queued"
    return "cancelled" if raw.get("is_cancelled") == "1" else "done"
