"""Sources that come in: those that are indexed already are counted as skipped, others registered with their work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workers.messages import Unit
from workers.new_videos import new_video

if TYPE_CHECKING:
    from hashreel.schemas import EnqueueRequest, Lane
    from indexer.records import Generation, NewVideo, VideoRecord
    from indexer.store import Store
    from workers.sending import Dispatcher
    from workers.sources import Source

__all__ = ["Intake"]


class Intake:
    """Registers sources under a job.

    Args:
        store: The stored state.
        dispatcher: Sends the first units of their work when there is room.
    """

    def __init__(self, store: Store, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher

    def take(
        self,
        generation: Generation,
        job: str,
        lane: Lane,
        sources: Sequence[Source],
        policy: dict[str, object],
        request: EnqueueRequest,
    ) -> None:
        """Take sources in as a request asks: those that are indexed already are skipped unless it says ``again``."""
        candidates = [new_video(source, policy, request.tags) for source in sources]
        found = self._store.find_contents(generation.id, [new.content for new in candidates])
        pairs = list(zip(candidates, found, strict=True))
        if not request.again:
            self.skip(job, [(known, new.tags) for new, known in pairs if known is not None])
            pairs = [(new, None) for new, known in pairs if known is None]
        fresh = [replace(new, replaces=known, again=request.again) for new, known in pairs]
        self.begin(generation, job, lane, fresh)

    def begin(self, generation: Generation, job: str, lane: Lane, fresh: Sequence[NewVideo]) -> None:
        """Register sources with their first units, and send what there is room for."""
        enlist = self._enlisting(job, generation.fingerprint, lane)
        self._store.register(generation.id, job, fresh, first_unit=_first_unit, also=enlist)
        self._dispatcher.feed(generation.fingerprint)

    def retry(self, record: VideoRecord, new: NewVideo) -> None:
        """Put a fresh attempt in the place of a failed video, unless somebody else did meanwhile."""
        fingerprint = self._store.generation(record.generation).fingerprint
        enlist = self._enlisting(record.job, fingerprint, self._dispatcher.lane_of(record.job))
        number = self._store.retry(record, new, first_unit=_first_unit, also=enlist)
        if number is not None and new.failure is None:
            self._dispatcher.feed(fingerprint)

    def skip(self, job: str, known: Sequence[tuple[int, Mapping[str, str]]]) -> None:
        """Count sources that are indexed already, and list their videos under the job; new tags are set.

        Args:
            job: Whose sources.
            known: Their videos, and the tags that they are to have.
        """
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

    def _enlisting(self, job: str, fingerprint: str, lane: Lane) -> Any:
        def enlist(pipe: Any, names: Sequence[str]) -> None:
            units = [Unit.parse(name) for name in names]
            self._dispatcher.enlist(pipe, units, job=job, fingerprint=fingerprint, lane=lane)

        return enlist


def _first_unit(video: int) -> str:
    return str(Unit(video))
