"""From videos' records to what is listed as failed: sources that failed, and what damaged ones lost."""

from __future__ import annotations

from hashreel.schemas import Failure
from indexer.records import VideoRecord

__all__ = ["failures_of"]


def failures_of(record: VideoRecord, at: float = 0.0) -> list[Failure]:
    """Return the failures of a video: one if it failed, one a warning if it was indexed in part.

    Args:
        record: The video.
        at: When it failed, in seconds of the epoch; 0 if that is not known.
    """
    if record.state == "failed":
        return [_failure(record, record.stage, record.reason, at, retryable=record.retryable)]
    pairs = ((str(warning.get("stage", "")), str(warning.get("reason", ""))) for warning in record.warnings)
    return [_failure(record, stage, reason, at, partial=True) for stage, reason in pairs]


def _failure(
    record: VideoRecord, stage: str, reason: str, at: float, *, retryable: bool = False, partial: bool = False
) -> Failure:
    return Failure(
        source=record.source,
        video=record.id,
        job=record.job,
        stage=stage,
        reason=reason,
        retryable=retryable,
        partial=partial,
        at=at,
    )
