"""From sources to the records of new videos, and what tells that a source was indexed before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from indexer.records import NewVideo, VideoRecord
from workers.sources import Source

__all__ = ["content_of", "new_video", "place_of", "renewed_video", "what_of"]


def new_video(source: Source, policy: Mapping[str, object], tags: Mapping[str, str]) -> NewVideo:
    """Return a source as a video that is to be registered; one with a problem is to be registered as failed."""
    return NewVideo(
        source=source.name,
        path=source.path,
        kind=source.kind,
        policy=policy,
        tags=tags,
        size=source.size,
        modified_ns=source.modified_ns,
        content=content_of(source, policy),
        place=place_of(source, policy),
        failure=("source", source.problem) if source.problem else None,
    )


def renewed_video(found: Iterable[Source], record: VideoRecord) -> NewVideo:
    """Return a video that is to be indexed once more, as its source is now.

    Args:
        found: What its path stands for now; the first is the source.
        record: What it was.
    """
    source = replace(next(iter(found)), name=record.source)
    return replace(new_video(source, record.policy, record.tags), again=record.again)


def what_of(record: VideoRecord) -> str:
    """Return what tells a source and its policy apart from others, whatever is indexed of it."""
    return json.dumps([record.source, record.policy], sort_keys=True)


def content_of(source: Source, policy: Mapping[str, Any]) -> str:
    """Return what tells that a source was indexed before: name, size, time of change and policy.

    What lies elsewhere has none: whether it was changed is seen when it is fetched.
    """
    if "://" in source.path:
        return ""
    return _digest([source.name, source.size, source.modified_ns, policy])


def place_of(source: Source, policy: Mapping[str, Any]) -> str:
    """Return what tells that an overwritten file is the same source: name and policy."""
    return _digest([source.name, policy])


def _digest(facts: list[Any]) -> str:
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
