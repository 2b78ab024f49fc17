"""What every painted scene is made of. numpy and Pillow only, fixed by a seed.

A scene is made once for a shot and then painted for any time in it. The kinds differ in layout, texture and
movement, and each draws its own colours and shapes from the seed, so that two shots look different to a
network that was trained on photographs.
"""

from __future__ import annotations

import colorsys
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw

__all__ = ["RGB", "Scene", "colour", "gradient", "texture", "tint"]

RGB = tuple[int, int, int]


def colour(hue: float, saturation: float = 0.6, value: float = 0.8) -> RGB:
    """Return an RGB colour, 0 to 255 each, of hue (any real, 1 is a full turn), saturation and value in [0, 1]."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)


def tint(rgb: RGB) -> NDArray[np.float32]:
    """Return a colour as float32 [3], to be multiplied with light."""
    return np.array(rgb, dtype=np.float32)


def gradient(width: int, height: int, top: RGB, bottom: RGB) -> NDArray[np.float32]:
    """Return float32 [height, width, 3], going from one colour down to the other."""
    weight = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    colours = tint(top) * (1 - weight) + tint(bottom) * weight
    return np.broadcast_to(colours, (height, width, 3)).copy()


def texture(rng: np.random.Generator, width: int, height: int, grain: float, octaves: int = 4) -> NDArray[np.float32]:
    """Return cloudy noise, float32 [height, width] in [0, 1].

    Args:
        rng: Source of chance.
        width: Pixels.
        height: Pixels.
        grain: Size in pixels of the largest lumps; each further octave halves it.
        octaves: Number of layers.
    """
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(octaves):
        step = max(1.0, grain / 2**octave)
        grid = rng.random((int(height / step) + 3, int(width / step) + 3), dtype=np.float32)
        layer = PilImage.fromarray(grid).resize((width, height), PilImage.Resampling.BICUBIC)
        total += np.asarray(layer) / 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


class Scene(ABC):
    """One kind of scene with its chance fixed."""

    name: ClassVar[str]

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self.rng = rng
        self.width = width
        self.height = height
        self.hue = float(rng.random())
        self.direction = float(rng.choice([-1.0, 1.0]))
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Draw everything that stays the same during the shot."""

    @abstractmethod
    def background(self, t: float) -> NDArray[np.float32]:
        """Return what lies behind, float32 [height, width, 3] in 0 to 255, ``t`` seconds into the shot."""

    @abstractmethod
    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        """Draw what moves in front, ``t`` seconds into the shot."""

    def paint(self, t: float) -> NDArray[np.uint8]:
        """Return the picture ``t`` seconds into the shot, uint8 [height, width, 3]."""
        picture = PilImage.fromarray(np.clip(self.background(t), 0, 255).astype(np.uint8))
        self.draw(ImageDraw.Draw(picture), t)
        return np.array(picture)

    def scrolled(self, wide: NDArray[np.float32], t: float, speed: float) -> NDArray[np.float32]:
        """Return the [height, width, ...] part of a wider picture that a pan of ``speed`` px/s shows at ``t``."""
        room = wide.shape[1] - self.width
        # There and back again, so that a long shot never runs out of picture.
        phase = (t * speed) % (2 * room) if room else 0.0
        offset = int(min(phase, 2 * room - phase))
        return wide[:, offset : offset + self.width]
