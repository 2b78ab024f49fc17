"""Small pictures of indexed frames that are kept for the day on which a source has gone.

One ZIP file a chunk, a member a frame by its index in the chunk, nothing compressed: pictures are found by any tool,
and a million frames are some thousands of files. Workers write and services read the folder, which they share.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.chunks import split_frame_id

if TYPE_CHECKING:
    from indexer.store import Store

__all__ = ["ChunkThumbnails", "ThumbnailStore"]

logger = logging.getLogger(__name__)

FANOUT = 1000


class ChunkThumbnails:
    """The pictures of one chunk while it is encoded, in a file of their own.

    Args:
        path: The file that they become; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._aside: Path | None = None
        self._zip: zipfile.ZipFile | None = None
        self._count = 0

    @property
    def is_wanted(self) -> bool:
        """Whether pictures are to be added."""
        return self._path is not None

    def add(self, picture: bytes) -> None:
        """Add the picture of the chunk's next frame; a disk that cannot take it ends the keeping, not the work."""
        if self._path is None:
            return
        try:
            if self._zip is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._aside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.tmp")
                self._zip = zipfile.ZipFile(self._aside, "w", zipfile.ZIP_STORED)
            self._zip.writestr(f"{self._count:06}.jpg", picture)
            self._count += 1
        except OSError as exc:
            logger.warning("no thumbnails of %s: %s", self._path, exc, extra={"action": "thumbnails_failed"})
            self.abandon()

    def finish(self) -> int:
        """Let the file appear under its name; return its bytes."""
        if self._zip is None or self._aside is None or self._path is None:
            return 0
        try:
            self._zip.close()
            size = self._aside.stat().st_size
            self._aside.replace(self._path)
        except OSError as exc:
            logger.warning("no thumbnails of %s: %s", self._path, exc, extra={"action": "thumbnails_failed"})
            self.abandon()
            return 0
        return size

    def abandon(self) -> None:
        """Leave nothing."""
        if self._zip is not None:
            with suppress(OSError):
                self._zip.close()
        if self._aside is not None:
            self._aside.unlink(missing_ok=True)
        self._path = self._zip = self._aside = None


class ThumbnailStore:
    """Writes, finds and removes the pictures of videos.

    Args:
        store: The stored state; it counts the bytes, whichever machine writes them.
        folder: Where they lie; None: none are kept.
        max_bytes: Beyond this nothing more is kept; what is kept stays.
    """

    def __init__(self, store: Store, folder: Path | None, max_bytes: int) -> None:
        self._store = store
        self._folder = folder
        self._max_bytes = max_bytes

    @property
    def used_bytes(self) -> int:
        """How much is kept."""
        return int(self._store.redis.get(self._store.keys.thumbnail_bytes) or 0)

    @contextmanager
    def keeping(self, video: int, chunk: int) -> Iterator[ChunkThumbnails]:
        """Yield what takes the pictures of a chunk; they stay if the chunk is committed when the block ends.

        Raises:
            redis.RedisError: If Redis does not answer.
        """
        pictures = ChunkThumbnails(self._path(video, chunk) if self._has_room() else None)
        try:
            yield pictures
            if pictures.is_wanted and self._store.has_chunk(video, chunk):
                self._store.redis.incrby(self._store.keys.thumbnail_bytes, pictures.finish())
        finally:
            pictures.abandon()

    def _has_room(self) -> bool:
        if self._folder is None:
            return False
        has_room = self.used_bytes < self._max_bytes
        if not has_room:
            limit = self._max_bytes
            logger.warning("no more thumbnails are kept: %d bytes are full", limit, extra={"action": "thumbnails_full"})
        return has_room

    def get(self, frame_id: int) -> bytes | None:
        """Return the picture of a frame (JPEG); None if there is none."""
        video, chunk, index = split_frame_id(frame_id)
        path = self._path(video, chunk)
        if path is None:
            return None
        try:
            with zipfile.ZipFile(path) as file:
                return file.read(f"{index:06}.jpg")
        except (OSError, KeyError, zipfile.BadZipFile):
            return None

    def drop(self, video: int) -> None:
        """Remove the pictures of a video."""
        path = self._path(video, 0)
        if path is None or not path.parent.is_dir():
            return
        size = sum(entry.stat().st_size for entry in os.scandir(path.parent) if entry.name.endswith(".zip"))
        shutil.rmtree(path.parent, ignore_errors=True)
        self._store.redis.decrby(self._store.keys.thumbnail_bytes, size)

    def _path(self, video: int, chunk: int) -> Path | None:
        return None if self._folder is None else self._folder / f"{video // FANOUT:07}" / str(video) / f"{chunk}.zip"
