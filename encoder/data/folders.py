"""Folders of pictures, in any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.pictures import load_picture
from hashreel.errors import BadInputError, NotFoundError

__all__ = ["PICTURE_SUFFIXES", "find_pictures", "iter_pictures"]

PICTURE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def find_pictures(directory: str | os.PathLike[str]) -> list[Path]:
    """Return every picture file under ``directory`` in the order of its path.

    Raises:
        NotFoundError: If there is no such directory.
        BadInputError: If there is no picture in it.
    """
    root = Path(directory)
    if not root.is_dir():
        raise NotFoundError(f"{root} is not a directory")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not paths:
        raise BadInputError(f"{root} holds no picture; accepted: {', '.join(sorted(PICTURE_SUFFIXES))}")
    return paths


def iter_pictures(directory: str | os.PathLike[str]) -> Iterator[NDArray[np.uint8]]:
    """Yield every picture under ``directory``, uint8 [h, w, 3], in the order of its path."""
    return map(load_picture, find_pictures(directory))
