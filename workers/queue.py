"""What others enqueue through: jobs are begun, watched, cancelled, retried, and what failed is listed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from encoder.policies import parse_policy
from hashreel.schemas import (
    EnqueueRequest,
    Failures,
    JobModel,
    JobState,
    JobVideos,
    Lane,
    RelocateRequest,
    Relocations,
)
from workers.evaluation_queue import EvaluationQueue
from workers.intake import Intake
from workers.job_failures import failures_of
from workers.job_records import VIDEOS_SLICE, JobRecords
from workers.job_requests import JobRequests
from workers.messages import Unit
from workers.new_videos import renewed_video
from workers.reencoding import Reencoder
from workers.relocating import Relocator
from workers.sending import Dispatcher
from workers.sources import Source, SourceRoots

if TYPE_CHECKING:
    from hashreel.settings import Settings
    from indexer.store import Store
    from workers.sending import Sender
    from workers.units import Units

__all__ = ["JobQueue"]

TAKE_SLICE = 500
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
        self._jobs = JobRecords(store)
        self._requests = JobRequests(store, self._jobs, settings.job_keep_s)
        self._intake = Intake(store, self._dispatcher)
        self.evaluations = EvaluationQueue(store, send, settings)

    def units(self) -> tuple[int, int]:
        """Return how many units of work wait, and how many run."""
        return self._units.counts()

    def side_work(self) -> tuple[int, int]:
        """Return how many evaluations wait or run, and how many webhook messages wait."""
        with self._store.redis.pipeline(transaction=False) as pipe:
            pipe.zcard(self._store.keys.evaluations_open)
            pipe.zcard(self._store.keys.deliveries)
            evaluations, webhooks = pipe.execute()
        return evaluations, webhooks

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
        known = self._requests.known(request, generation)
        if known is not None:
            return known
        job = self._jobs.begin(generation, request.lane or "bulk")
        known = self._requests.note(request, generation, job)
        if known is not None:
            return known
        try:
            sources = self._sources(request.sources)
            first = list(itertools.islice(sources, INTERACTIVE_SOURCES + 1))
            lane = request.lane or _lane_of(first)
            self._jobs.set_lane(job, lane)
            for part in _slices(itertools.chain(first, sources)):
                self._intake.take(generation, job, lane, part, policy, request)
                self._jobs.keep_open(job)
            self._jobs.mark_complete(job)
        finally:
            self._jobs.close(job)
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

    def reencode(self, collection: str, generation: str) -> JobModel:
        """Index the sources of a collection's live generation into another of its generations.

        Calling it again goes on where it stopped: what is in the new generation, or on its way there, is skipped.
        """
        live, target = self._store.collection(collection), self._store.generation(generation)
        reencoder = Reencoder(self._store, self._jobs, self._intake, self._roots)
        return self.job(reencoder.reencode(live, target))

    # Saying how far it is

    def jobs(self, limit: int = 50, state: JobState | None = None) -> list[JobModel]:
        """Return the newest jobs, without the numbers of their videos; only those in a state, if one is given."""
        return self._jobs.newest(limit, state)

    def job(self, job_id: str) -> JobModel:
        """Return one job, with the numbers of its first thousand videos; NotFoundError if there is none."""
        return self._jobs.job(job_id)

    def job_videos(self, job_id: str, *, limit: int = 1000, offset: int = 0) -> JobVideos:
        """Return a page of a job's videos, in order of the sources; NotFoundError if there is no such job."""
        return self._jobs.videos(job_id, limit=limit, offset=offset)

    # Changing its course

    def cancel(self, job_id: str, *, keep_partial: bool = False) -> JobModel:
        """Stop what is not finished; committed chunks of unfinished videos go unless ``keep_partial``."""
        self.job(job_id)
        self._jobs.mark_cancelled(job_id)
        fingerprint = self._jobs.fingerprint(job_id)
        self._dispatcher.drop(job_id, fingerprint)
        records = self._jobs.records(job_id)
        while part := list(itertools.islice(records, VIDEOS_SLICE)):
            unfinished = [r for r in part if r.job == job_id and r.state in {"queued", "encoding"}]
            self._store.cancel_many((record.id for record in unfinished), keep_partial=keep_partial)
            chunks = (Unit(record.id, chunk) for record in unfinished for chunk in range(record.chunks))
            self._units.finish([*(Unit(record.id) for record in unfinished), *chunks])
        self._dispatcher.drop(job_id, fingerprint)
        return self.job(job_id)

    def retry(self, job_id: str) -> JobModel:
        """Queue the job's failed sources again, each under a new video number."""
        for record in self._jobs.records(job_id):
            if record.job == job_id and record.state == "failed":
                new = renewed_video(self._roots.expand(record.path or record.source, is_name=True), record)
                self._intake.retry(record, replace(new, replaces=record.replaces))
        return self.job(job_id)

    def delete(self, job_id: str) -> JobModel:
        """Forget a job that has ended, and return what it was; its videos stay.

        Raises:
            NotFoundError: If there is no such job.
            ConflictError: If it has not ended.
        """
        return self._jobs.delete(job_id)

    # Sources that have moved

    def relocate(self, request: RelocateRequest) -> Relocations:
        """Give videos the new names of their sources, a turn at a time."""
        relocator = Relocator(self._store, self._roots)
        return relocator.relocate(request, request.collection or self._settings.collection)

    # What failed

    def failures(
        self,
        *,
        job: str | None = None,
        video: int | None = None,
        collection: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Failures:
        """Return recorded failures, newest first: failed sources, and what damaged ones lost.

        Args:
            job: Only those of this job.
            video: Only those of this video.
            collection: Whose, where neither is named; None is the default collection.
            limit: At most so many.
            offset: So many of the first are left out.
        """
        if video is not None:
            rows = failures_of(self._store.video(video))
        elif job is not None:
            rows = [failure for record in self._jobs.records(job) for failure in failures_of(record)]
        else:
            return self._all_failures(collection or self._settings.collection, limit, offset)
        return Failures(failures=rows[offset : offset + limit], total=len(rows))

    def _all_failures(self, collection: str, limit: int, offset: int) -> Failures:
        generation = self._store.collection(collection)
        pairs, total = self._store.failed_page(generation.id, limit, offset)
        return Failures(failures=[row for record, at in pairs for row in failures_of(record, at)], total=total)


def _lane_of(first: Sequence[Source]) -> Lane:
    """Return the lane of a job by its first sources: somebody waits for a few, nobody for a whole archive."""
    is_small = len(first) <= INTERACTIVE_SOURCES and sum(source.size for source in first) <= INTERACTIVE_BYTES
    return "interactive" if is_small else "bulk"


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
