"""Jobs: taking sources in, saying how far they are, cancelling, retrying, and listing what failed."""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import redis

from encoder.policies import parse_policy
from hashreel.errors import ConflictError, NotFoundError
from hashreel.schemas import (
    EnqueueRequest,
    Failure,
    Failures,
    JobModel,
    JobState,
    JobVideos,
    Lane,
    RelocateRequest,
    Relocations,
)
from indexer.records import NewVideo, VideoRecord
from workers.evaluation_queue import EvaluationQueue
from workers.job_models import ENDED, job_model
from workers.message_context import job_fields
from workers.messages import Unit
from workers.relocating import Relocator
from workers.sending import Dispatcher, Sender
from workers.sources import Source, SourceRoots

if TYPE_CHECKING:
    from hashreel.settings import Settings
    from indexer.records import Generation
    from indexer.store import Store
    from workers.units import Units

__all__ = ["JobQueue", "Sender"]

TAKE_SLICE = 500
REENCODE_SLICE = 200
OPEN_S = 300.0
VIDEOS_SHOWN = 1000
"""A job of many sources is looked at every second; who wants all of its videos asks for pages of them."""
VIDEOS_SLICE = 500
JOBS_SLICE = 200
INTERACTIVE_SOURCES = 20
INTERACTIVE_BYTES = 8 * 2**30


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
        self._settings = settings
        self._dispatcher = Dispatcher(store, send)
        roots = {"uploads": settings.data / "uploads", **settings.roots}
        self._roots = SourceRoots(roots, is_open=settings.open_roots, settings=settings)
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
            ConflictError: If the request's key came with another request before.
        """
        policy = self._policy(request)
        generation = self._store.collection(request.collection or self._settings.collection)
        known = self._known_request(request, generation)
        if known is not None:
            return known
        job = self._new_job(generation, request.lane or "bulk")
        known = self._note_request(request, generation, job)
        if known is not None:
            return known
        key = self._store.keys.job(job)
        try:
            sources = self._sources(request.sources)
            first = list(itertools.islice(sources, INTERACTIVE_SOURCES + 1))
            lane = request.lane or _lane_of(first)
            self._store.redis.hset(key, "lane", lane)
            for part in _slices(itertools.chain(first, sources)):
                self._take(generation, job, lane, part, policy, request)
                self._store.redis.hset(key, "open_until", time.time() + OPEN_S)
            self._store.redis.hset(key, "is_complete", 1)
        finally:
            self._store.redis.hset(key, "is_open", 0)
        return self.job(job)

    def _known_request(self, request: EnqueueRequest, generation: Generation) -> JobModel | None:
        """Return the job of an earlier request with the same key; None if it broke off, or there was none."""
        if request.key is None:
            return None
        stored = cast("bytes | None", self._store.redis.get(self._store.keys.job_key(_key_digest(request, generation))))
        if stored is None:
            return None
        job, _, digest = stored.decode().partition(" ")
        if digest != _request_digest(request):
            raise ConflictError(
                f"the key {request.key!r} came with other sources before; a new request needs a new key"
            )
        raw = cast("list[bytes | None]", self._store.redis.hmget(self._store.keys.job(job), ["is_complete", "is_open"]))
        return self.job(job) if raw[0] == b"1" or (raw[1] == b"1" and self.job(job).state not in ENDED) else None

    def _note_request(self, request: EnqueueRequest, generation: Generation, job: str) -> JobModel | None:
        """Write down which job a request with a key has; return the other one if the same request came just before."""
        if request.key is None:
            return None
        key, kept_s = self._store.keys.job_key(_key_digest(request, generation)), int(self._settings.job_keep_s)
        value = f"{job} {_request_digest(request)}"
        if self._store.redis.set(key, value, nx=True, ex=kept_s):
            return None
        known = self._known_request(request, generation)
        if known is None:
            self._store.redis.set(key, value, ex=kept_s)
            return None
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._store.keys.job(job))
            pipe.zrem(self._store.keys.jobs, job)
            pipe.execute()
        return known

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

    def _new_job(self, generation: Generation, lane: Lane) -> str:
        job, now = secrets.token_hex(6), time.time()
        keys = self._store.keys
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
            pipe.hset(keys.job(job), mapping=record)  # type: ignore[arg-type]
            pipe.zadd(keys.jobs, {job: now})
            pipe.execute()
        return job

    def _take(
        self,
        generation: Generation,
        job: str,
        lane: Lane,
        sources: Sequence[Source],
        policy: dict[str, object],
        request: EnqueueRequest,
    ) -> None:
        candidates = [_new_video(source, policy, request.tags) for source in sources]
        found = self._store.find_contents(generation.id, [new.content for new in candidates])
        pairs = list(zip(candidates, found, strict=True))
        if not request.again:
            self._skip(job, [(known, new.tags) for new, known in pairs if known is not None])
            pairs = [(new, None) for new, known in pairs if known is None]
        fresh = [replace(new, replaces=known, again=request.again) for new, known in pairs]
        self._begin(generation, job, lane, fresh)

    def _begin(self, generation: Generation, job: str, lane: Lane, fresh: Sequence[NewVideo]) -> None:
        """Register sources with their first units, and send what there is room for."""
        enlist = self._enlisting(job, generation.fingerprint, lane)
        self._store.register(generation.id, job, fresh, first_unit=_first_unit, also=enlist)
        self._dispatcher.feed(generation.fingerprint)

    def _enlisting(self, job: str, fingerprint: str, lane: Lane) -> Any:
        def enlist(pipe: Any, names: Sequence[str]) -> None:
            units = [Unit.parse(name) for name in names]
            self._dispatcher.enlist(pipe, units, job=job, fingerprint=fingerprint, lane=lane)

        return enlist

    def _skip(self, job: str, known: Sequence[tuple[int, Mapping[str, str]]]) -> None:
        """Count sources that are indexed already, and list their videos under the job; new tags are set."""
        if not known:
            return
        tagged = [(video, tags) for video, tags in known if tags]
        for (video, tags), record in zip(tagged, self._store.find_videos(v for v, _ in tagged), strict=True):
            if record is not None and not tags.items() <= record.tags.items():
                self._store.set_tags(video, tags)
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.hincrby(self._store.keys.job(job), "total", len(known))
            pipe.hincrby(self._store.keys.job(job), "n_skipped", len(known))
            pipe.rpush(self._store.keys.job_videos(job), *[video for video, _ in known])
            pipe.execute()

    def reencode(self, collection: str, generation: str) -> JobModel:
        """Index the sources of a collection's live generation into another of its generations.

        Calling it again goes on where it stopped: what is in the new generation, or on its way there, is skipped.
        """
        live, target = self._store.collection(collection), self._store.generation(generation)
        job = self._new_job(target, "bulk")
        begun = self._begun(target)
        numbers = self._store.video_numbers(live.id)
        for first in range(0, len(numbers), REENCODE_SLICE):
            records = self._store.find_videos(numbers[first : first + REENCODE_SLICE])
            wanted = [r for r in records if r is not None and r.state in {"indexed", "skipped"}]
            fresh = [new for record in wanted if (new := self._renewed(target, job, record, begun)) is not None]
            self._begin(target, job, "bulk", fresh)
            self._store.redis.hset(self._store.keys.job(job), "open_until", time.time() + OPEN_S)
        self._store.redis.hset(self._store.keys.job(job), "is_open", 0)
        return self.job(job)

    def _begun(self, target: Generation) -> dict[str, int]:
        """Return the videos that are being encoded into a generation, by source and policy."""
        numbers = self._store.video_numbers(target.id)
        slices = (numbers[first : first + REENCODE_SLICE] for first in range(0, len(numbers), REENCODE_SLICE))
        records = (record for part in slices for record in self._store.find_videos(part))
        return {_what(r): r.id for r in records if r is not None and r.state in {"queued", "encoding"}}

    def _renewed(self, target: Generation, job: str, record: VideoRecord, begun: Mapping[str, int]) -> NewVideo | None:
        """Return a video's source as one to index anew; None if the target has it, or is about to."""
        source = next(iter(self._roots.expand(record.path or record.source)))
        new = _new_video(replace(source, name=record.source), record.policy, record.tags)
        new = replace(new, again=record.again)
        known = begun.get(_what(record))
        if known is None:
            known = self._store.find_content(target.id, new.content) if new.content else self._placed(target, new.place)
        if known is not None:
            self._skip(job, [(known, record.tags)])
            return None
        return new

    def _placed(self, target: Generation, place: str) -> int | None:
        """Return what is indexed at a place: what lies elsewhere is known by nothing else before it is read."""
        found = self._store.redis.hget(self._store.keys.places(target.id), place)
        return int(found) if found is not None else None

    # Saying how far it is

    def jobs(self, limit: int = 50, state: JobState | None = None) -> list[JobModel]:
        """Return the newest jobs, without the numbers of their videos; only those in a state, if one is given."""
        found: list[JobModel] = []
        for start in itertools.count(0, JOBS_SLICE):
            last = start + JOBS_SLICE - 1 if state else min(start + JOBS_SLICE, limit) - 1
            names = cast("list[bytes]", self._store.redis.zrevrange(self._store.keys.jobs, start, last))
            found += [job for job in self._models(names) if state in {None, job.state}]
            if len(found) >= limit or len(names) < JOBS_SLICE:
                break
        return found[:limit]

    def _models(self, names: Sequence[bytes]) -> list[JobModel]:
        """Return jobs in one round trip; those that were forgotten since their names were read are left out."""
        with self._store.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._store.keys.job(name.decode()))
            rows = zip(names, pipe.execute(), strict=True)
        return [job_model(name.decode(), stored, []) for name, stored in rows if b"created_at" in stored]

    def job(self, job_id: str) -> JobModel:
        """Return one job, with the numbers of its first thousand videos; NotFoundError if there is none."""
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._store.keys.job(job_id))
            pipe.lrange(self._store.keys.job_videos(job_id), 0, VIDEOS_SHOWN - 1)
            stored, videos = pipe.execute()
        if b"created_at" not in stored:
            raise NotFoundError(f"there is no job {job_id!r}")
        return job_model(job_id, stored, [int(video) for video in videos])

    def job_videos(self, job_id: str, *, limit: int = 1000, offset: int = 0) -> JobVideos:
        """Return a page of a job's videos, in order of the sources; NotFoundError if there is no such job."""
        key = self._store.keys.job_videos(job_id)
        with self._store.redis.pipeline(transaction=True) as pipe:
            pipe.exists(self._store.keys.job(job_id))
            pipe.lrange(key, offset, offset + limit - 1)
            pipe.llen(key)
            is_there, videos, total = pipe.execute()
        if not is_there:
            raise NotFoundError(f"there is no job {job_id!r}")
        return JobVideos(videos=[int(video) for video in videos], total=total)

    def _records(self, job_id: str) -> Iterator[VideoRecord]:
        """Yield the records of a job's videos that are still there, as many at a time as memory can bear."""
        # The list is read first: a retry puts a fresh attempt where the failed one was.
        numbers: list[int] = []
        while page := self.job_videos(job_id, limit=10_000, offset=len(numbers)).videos:
            numbers += page
        for start in range(0, len(numbers), VIDEOS_SLICE):
            found = self._store.find_videos(numbers[start : start + VIDEOS_SLICE])
            yield from (record for record in found if record is not None)

    # Changing its course

    def cancel(self, job_id: str, *, keep_partial: bool = False) -> JobModel:
        """Stop what is not finished; committed chunks of unfinished videos go unless ``keep_partial``."""
        self.job(job_id)
        key = self._store.keys.job(job_id)
        self._store.redis.hset(key, "is_cancelled", 1)
        fingerprint = cast("bytes", self._store.redis.hget(key, "fingerprint")).decode()
        self._dispatcher.drop(job_id, fingerprint)
        records = self._records(job_id)
        while part := list(itertools.islice(records, VIDEOS_SLICE)):
            unfinished = [r for r in part if r.job == job_id and r.state in {"queued", "encoding"}]
            self._store.cancel_many((record.id for record in unfinished), keep_partial=keep_partial)
            chunks = (Unit(record.id, chunk) for record in unfinished for chunk in range(record.chunks))
            self._units.finish([*(Unit(record.id) for record in unfinished), *chunks])
        self._dispatcher.drop(job_id, fingerprint)
        return self.job(job_id)

    def retry(self, job_id: str) -> JobModel:
        """Queue the job's failed sources again, each under a new video number."""
        for record in self._records(job_id):
            if record.job == job_id and record.state == "failed":
                self._retry_one(record)
        return self.job(job_id)

    def _retry_one(self, record: VideoRecord) -> None:
        source = next(iter(self._roots.expand(record.path or record.source)))
        new = _new_video(replace(source, name=record.source), record.policy, record.tags, replaces=record.replaces)
        new = replace(new, again=record.again)
        fingerprint = self._store.generation(record.generation).fingerprint
        enlist = self._enlisting(record.job, fingerprint, self._dispatcher.lane_of(record.job))
        number = self._store.retry(record, new, first_unit=_first_unit, also=enlist)
        if number is not None and new.failure is None:
            self._dispatcher.feed(fingerprint)

    def delete(self, job_id: str) -> JobModel:
        """Forget a job that has ended, and return what it was; its videos stay.

        Raises:
            NotFoundError: If there is no such job.
            ConflictError: If it has not ended.
        """
        keys = self._store.keys
        with self._store.redis.pipeline(transaction=True) as pipe:
            while True:
                # Watched, so that a retry that comes between keeps its record.
                pipe.watch(keys.job(job_id))  # type: ignore[no-untyped-call]
                job = self.job(job_id)
                if job.state not in ENDED:
                    raise ConflictError(f"job {job_id} is {job.state}; cancel it first, or wait for its end")
                pipe.multi()
                pipe.delete(keys.job(job_id), keys.job_videos(job_id))
                pipe.zrem(keys.jobs, job_id)
                try:
                    pipe.execute()
                except redis.WatchError:
                    continue
                return job

    # Sources that have moved

    def relocate(self, request: RelocateRequest) -> Relocations:
        """Give videos the new names of their sources, a turn at a time."""
        relocator = Relocator(self._store, self._roots, _content, _place)
        return relocator.relocate(request, request.collection or self._settings.collection)

    # What failed

    def failures(
        self, *, job: str | None = None, video: int | None = None, limit: int = 100, offset: int = 0
    ) -> Failures:
        """Return recorded failures, newest first: failed sources, and what damaged ones lost."""
        if video is not None:
            rows = _failures(self._store.video(video), 0.0)
        elif job is not None:
            rows = [failure for record in self._records(job) for failure in _failures(record, 0.0)]
        else:
            return self._all_failures(limit, offset)
        return Failures(failures=rows[offset : offset + limit], total=len(rows))

    def _all_failures(self, limit: int, offset: int) -> Failures:
        generation = self._store.collection(self._settings.collection)
        pairs, total = self._store.failed_page(generation.id, limit, offset)
        return Failures(failures=[row for record, at in pairs for row in _failures(record, at)], total=total)


def _lane_of(first: Sequence[Source]) -> Lane:
    """Return the lane of a job by its first sources: somebody waits for a few, nobody for a whole archive."""
    is_small = len(first) <= INTERACTIVE_SOURCES and sum(source.size for source in first) <= INTERACTIVE_BYTES
    return "interactive" if is_small else "bulk"


def _key_digest(request: EnqueueRequest, generation: Generation) -> str:
    # Callers of one collection learn nothing of another's.
    return hashlib.sha256(f"{generation.collection} {request.key}".encode()).hexdigest()


def _request_digest(request: EnqueueRequest) -> str:
    return hashlib.sha256(request.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()


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


def _what(record: VideoRecord) -> str:
    """Return what tells a source and its policy apart from others, whatever is indexed of it."""
    return json.dumps([record.source, record.policy], sort_keys=True)


def _content(source: Source, policy: Mapping[str, object]) -> str:
    """Return what tells that a source was indexed before: name, size, time of change and policy.

    What lies elsewhere has none: whether it was changed is seen when it is fetched.
    """
    if "://" in source.path:
        return ""
    text = json.dumps([source.name, source.size, source.modified_ns, policy], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _place(source: Source, policy: Mapping[str, object]) -> str:
    """Return what tells that an overwritten file is the same source: name and policy."""
    text = json.dumps([source.name, policy], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
