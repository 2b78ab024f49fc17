"""The sources of a collection's live generation, indexed into another one of its generations: by a new model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workers.new_videos import renewed_video, what_of

if TYPE_CHECKING:
    from indexer.records import Generation, NewVideo, VideoRecord
    from indexer.store import Store
    from workers.intake import Intake
    from workers.job_records import JobRecords
    from workers.sources import SourceRoots

__all__ = ["Reencoder"]

SLICE = 200


class Reencoder:
    """Fills generations.

    Args:
        store: The stored state.
        jobs: Records of the jobs.
        intake: Registers the sources.
        roots: Where sources lie.
    """

    def __init__(self, store: Store, jobs: JobRecords, intake: Intake, roots: SourceRoots) -> None:
        self._store = store
        self._jobs = jobs
        self._intake = intake
        self._roots = roots

    def reencode(self, live: Generation, target: Generation) -> str:
        """Index the sources of a generation into another; return the id of the job.

        What is in the other one, or on its way there, is skipped.
        """
        job = self._jobs.begin(target, "bulk")
        begun = self._begun(target)
        numbers = self._store.video_numbers(live.id)
        for first in range(0, len(numbers), SLICE):
            records = self._store.find_videos(numbers[first : first + SLICE])
            wanted = [r for r in records if r is not None and r.state in {"indexed", "skipped"}]
            fresh = [new for record in wanted if (new := self._renewed(target, job, record, begun)) is not None]
            self._intake.begin(target, job, "bulk", fresh)
            self._jobs.keep_open(job)
        self._jobs.close(job)
        return job

    def _begun(self, target: Generation) -> dict[str, int]:
        """Return the videos that are being encoded into a generation, by source and policy."""
        numbers = self._store.video_numbers(target.id)
        slices = (numbers[first : first + SLICE] for first in range(0, len(numbers), SLICE))
        records = (record for part in slices for record in self._store.find_videos(part))
        return {what_of(r): r.id for r in records if r is not None and r.state in {"queued", "encoding"}}

    def _renewed(self, target: Generation, job: str, record: VideoRecord, begun: Mapping[str, int]) -> NewVideo | None:
        """Return a video's source as one to index anew; None if the target has it, or is about to."""
        new = renewed_video(self._roots.expand(record.path or record.source, is_name=True), record)
        known = begun.get(what_of(record))
        if known is None:
            known = self._store.find_content(target.id, new.content) if new.content else self._placed(target, new.place)
        if known is not None:
            self._intake.skip(job, [(known, record.tags)])
            return None
        return new

    def _placed(self, target: Generation, place: str) -> int | None:
        """Return what is indexed at a place: what lies elsewhere is known by nothing else before it is read."""
        found = self._store.redis.hget(self._store.keys.places(target.id), place)
        return int(found) if found is not None else None
