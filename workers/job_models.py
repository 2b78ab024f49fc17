"""From a job's stored record to what others see of it: counts, state, progress, rate and time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import cast

from hashreel.schemas import JobCounts, JobModel, JobState, Lane

__all__ = ["ENDED", "job_model"]

ENDED = frozenset({"done", "cancelled"})


def job_model(job_id: str, stored: Mapping[bytes, bytes], videos: list[int]) -> JobModel:
    """Return a job as it goes over the wire.

    Args:
        job_id: Its id.
        stored: Its hash in Redis.
        videos: Those of its videos that are to be named.
    """
    raw = {name.decode(): value.decode() for name, value in stored.items()}
    counts = _counts(raw)
    state = _state(raw, counts)
    has_ended = state in ENDED
    planned = _number(raw, "frames") if has_ended else _expected_frames(raw, counts)
    rate = 0.0 if has_ended else _rate(raw)
    return JobModel(
        id=job_id,
        state=state,
        collection=raw["collection"],
        lane=cast("Lane", raw.get("lane", "bulk")),
        counts=counts,
        frames=_number(raw, "frames"),
        frames_planned=planned,
        progress=1.0 if has_ended else _progress(raw, counts, planned),
        rate=round(rate, 3),
        eta_s=round((planned - _number(raw, "frames")) / rate, 1) if rate and planned else None,
        chunks=_number(raw, "chunks"),
        chunks_done=_number(raw, "chunks_done"),
        created_at=float(raw["created_at"]),
        started_at=float(raw["started_at"]) if "started_at" in raw else None,
        finished_at=float(raw["finished_at"]) if has_ended and "finished_at" in raw else None,
        decode_s=float(raw.get("decode_s", 0)),
        encode_s=float(raw.get("encode_s", 0)),
        commit_s=float(raw.get("commit_s", 0)),
        videos=videos,
    )


def _expected_frames(raw: dict[str, str], counts: JobCounts) -> int:
    """Return how many key-frames the job will have; 0 while nothing is known.

    Planned videos count by their length and step, those that nobody has looked into yet by the mean of the planned
    ones; what is left is corrected by how many key-frames were found where so many were expected.
    """
    planned, done = float(raw.get("planned", 0)), float(raw.get("planned_done", 0))
    videos, frames = _number(raw, "planned_videos"), _number(raw, "frames")
    if videos <= 0 or planned <= 0:
        return 0
    left = max(0.0, planned - done) + planned / videos * counts.queued
    return frames + round(left * (frames / done if done > 0 and frames else 1.0))


def _progress(raw: dict[str, str], counts: JobCounts, planned: int) -> float:
    if planned:
        return min(1.0, _number(raw, "frames") / planned)
    ended = counts.total - counts.queued - counts.encoding
    return ended / counts.total if counts.total else 0.0


def _rate(raw: dict[str, str]) -> float:
    """Return key-frames a second since the last look but one; it falls while nothing comes."""
    if "pace_from" not in raw:
        return 0.0
    seconds = time.time() - float(raw["pace_from"])
    return max(0.0, (_number(raw, "frames") - float(raw["pace_base"])) / max(seconds, 0.001))


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
