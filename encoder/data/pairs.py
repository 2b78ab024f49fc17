"""A picture and its mask through the same crop: bilinear for the one, nearest for the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from encoder.transforms import Transform
from hashreel.errors import BadInputError

__all__ = ["augment_pair", "centre_pair", "flip_pair"]

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
SCALES = (0.5, 2.0)
GREY = 128


def centre_pair(image: NDArray[np.uint8], mask: NDArray[np.uint8], size: int) -> Pair:
    """Return the central square of both: uint8 [size, size, 3] as the model will see it, and uint8 [size, size].

    Args:
        image: uint8 [h, w, 3].
        mask: uint8 [h, w].
        size: side in pixels.

    Raises:
        BadInputError: If picture and mask differ in size.
    """
    height, width = mask.shape
    if image.shape[:2] != mask.shape:
        raise BadInputError(f"picture {image.shape[:2]} and mask {mask.shape} differ in size")
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return Transform("centre", size).apply(image)[0], _nearest(mask[y : y + side, x : x + side], size)


def flip_pair(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Pair:
    """Return both turned left to right."""
    return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])


def augment_pair(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], size: int, rng: np.random.Generator, *, ignore: int = 255
) -> Pair:
    """Return a random view: scaled by 0.5 to 2, a random window, flipped half of the time.

    Where the scaled picture is smaller than the window the rest is grey and does not count.

    Args:
        image: uint8 [h, w, 3].
        mask: uint8 [h, w].
        size: side of the view in pixels.
        rng: of scale, place and flip.
        ignore: mask value of what does not count.
    """
    scale = float(np.exp(rng.uniform(*np.log(SCALES)))) * size / min(mask.shape)
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    pixels = np.array(PilImage.fromarray(image).resize((width, height), PilImage.Resampling.BILINEAR))
    labels = np.array(PilImage.fromarray(mask).resize((width, height), PilImage.Resampling.NEAREST))
    view = np.full((size, size, 3), GREY, dtype=np.uint8)
    view_mask = np.full((size, size), ignore, dtype=np.uint8)
    source_y, target_y, rows = _window(height, size, rng)
    source_x, target_x, columns = _window(width, size, rng)
    target = (slice(target_y, target_y + rows), slice(target_x, target_x + columns))
    source = (slice(source_y, source_y + rows), slice(source_x, source_x + columns))
    view[target], view_mask[target] = pixels[source], labels[source]
    return flip_pair(view, view_mask) if rng.random() < 0.5 else (view, view_mask)


def _window(length: int, size: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return where to read, where to write, and how many pixels, along one side."""
    if length >= size:
        return int(rng.integers(0, length - size + 1)), 0, size
    return 0, int(rng.integers(0, size - length + 1)), length


def _nearest(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.array(PilImage.fromarray(mask).resize((size, size), PilImage.Resampling.NEAREST))
