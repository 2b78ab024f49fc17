"""A bounded cache of pictures of frames on disk: one file a frame and kind, the least recently used go first."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

__all__ = ["ThumbnailCache"]

TRIM_EVERY = 256


class ThumbnailCache:
    """Keeps thumbnails (JPEG) and masks (PNG) in a folder.

    Args:
        folder: Made on first use.
        max_bytes: Bound on the sum of file sizes; checked every few hundred writes. 0 keeps nothing.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._writes = 0
        self._lock = threading.Lock()

    def get(self, frame_id: int, kind: int | Literal["mask"], make: Callable[[], bytes]) -> bytes:
        """Return a picture of a frame, made by ``make`` where it is not cached.

        Args:
            frame_id: The frame.
            kind: A thumbnail's width, or "mask".
            make: Makes it.
        """
        suffix = "png" if kind == "mask" else "jpg"
        path = self._folder / f"{frame_id >> 32}" / f"{frame_id}-{kind}.{suffix}"
        try:
            picture = path.read_bytes()
            os.utime(path)
        except OSError:
            picture = make()
            self._put(path, picture)
        return picture

    def drop(self, video: int) -> None:
        """Remove a video's thumbnails."""
        shutil.rmtree(self._folder / str(video), ignore_errors=True)

    def _put(self, path: Path, picture: bytes) -> None:
        if not self._max_bytes:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{threading.get_ident()}.tmp")
            aside.write_bytes(picture)
            aside.replace(path)
        except OSError:
            # A full or read-only disk costs speed, not answers.
            return
        with self._lock:
            self._writes += 1
            if self._writes % TRIM_EVERY == 0:
                self._trim()

    def _trim(self) -> None:
        files = [
            (entry.stat().st_mtime_ns, entry.stat().st_size, entry) for entry in self._folder.rglob("*-*.[jp][pn]g")
        ]
        excess = sum(size for _, size, _ in files) - self._max_bytes
        for _, size, entry in sorted(files, key=lambda row: row[0]):
            if excess <= 0:
                return
            entry.unlink(missing_ok=True)
            excess -= size
