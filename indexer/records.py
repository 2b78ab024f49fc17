"""What Redis says about a video, a generation and a log position, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FOUND = b"found_"
"""What the names of the fields begin with that count key-frames of one kind."""
BY = b"by_"
"""What the names of the fields begin with that count key-frames by what computed their codes."""

__all__ = ["Generation", "LogPosition", "NewVideo", "VideoRecord", "log_order"]


@dataclass(frozen=True)
class Generation:
    """One model, one log, one gallery.

    Attributes:
        id: Number of the generation, as text.
        collection: Name that pointed at it when it was made.
        model: Name of the model.
        fingerprint: 64 hex digits.
        bits: Length of its codes.
        concepts: Names of the concepts that the model predicts, in the order of the mask's bits.
    """

    id: str
    collection: str
    model: str
    fingerprint: str
    bits: int
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogPosition:
    """A place in one log, with what proves that it is that log.

    Attributes:
        log_id: Id of the last entry that was read; "0-0" before the first.
        chain: Running hash up to and including that entry; the log's epoch before the first.
    """

    log_id: str
    chain: str

    @property
    def order(self) -> tuple[int, int]:
        """The log id as a pair that compares in log order."""
        return log_order(self.log_id)


def log_order(log_id: str) -> tuple[int, int]:
    """Return a log id as a pair of ints, in log order."""
    time_ms, _, sequence = log_id.partition("-")
    return int(time_ms), int(sequence or 0)


@dataclass(frozen=True)
class NewVideo:
    """A source to register.

    Attributes:
        source: What users see: root name plus path, or the path itself.
        path: Local path that the workers open.
        kind: "video" or "pictures".
        policy: Key-frame policy as JSON-able dict.
        failure: (stage, reason) if it is already known that it cannot be indexed.
        content: What tells later that the same source was indexed already.
        place: What tells that another one is of the same name and policy, whatever its content; empty: none is.
        replaces: Number of the video that this one replaces when it is complete.
        again: Encode it even if the same content is indexed already.
    """

    source: str
    path: str
    kind: str = "video"
    policy: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    modified_ns: int = 0
    content: str = ""
    place: str = ""
    failure: tuple[str, str] | None = None
    replaces: int | None = None
    again: bool = False


@dataclass(frozen=True)
class VideoRecord:
    """Metadata of one video as stored."""

    id: int
    generation: str
    source: str
    path: str
    kind: str
    state: str
    policy: dict[str, Any]
    tags: dict[str, str]
    job: str
    added_at: float
    size: int
    modified_ns: int
    frames: int
    chunks: int
    done: int
    bounds: list[int]
    duration_ms: int
    width: int
    height: int
    codec: str
    sha256: str
    warnings: list[dict[str, Any]]
    stage: str
    reason: str
    retryable: bool
    replaces: int | None
    content: str = ""
    found: dict[str, int] = field(default_factory=dict)
    runtimes: dict[str, int] = field(default_factory=dict)
    again: bool = False
    same_as: int | None = None
    version: str = ""

    @classmethod
    def from_redis(cls, video: int, raw: Mapping[bytes, bytes]) -> VideoRecord:
        """Return the record of a stored hash."""

        def text(name: str, default: str = "") -> str:
            return raw.get(name.encode(), default.encode()).decode("utf-8", "replace")

        def number(name: str) -> int:
            return int(text(name) or 0)

        return cls(
            id=video,
            generation=text("generation"),
            source=text("source"),
            path=text("path"),
            kind=text("kind", "video"),
            state=text("state"),
            policy=json.loads(text("policy", "{}")),
            tags=json.loads(text("tags", "{}")),
            job=text("job"),
            added_at=float(text("added_at") or 0),
            size=number("size"),
            modified_ns=number("modified_ns"),
            frames=number("frames"),
            chunks=number("chunks"),
            done=number("done"),
            bounds=json.loads(text("bounds", "[]")),
            duration_ms=number("duration_ms"),
            width=number("width"),
            height=number("height"),
            codec=text("codec"),
            sha256=text("sha256"),
            warnings=json.loads(text("warnings", "[]")),
            stage=text("stage"),
            reason=text("reason"),
            retryable=text("retryable") == "1",
            replaces=int(text("replaces")) if text("replaces") else None,
            content=text("content"),
            again=text("again") == "1",
            same_as=int(text("same_as")) if text("same_as") else None,
            version=text("version"),
            found=_counts(raw, FOUND),
            runtimes=_counts(raw, BY),
        )


def _counts(raw: Mapping[bytes, bytes], prefix: bytes) -> dict[str, int]:
    return {name[len(prefix) :].decode(): int(count) for name, count in raw.items() if name.startswith(prefix)}
