"""What a worker reads of a source: what it is, how it is cut into chunks, and the key-frames of each chunk.

Nothing here changes a record; the functions may be called from several threads at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.folders import folder_sha, iter_folder_frames
from encoder.policies import Every, Scenes, parse_policy
from encoder.probing import probe
from encoder.video import KeyFrame, iter_key_frames
from hashreel.errors import HashreelError
from indexer.chunks import MAX_CHUNKS

if TYPE_CHECKING:
    from encoder.damage import DecodeWarning
    from encoder.policies import Policy
    from hashreel.settings import Settings
    from indexer.records import VideoRecord

__all__ = ["SourceChangedError", "SourceReader", "chunk_bounds"]


class SourceChangedError(HashreelError):
    """The file was changed after it was enqueued; enqueue it again."""


class SourceReader:
    """Reads sources for the units of work.

    Args:
        settings: Length of a chunk.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def plan(self, record: VideoRecord) -> dict[str, str | int]:
        """Return what the record of a video is to hold about its source: chunks, length, codec, SHA-256.

        Raises:
            SourceChangedError: If the file is not the one that was enqueued.
            DecodeError: If it is no video.
            HashreelError, OSError: If it cannot be read.
        """
        _check_unchanged(record)
        if record.kind == "pictures":
            sha = folder_sha(Path(record.path))
            return {"chunks": 1, "bounds": "[0]", "codec": "pictures"} | _identity(record, sha)
        info = probe(record.path)
        bounds = chunk_bounds(parse_policy(record.policy), info.duration_ms, self._settings.chunk_s)
        return {
            "chunks": len(bounds),
            "bounds": str(bounds),
            "duration_ms": info.duration_ms,
            "width": info.width,
            "height": info.height,
            "codec": info.codec,
        } | _identity(record, _file_sha(record.path))

    def frames(
        self, record: VideoRecord, chunk: int, *, short_side: int, warnings: list[DecodeWarning]
    ) -> Iterator[KeyFrame]:
        """Return the key-frames of a chunk, decoded as they are taken.

        Args:
            record: The planned video.
            chunk: Number of the chunk.
            short_side: Pixels of the shorter side of the frames.
            warnings: Receives what was survived.

        Raises:
            SourceChangedError: At once, if the file is not the one that was planned.
            HashreelError, OSError: At once or while iterating, if it cannot be read.
        """
        _check_unchanged(record)
        if record.kind == "pictures":
            return iter_folder_frames(Path(record.path), short_side=short_side, warnings=warnings)
        return iter_key_frames(
            record.path,
            parse_policy(record.policy),
            start_ms=record.bounds[chunk],
            end_ms=record.bounds[chunk + 1] if chunk + 1 < len(record.bounds) else None,
            short_side=short_side,
            warnings=warnings,
        )


def chunk_bounds(policy: Policy, duration_ms: int, chunk_s: float) -> list[int]:
    """Return the start times of the chunks in ms; a multiple of the sampling step, so that borders drop no frame."""
    length = round(chunk_s * 1000)
    if isinstance(policy, Scenes):
        # A border would act as a cut and split a shot.
        return [0]
    if isinstance(policy, Every):
        step = policy.step_ms
        length = max(step, length // step * step, -(-duration_ms // MAX_CHUNKS // step) * step)
    length = max(length, -(-duration_ms // (MAX_CHUNKS - 1)))
    return list(range(0, max(duration_ms, 1), length))


def _check_unchanged(record: VideoRecord) -> None:
    if record.kind == "pictures":
        return
    info = Path(record.path).stat()
    if (info.st_size, info.st_mtime_ns) != (record.size, record.modified_ns):
        raise SourceChangedError


def _identity(record: VideoRecord, sha: str) -> dict[str, str | int]:
    """Return the fields by which the same content is known under any name: its SHA-256, and that with the policy."""
    text = json.dumps([sha, record.kind, record.policy], sort_keys=True)
    return {"sha256": sha, "identity": hashlib.sha256(text.encode()).hexdigest()[:32]}


def _file_sha(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
