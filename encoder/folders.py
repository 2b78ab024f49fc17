"""Folders of key-frames: pictures that stand for a video, one a second in natural order of their names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from encoder.damage import DecodeWarning
from encoder.pictures import load_picture, picture_names
from encoder.scaling import Image, scale_short_side
from encoder.video import KeyFrame
from hashreel.errors import HashreelError, NotFoundError

__all__ = ["PICTURE_SUFFIXES", "folder_sha", "iter_folder_frames", "key_frame_names", "load_folder_frame"]

# No .gif: a gif in an archive is a short film more often than a key-frame.
PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
STEP_MS = 1000


def key_frame_names(folder: Path) -> list[str]:
    """Return the names of a folder's pictures (by suffix) in natural order; the n-th has the time n seconds."""
    return [name for name in picture_names(folder) if Path(name).suffix.lower() in PICTURE_SUFFIXES]


def folder_sha(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a folder's pictures, hex."""
    whole = hashlib.sha256()
    for name in key_frame_names(folder):
        with suppress(OSError), (folder / name).open("rb") as file:  # a broken link is told of when it is read
            part = hashlib.file_digest(file, "sha256")
            whole.update(os.fsencode(name) + b"\0" + part.digest())
    return whole.hexdigest()


def iter_folder_frames(folder: Path, *, short_side: int, warnings: list[DecodeWarning]) -> Iterator[KeyFrame]:
    """Yield the pictures of a folder, scaled; a damaged one leaves a warning with its name in its place."""
    for index, name in enumerate(key_frame_names(folder)):
        try:
            yield KeyFrame(STEP_MS * index, scale_short_side(load_picture(folder / name), short_side))
        except HashreelError as exc:
            warnings.append(DecodeWarning("decode", f"{name}: {exc}", STEP_MS * index))


def load_folder_frame(folder: Path, time_ms: int) -> Image:
    """Return the picture that stands at a time; NotFoundError if there is none any more."""
    names = key_frame_names(folder)
    index = time_ms // STEP_MS
    if index >= len(names):
        raise NotFoundError(f"{folder.name} has {len(names)} pictures now; there is none at {time_ms} ms")
    return load_picture(folder / names[index])
