"""Mosaics of small pictures: large pictures with fine detail, made of CIFAR-10's 32 × 32 ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashreel.errors import BadInputError

__all__ = ["mosaics"]


def mosaics(images: NDArray[np.uint8], count: int, *, tiles: int, size: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield ``count`` pictures, each a grid of random ones from ``images``, uint8 [size, size, 3].

    A 32-pixel picture enlarged to 224 has no fine detail, and features of it lie apart from those of video
    frames. Grids of them have edges, several objects and detail at the scale of frames.

    Args:
        images: uint8 [n, h, w, 3].
        count: how many to make.
        tiles: pictures on each side of the grid; 1 only enlarges.
        size: side of a mosaic in pixels.
        seed: of the choice; equal seeds give equal mosaics.

    Raises:
        BadInputError: If there is no picture, or tiles is not in 1 to size.
    """
    if len(images) == 0 or not 1 <= tiles <= size:
        raise BadInputError(f"cannot make {tiles} × {tiles} mosaics of side {size} from {len(images)} pictures")
    rng = np.random.default_rng(seed)
    edges = np.linspace(0, size, tiles + 1).round().astype(int)
    for _ in range(count):
        mosaic = np.empty((size, size, 3), dtype=np.uint8)
        for row in range(tiles):
            for column in range(tiles):
                top, bottom, left, right = edges[row], edges[row + 1], edges[column], edges[column + 1]
                tile = Image.fromarray(images[rng.integers(len(images))])
                resized = tile.resize((int(right - left), int(bottom - top)), Image.Resampling.BICUBIC)
                mosaic[top:bottom, left:right] = np.asarray(resized)
        yield mosaic
