"""Painted scenes with things in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from encoder.scenery.scene import RGB, Scene, colour, gradient, texture, tint

__all__ = ["Balls", "City", "Reef"]


class City(Scene):
    """A skyline by night with lit windows; the camera travels along it."""

    name = "city"

    def prepare(self) -> None:
        self.sky = gradient(self.width, self.height, colour(self.hue, 0.7, 0.15), colour(self.hue + 0.08, 0.6, 0.5))
        self.houses: list[tuple[float, float, float, RGB, NDArray[np.bool_]]] = []
        x = -0.5 * self.width
        while x < 2.5 * self.width:
            wide = self.rng.uniform(0.14, 0.34) * self.height
            tall = self.rng.uniform(0.25, 0.85) * self.height
            lit = self.rng.random((12, 5)) < self.rng.uniform(0.3, 0.8)
            self.houses.append((x, wide, tall, colour(self.rng.random(), 0.3, self.rng.uniform(0.1, 0.3)), lit))
            x += wide + self.rng.uniform(0.0, 0.05) * self.height
        self.window = colour(self.rng.uniform(0.08, 0.16), 0.5, 1.0)

    def background(self, t: float) -> NDArray[np.float32]:
        return self.sky

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        offset = self.direction * t * 0.12 * self.height
        for x, wide, tall, wall, lit in self.houses:
            left = x + offset - (0.5 * self.width if self.direction > 0 else 0)
            if left > self.width or left + wide < 0:
                continue
            top = self.height - tall
            pen.rectangle((left, top, left + wide, self.height), fill=wall)
            for row, column in np.argwhere(lit):
                cell_w, cell_h = wide / 5, 0.07 * self.height
                x0, y0 = left + (column + 0.25) * cell_w, top + (row + 0.4) * cell_h
                if y0 + cell_h / 2 < self.height:
                    pen.rectangle((x0, y0, x0 + cell_w / 2, y0 + cell_h / 2), fill=self.window)


class Balls(Scene):
    """Glossy balls that bounce over a chequered floor."""

    name = "balls"

    def prepare(self) -> None:
        wall = gradient(self.width, self.height, colour(self.hue, 0.25, 0.95), colour(self.hue, 0.4, 0.7))
        y = np.arange(self.height, dtype=np.float32)[:, None] - 0.6 * self.height
        x = np.arange(self.width, dtype=np.float32)[None, :] - 0.5 * self.width
        depth = 0.35 * self.height / np.maximum(y, 1)
        odd = (np.floor(x * depth / 22) + np.floor(9 * depth)) % 2
        light, dark = tint(colour(self.hue + 0.5, 0.1, 0.95)), tint(colour(self.hue + 0.5, 0.7, 0.35))
        floor = np.where(odd[..., None] > 0, light, dark)
        self.room = np.where((y > 0)[..., None], floor, wall).astype(np.float32)
        count = int(self.rng.integers(4, 8))
        self.start = self.rng.uniform(0, 1, (count, 2))
        self.speed = self.rng.uniform(0.15, 0.4, count) * self.rng.choice([-1, 1], count)
        self.radii = self.rng.uniform(0.06, 0.14, count) * self.height
        self.colours = [(h, 0.85) for h in self.rng.random(count)]

    def background(self, t: float) -> NDArray[np.float32]:
        return self.room

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        for (x0, phase), speed, radius, (hue, saturation) in zip(
            self.start, self.speed, self.radii, self.colours, strict=True
        ):
            x = self.width * abs(1 - (x0 + speed * t) % 2)
            y = 0.85 * self.height - radius - 0.5 * self.height * abs(np.sin(2.2 * t + 6.28 * phase))
            pen.ellipse((x - radius, 0.86 * self.height - 3, x + radius, 0.86 * self.height + 5), fill=(40, 36, 34))
            for ring in range(5):
                part = radius * (1 - 0.17 * ring)
                cx, cy = x - 0.08 * ring * radius, y - 0.09 * ring * radius
                shade = colour(hue, saturation * (1 - 0.17 * ring), 0.45 + 0.13 * ring)
                pen.ellipse((cx - part, cy - part, cx + part, cy + part), fill=shade)


class Reef(Scene):
    """Fish and bubbles in deep water over a stony ground."""

    name = "reef"

    def prepare(self) -> None:
        water = gradient(self.width, self.height, colour(0.5 + 0.08 * self.hue, 0.6, 0.85), colour(0.6, 0.9, 0.25))
        stones = texture(self.rng, self.width, self.height, 0.2 * self.height, 5)
        ground = tint(colour(self.hue, 0.5, 0.7)) * (0.4 + 0.8 * stones[..., None])
        top = self.height * (0.72 + 0.15 * texture(self.rng, self.width, 1, 60, 3)[0])
        is_ground = np.arange(self.height)[:, None] >= top[None, :]
        self.water = np.where(is_ground[..., None], ground, water).astype(np.float32)
        count = int(self.rng.integers(6, 12))
        self.fish = self.rng.random((count, 4))
        self.bubbles = self.rng.random((25, 3))

    def background(self, t: float) -> NDArray[np.float32]:
        rays = np.sin(np.linspace(0, 9, self.width, dtype=np.float32) + 0.8 * t)[None, :, None]
        lit: NDArray[np.float32] = self.water * (1 + 0.1 * rays)
        return lit

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        for x0, y0, hue, pace in self.fish:
            way = 1 if pace > 0.5 else -1
            size = (0.06 + 0.09 * y0) * self.height
            x = ((x0 + way * (0.05 + 0.12 * pace) * t) % 1.3 - 0.15) * self.width
            y = (0.1 + 0.6 * y0) * self.height + 4 * np.sin(3 * t + 9 * x0)
            wag = 0.35 * size * np.sin(9 * t + 20 * x0)
            tail = x - way * size
            pen.polygon(
                [(tail, y), (tail - way * 0.6 * size, y - 0.45 * size + wag),
                 (tail - way * 0.6 * size, y + 0.45 * size + wag)],
                fill=colour(hue + 0.1, 0.9, 0.9),
            )  # fmt: skip
            pen.ellipse((x - size, y - 0.5 * size, x + size, y + 0.5 * size), fill=colour(hue, 0.9, 1.0))
            pen.ellipse((x - 0.1 * size, y - 0.5 * size, x + 0.15 * size, y + 0.5 * size), fill=colour(hue, 0.1, 1.0))
            eye = x + way * 0.65 * size
            pen.ellipse((eye - 2, y - 4, eye + 2, y), fill=(10, 10, 10))
        for x0, y0, pace in self.bubbles:
            x = x0 * self.width + 5 * np.sin(2 * t + 30 * y0)
            y = (1 - (y0 + (0.1 + 0.2 * pace) * t) % 1) * self.height
            radius = 1.5 + 3 * pace
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(220, 240, 250))
