"""Generated scenes with exact masks: small labelled pictures pasted on painted grounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageFilter

from encoder.data.cifar import LabelledImages
from encoder.data.sets import MaskSet

__all__ = ["collages"]

GROUND = 0
SMALLEST = 0.2
LARGEST = 0.8


def collages(pictures: LabelledImages, count: int, *, size: int, seed: int) -> MaskSet:
    """Return ``count`` scenes, each one to four pictures pasted on a ground, masked by their classes.

    A quarter of the scenes is one picture that fills the scene, a quarter a full grid of 2 × 2, so that an
    edge alone tells nothing; in the rest pictures of 20 to 80 % of the side lie on noise, a gradient or a
    blurred picture. Scene i depends on (seed, i) alone and is painted when it is read.

    Args:
        pictures: what is pasted; their classes become mask values 1, 2, ...; 0 is the ground.
        count: n.
        size: side of a scene in pixels.
        seed: of everything random.
    """

    def read(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return _paint(pictures, size, np.random.default_rng((seed, number)))

    return MaskSet(f"collages of CIFAR-10 pictures (seed {seed})", count, read, ("background", *pictures.classes))


def _paint(
    pictures: LabelledImages, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image = _ground(pictures, size, rng)
    mask = np.full((size, size), GROUND, dtype=np.uint8)
    kind = rng.random()
    if kind < 0.25:
        boxes = [(0, 0, size)]
    elif kind < 0.5:
        half = size // 2
        boxes = [(y, x, size - half) for y in (0, half) for x in (0, half)]
    else:
        boxes = [_random_box(size, rng) for _ in range(rng.integers(1, 5))]
    for top, left, side in boxes:
        number = int(rng.integers(len(pictures)))
        tile = _resized(pictures.images[number], side)
        image[top : top + side, left : left + side] = tile[:, ::-1] if rng.random() < 0.5 else tile
        mask[top : top + side, left : left + side] = pictures.labels[number] + 1
    return image, mask


def _random_box(size: int, rng: np.random.Generator) -> tuple[int, int, int]:
    side = int(size * rng.uniform(SMALLEST, LARGEST))
    top, left = rng.integers(0, size - side + 1, 2)
    return int(top), int(left), side


def _ground(pictures: LabelledImages, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    kind = rng.integers(3)
    if kind == 0:
        lumps = rng.integers(0, 256, (int(rng.integers(2, 24)), int(rng.integers(2, 24)), 3)).astype(np.uint8)
        return _resized(lumps, size)
    if kind == 1:
        corners = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
        return _resized(corners, size)
    blurred = PilImage.fromarray(_resized(pictures.images[int(rng.integers(len(pictures)))], size))
    return np.array(blurred.filter(ImageFilter.GaussianBlur(size / 12)))


def _resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.array(PilImage.fromarray(image).resize((side, side), PilImage.Resampling.BICUBIC))
