"""What a worker reads of a source: what it is, how it is cut into chunks, and the key-frames of each chunk.

Nothing here changes a record; the functions may be called from several threads at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import redis

from encoder.archives import is_archive_file
from encoder.folders import STEP_MS, iter_folder_frames, read_album
from encoder.policies import Every, Scenes, parse_policy
from encoder.probing import key_frames_before, probe
from encoder.video import KeyFrame, iter_key_frames
from hashreel.errors import DecodeError, HashreelError, NotFoundError
from indexer.chunks import MAX_CHUNKS, MAX_FRAMES
from indexer.members import pack_names, unpack_names
from workers.copies import LocalCopies

if TYPE_CHECKING:
    from encoder.damage import DecodeWarning
    from encoder.policies import Policy
    from hashreel.settings import Settings
    from indexer.records import VideoRecord
    from indexer.store import Store

__all__ = ["SourceChangedError", "SourceReader", "chunk_bounds"]

Fields = dict[str, str | int | bytes]

CHECK_S = 2.0


class SourceChangedError(HashreelError):
    """The file was changed after it was enqueued; enqueue it again."""


class SourceReader:
    """Reads sources for the units of work.

    Args:
        settings: Length of a chunk, and bounds of what is fetched.
        store: The stored state.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._copies = LocalCopies(settings)
        self._fetched: dict[int, str] = {}

    def plan(self, record: VideoRecord) -> Fields:
        """Return what the record of a video is to hold about its source: chunks, length, codec, SHA-256.

        Raises:
            SourceChangedError: If the file is not the one that was enqueued.
            DecodeError: If it is no video.
            HashreelError, OSError: If it cannot be read.
        """
        try:
            path, remote = self._local(record)
            is_album = record.kind == "pictures" or (remote and is_archive_file(path))
            return remote | (self._album(record, path) if is_album else self._video(record, path))
        except DecodeError:
            self._drop(record.id)
            raise

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
            SourceChangedError: At once or at the end, if the file is not the one that was planned.
            HashreelError, OSError: At once or while iterating, if it cannot be read.
        """
        path, _ = self._local(record)
        return _watched(record, self._frames(record, path, chunk, short_side, warnings))

    def _frames(
        self, record: VideoRecord, path: Path, chunk: int, short_side: int, warnings: list[DecodeWarning]
    ) -> Iterator[KeyFrame]:
        start = record.bounds[chunk]
        end = record.bounds[chunk + 1] if chunk + 1 < len(record.bounds) else None
        if record.kind == "pictures":
            packed = cast("bytes | None", self._store.redis.get(self._store.keys.members(record.id)))
            return iter_folder_frames(
                path,
                short_side=short_side,
                warnings=warnings,
                names=unpack_names(packed) if packed else None,
                start=start // STEP_MS,
                stop=None if end is None else end // STEP_MS,
                scratch=self._scratch(path),
                newest_ns=record.modified_ns,
            )
        return iter_key_frames(
            path,
            parse_policy(record.policy),
            start_ms=start,
            end_ms=end,
            short_side=short_side,
            warnings=warnings,
            hardware=self._settings.hardware_decoding,
        )

    def release(self, video: int) -> None:
        """Remove the local copy of a video's source if nothing is left to do of that video."""
        if video not in self._fetched:
            return
        with suppress(redis.RedisError):  # then it goes when it was not used for long
            record = self._store.find_video(video)
            if record is None or record.state not in {"queued", "encoding"}:
                self._drop(video)

    def _drop(self, video: int) -> None:
        url = self._fetched.pop(video, None)
        if url is not None:
            self._copies.remove(url)

    def _local(self, record: VideoRecord) -> tuple[Path, Fields]:
        """Return the local file or folder, and what a source that lies elsewhere adds to the record."""
        if "://" not in record.path:
            _check_unchanged(record)
            return Path(record.path), {}
        self._fetched[record.id] = record.path
        copy = self._copies.fetch(record.path, record.version, self._watching(record.id))
        if record.version and copy.version != record.version:
            self._drop(record.id)
            raise SourceChangedError
        return copy.path, {"version": copy.version, "size": copy.path.stat().st_size}

    def _watching(self, video: int) -> Callable[[], None]:
        """Return what ends a long transfer within seconds of a cancellation."""
        checked_at = time.monotonic()

        def go_on() -> None:
            nonlocal checked_at
            if time.monotonic() - checked_at > CHECK_S:
                checked_at = time.monotonic()
                with suppress(redis.RedisError):
                    record = self._store.find_video(video)
                    if record is None or record.state not in {"queued", "encoding"}:
                        raise NotFoundError("cancelled while it was fetched")

        return go_on

    def _scratch(self, path: Path) -> Path | None:
        return self._copies.scratch if path.is_file() else None

    def _video(self, record: VideoRecord, path: Path) -> Fields:
        info = probe(path)
        bounds = chunk_bounds(
            parse_policy(record.policy),
            info.duration_ms,
            self._settings.chunk_s,
            lambda times_ms: key_frames_before(path, times_ms),
        )
        fields: Fields = {
            "chunks": len(bounds),
            "bounds": str(bounds),
            "duration_ms": info.duration_ms,
            "width": info.width,
            "height": info.height,
            "codec": info.codec,
        }
        return fields | _identity(record, "video", _file_sha(path))

    def _album(self, record: VideoRecord, path: Path) -> Fields:
        album = read_album(path, self._scratch(path))
        if not album.names:
            raise DecodeError("; ".join(["no picture is in it", *album.notes]))
        bounds = _album_bounds(len(album.names), self._settings.chunk_s)
        fields: Fields = {
            "kind": "pictures",
            "chunks": len(bounds),
            "bounds": str(bounds),
            "duration_ms": STEP_MS * len(album.names),
            "codec": "pictures",
            "members": pack_names(album.names),
        }
        if album.modified_ns:
            # Pictures may have come since it was enqueued; from now on they are known by their names.
            fields["modified_ns"] = album.modified_ns
        return fields | _identity(record, "pictures", album.sha256)


def chunk_bounds(
    policy: Policy,
    duration_ms: int,
    chunk_s: float,
    key_frames: Callable[[Sequence[int]], Sequence[int | None]] | None = None,
) -> list[int]:
    """Return the start times of the chunks in ms.

    A chunk begins where decoding can begin: at a key-frame of the codec or, for a sampled video, at the first step of
    the grid after one, so that no step is divided. Where no key-frame is found, the border is a step of the grid.

    Args:
        policy: Which frames get codes.
        duration_ms: Length of the video.
        chunk_s: Length of a chunk, in seconds.
        key_frames: Returns the last key-frame at or before each of several times, in ms; None where it is not known.
    """
    length = round(chunk_s * 1000)
    if isinstance(policy, Scenes):
        # A border would act as a cut and split a shot.
        return [0]
    step = policy.step_ms if isinstance(policy, Every) else 1
    length = max(step, length // step * step, -(-duration_ms // MAX_CHUNKS // step) * step)
    length = max(length, -(-duration_ms // (MAX_CHUNKS - 1)))
    wanted = list(range(length, max(duration_ms, 1), length))
    bounds = [0]
    for time_ms, key_ms in zip(wanted, key_frames(wanted) if key_frames else [None] * len(wanted), strict=True):
        border = time_ms if key_ms is None else -(-key_ms // step) * step
        bounds.append(border if bounds[-1] < border <= time_ms else time_ms)
    return bounds


def _album_bounds(count: int, chunk_s: float) -> list[int]:
    """Return the start times of the chunks of an album; as many pictures in each as seconds of a video."""
    per_chunk = min(MAX_FRAMES, max(round(chunk_s * 1000 / STEP_MS), -(-count // (MAX_CHUNKS - 1))))
    return list(range(0, STEP_MS * count, STEP_MS * per_chunk))


def _check_unchanged(record: VideoRecord) -> None:
    path = Path(record.path)
    if record.kind == "pictures" and not path.is_file():
        return  # of a folder, the names that were listed count
    info = path.stat()
    if (info.st_size, info.st_mtime_ns) != (record.size, record.modified_ns):
        raise SourceChangedError


def _watched(record: VideoRecord, frames: Iterator[KeyFrame]) -> Iterator[KeyFrame]:
    """Yield frames; when they end, well or not, make sure that the file was the one that was planned all the while."""
    try:
        yield from frames
    except DecodeError:
        _check_still(record)
        raise
    _check_still(record)


def _check_still(record: VideoRecord) -> None:
    if "://" not in record.path:
        with suppress(FileNotFoundError):  # what was opened before it went away was read to its end
            _check_unchanged(record)


def _identity(record: VideoRecord, kind: str, sha: str) -> Fields:
    """Return the fields by which the same content is known under any name: its SHA-256, and that with the policy."""
    text = json.dumps([sha, kind, record.policy], sort_keys=True)
    return {"sha256": sha, "identity": hashlib.sha256(text.encode()).hexdigest()[:32]}


def _file_sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
