"""Painted scenes that fill the picture: flowers, fruit, tiles, machines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from encoder.scenery.scene import Scene, colour, gradient, texture, tint

__all__ = ["Garden", "Gears", "Market", "Mosaic"]


class Garden(Scene):
    """Flowers that sway over a green bed."""

    name = "garden"

    def prepare(self) -> None:
        leaves = texture(self.rng, self.width, self.height, 14)[..., None]
        dark, light = tint(colour(0.33, 0.8, 0.2)), tint(colour(0.24 + 0.1 * self.hue, 0.7, 0.65))
        self.bed = dark * (1 - leaves) + light * leaves
        count = int(self.rng.integers(8, 15))
        self.flowers = self.rng.random((count, 4))
        self.petals = int(self.rng.integers(5, 10))
        self.flowers[:, 2] = self.hue + 0.12 * self.flowers[:, 2]

    def background(self, t: float) -> NDArray[np.float32]:
        return self.bed

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        for x0, y0, hue, kind in self.flowers:
            size = (0.08 + 0.12 * kind) * self.height
            x = x0 * self.width + 0.05 * self.height * np.sin(1.3 * t + 7 * y0)
            y = y0 * self.height + 0.02 * self.height * np.cos(1.7 * t + 5 * x0)
            turn = 0.4 * np.sin(t + 6 * kind)
            for petal in range(self.petals):
                angle = turn + 2 * np.pi * petal / self.petals
                px, py, radius = x + size * np.cos(angle), y + size * np.sin(angle), 0.48 * size
                pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=colour(hue, 0.75, 1.0))
            core = 0.5 * size
            pen.ellipse((x - core, y - core, x + core, y + core), fill=colour(0.12, 0.9, 0.9))


class Market(Scene):
    """Crates of fruit in rows; the camera moves along the stall."""

    name = "market"

    def prepare(self) -> None:
        grain = texture(self.rng, self.width, self.height, 30)[..., None]
        self.wood = tint((120, 82, 50)) * (0.6 + 0.6 * grain)
        self.hues = self.rng.uniform(0.0, 1.0, 12)
        self.nudge = self.rng.uniform(-1, 1, (12, 40, 2))
        self.rows = int(self.rng.integers(2, 4))

    def background(self, t: float) -> NDArray[np.float32]:
        return self.wood

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        cell = self.height / self.rows
        drift = (0.1 * self.direction * t * self.height) % cell
        for row in range(self.rows):
            for column in range(-1, int(self.width / cell) + 2):
                place = column - int(np.floor(0.1 * self.direction * t * self.height / cell))
                crate = (place * 5 + row * 7) % 12
                left, top = column * cell + drift, row * cell
                near, far = 0.04 * cell, 0.96 * cell
                pen.rectangle((left + near, top + near, left + far, top + far), fill=(60, 40, 26))
                self._fill(pen, crate, left, top, cell)

    def _fill(self, pen: ImageDraw.ImageDraw, crate: int, left: float, top: float, cell: float) -> None:
        size = cell / 8
        for fruit in range(25):
            dx, dy = self.nudge[crate, fruit]
            x = left + cell * (0.18 + 0.16 * (fruit % 5)) + 2 * dx
            y = top + cell * (0.18 + 0.16 * (fruit // 5)) + 2 * dy
            hue = self.hues[crate] + 0.03 * dx
            pen.ellipse((x - size, y - size, x + size, y + size), fill=colour(hue, 0.85, 0.8))
            x, y, shine = x - 0.4 * size, y - 0.4 * size, 0.35 * size
            pen.ellipse((x - shine, y - shine, x + shine, y + shine), fill=colour(hue, 0.3, 1.0))


class Mosaic(Scene):
    """Coloured tiles in a slowly turning star pattern."""

    name = "mosaic"

    def prepare(self) -> None:
        y, x = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        x, y = x - 0.5 * self.width, y - self.rng.uniform(0.3, 0.7) * self.height
        self.radius = np.hypot(x, y) / self.height
        self.angle = np.arctan2(y, x)
        self.folds = int(self.rng.integers(3, 9))
        chances = self.rng.uniform((0, 0.3, 0.4), (0.5, 1, 1), (7, 3))
        self.palette = np.stack([tint(colour(self.hue + h, s, v)) for h, s, v in chances])

    def background(self, t: float) -> NDArray[np.float32]:
        ring = np.floor(9 * self.radius - 0.5 * t)
        spoke = np.floor(self.folds * 2 * (self.angle + 0.2 * t * self.direction * (1 - 2 * (ring % 2))) / np.pi)
        chosen = (3 * ring + 2 * np.abs(spoke) % 5).astype(np.int64) % len(self.palette)
        joint = np.abs((9 * self.radius - 0.5 * t) % 1 - 0.5) > 0.44
        return np.where(joint[..., None], np.float32(40), self.palette[chosen])

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        """Nothing moves in front of the tiles."""


class Gears(Scene):
    """Toothed wheels that turn before a brick wall."""

    name = "gears"

    def prepare(self) -> None:
        wall = gradient(self.width, self.height, colour(0.03 + 0.05 * self.hue, 0.6, 0.65), (110, 60, 50))
        y, x = np.mgrid[0 : self.height, 0 : self.width]
        course = self.height // 12
        shift = (y // course % 2) * course
        is_joint = (y % course < 2) | ((x + shift) % (2 * course) < 2)
        wall *= 0.8 + 0.4 * texture(self.rng, self.width, self.height, 6)[..., None]
        self.wall = np.where(is_joint[..., None], np.float32(190), wall)
        count = int(self.rng.integers(3, 6))
        self.wheels = self.rng.random((count, 4))

    def background(self, t: float) -> NDArray[np.float32]:
        return self.wall

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        for i, (x0, y0, size, hue) in enumerate(self.wheels):
            x, y = (0.1 + 0.8 * x0) * self.width, (0.15 + 0.7 * y0) * self.height
            radius = (0.15 + 0.2 * size) * self.height
            teeth = int(8 + 8 * size)
            angles = np.arange(4 * teeth) * np.pi / (2 * teeth) + (1 - 2 * (i % 2)) * self.direction * 0.8 * t
            reach = radius * np.where(np.arange(4 * teeth) % 4 < 2, 1.0, 0.82)
            rim = list(zip(x + reach * np.cos(angles), y + reach * np.sin(angles), strict=True))
            pen.polygon(rim, fill=colour(self.hue + 0.3 * hue, 0.35, 0.75), outline=(30, 30, 30))
            for spoke in range(5):
                at = angles[0] + 2 * np.pi * spoke / 5
                cx, cy, hole = x + 0.5 * radius * np.cos(at), y + 0.5 * radius * np.sin(at), 0.15 * radius
                pen.ellipse((cx - hole, cy - hole, cx + hole, cy + hole), fill=(50, 40, 40))
