"""Painted scenes under an open sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from encoder.scenery.scene import Scene, colour, gradient, texture, tint

__all__ = ["Hills", "Road", "Sea"]


class Hills(Scene):
    """Mountain ridges in haze, one behind the other, under a sun; the camera pans."""

    name = "hills"

    def prepare(self) -> None:
        sky = gradient(self.width, self.height, colour(self.hue, 0.5, 0.9), colour(self.hue + 0.12, 0.3, 1.0))
        self.sky = sky + 30 * texture(self.rng, self.width, self.height, self.height / 2)[..., None] - 15
        self.sun = (self.rng.uniform(0.1, 0.9) * self.width, self.rng.uniform(0.08, 0.35) * self.height)
        span = 3 * self.width
        self.ridges = [texture(self.rng, span, 1, self.height * (1.4 - 0.3 * layer), 6)[0] for layer in range(4)]
        self.rock = texture(self.rng, self.width, self.height, 12)

    def background(self, t: float) -> NDArray[np.float32]:
        picture = self.sky.copy()
        rows = np.arange(self.height)[:, None]
        for layer, ridge in enumerate(self.ridges):
            shift = int((t * (4 + 9 * layer) * self.direction) % self.width)
            top = self.height * (0.35 + 0.15 * layer - 0.22 * ridge[shift : shift + self.width])
            shade = tint(colour(self.hue + 0.45 + 0.03 * layer, 0.2 + 0.15 * layer, 0.75 - 0.16 * layer))
            rough = 1 + 0.12 * layer * (self.rock - 0.5)
            mask = rows >= top[None, :]
            picture[mask] = (shade * rough[..., None])[mask]
        return picture

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        x, y = self.sun
        radius = self.height * 0.06
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour(0.12, 0.25, 1.0))


class Sea(Scene):
    """Waves under a broad sky, and a sailing boat that crosses them."""

    name = "sea"

    def prepare(self) -> None:
        self.horizon = int(self.rng.uniform(0.35, 0.5) * self.height)
        clouds = texture(self.rng, 2 * self.width, self.horizon, self.height / 3, 5)[..., None]
        blue, white = tint(colour(0.55 + 0.1 * self.hue, 0.5, 0.9)), tint((250, 248, 245))
        self.sky = blue * (1 - clouds) + white * clouds
        self.water = colour(0.45 + 0.2 * self.hue, 0.7, 0.55)
        self.phase = self.rng.uniform(0, 6.28, 5)
        self.sail = colour(self.rng.random(), 0.7, 0.95)

    def background(self, t: float) -> NDArray[np.float32]:
        depth = np.linspace(0.02, 1.0, self.height - self.horizon, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, self.width, dtype=np.float32)[None, :]
        swell = sum(
            np.sin((9 + 4 * i) * x / (0.25 + depth) + 14 / (0.15 + depth) + (1 + 0.4 * i) * t + self.phase[i])
            for i in range(5)
        )
        light = 1 + 0.11 * swell * (0.3 + depth)
        water = tint(self.water) * light[..., None]
        return np.concatenate([self.scrolled(self.sky, t, 6), water])

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        size = 0.28 * self.height
        x = self.width * (0.5 + self.direction * (0.08 * t - 0.3))
        y = self.horizon + 0.12 * self.height + 3 * np.sin(1.7 * t)
        pen.polygon([(x, y - size), (x, y - 6), (x + 0.45 * size, y - 6)], fill=self.sail)
        pen.polygon([(x - 4, y - 0.8 * size), (x - 4, y - 6), (x - 0.3 * size, y - 6)], fill=(245, 240, 230))
        pen.polygon(
            [(x - 0.4 * size, y), (x + 0.5 * size, y), (x + 0.3 * size, y + 9), (x - 0.25 * size, y + 9)],
            fill=(90, 50, 30),
        )


class Road(Scene):
    """A road to the horizon with dashes and trees that come nearer."""

    name = "road"

    def prepare(self) -> None:
        self.horizon = int(0.42 * self.height)
        sky = gradient(self.width, self.horizon, colour(0.58, 0.3 + 0.4 * self.hue, 0.85), (235, 235, 240))
        grass = gradient(self.width, self.height - self.horizon, colour(0.2 + 0.15 * self.hue, 0.5, 0.6), (60, 85, 40))
        grass *= 0.75 + 0.5 * texture(self.rng, self.width, self.height - self.horizon, 10)[..., None]
        self.land = np.concatenate([sky, grass])
        self.bend = self.rng.uniform(-0.3, 0.3) * self.width
        self.leaf = colour(self.rng.uniform(0.05, 0.38), 0.75, 0.5)
        self.sides = self.rng.choice([-1.0, 1.0], 40)

    def background(self, t: float) -> NDArray[np.float32]:
        return self.land

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        outline = [self._at(near, side) for side in (-1, 1) for near in (np.arange(21) / 20)[::side]]
        pen.polygon(outline, fill=(85, 85, 92))
        for dash in range(14):
            far = (dash + (1.6 * t) % 1) / 14
            near = min(1.0, far + 0.03)
            pen.polygon(
                [self._at(far, -0.03), self._at(far, 0.03), self._at(near, 0.03), self._at(near, -0.03)],
                fill=(245, 240, 200),
            )
        for tree in range(9):
            near = ((tree + (1.1 * t) % 1) / 9) ** 1.5
            side = self.sides[(tree - int(1.1 * t)) % 40]
            x, y = self._at(near, 1.6 * side)
            size = 0.5 * self.height * near
            pen.rectangle((x - 0.05 * size, y - 0.5 * size, x + 0.05 * size, y), fill=(80, 55, 35))
            pen.ellipse((x - 0.35 * size, y - 1.2 * size, x + 0.35 * size, y - 0.35 * size), fill=self.leaf)

    def _at(self, near: float, side: float) -> tuple[float, float]:
        depth = float(near) ** 2
        x = 0.5 * self.width + self.bend * (1 - depth) + side * (0.02 + 0.45 * depth) * self.width
        return x, self.horizon + depth * (self.height - self.horizon)


class Snow(Scene):
    """A forest of firs by night while snow falls."""

    name = "snow"

    def prepare(self) -> None:
        self.sky = gradient(self.width, self.height, colour(0.62, 0.7, 0.2), colour(0.6 + 0.1 * self.hue, 0.35, 0.6))
        drift = 0.82 + 0.08 * texture(self.rng, self.width, 1, 90, 3)[0]
        is_ground = np.arange(self.height)[:, None] >= (self.height * drift)[None, :]
        self.sky[is_ground] = (225, 230, 242)
        count = int(self.rng.integers(9, 16))
        self.firs = sorted(self.rng.uniform(0, 1, (count, 2)).tolist(), key=lambda fir: fir[1])
        self.flakes = self.rng.random((160, 3))

    def background(self, t: float) -> NDArray[np.float32]:
        return self.sky

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        for place, near in self.firs:
            x = (place * 1.2 - 0.1) * self.width + self.direction * t * (2 + 8 * near)
            foot = (0.78 + 0.18 * near) * self.height
            size = (0.3 + 0.35 * near) * self.height
            for tier in range(4):
                wide, low = size * (0.1 + 0.09 * tier), foot - size * (0.72 - 0.22 * tier)
                tip = low - 0.36 * size
                shade = colour(0.4 + 0.05 * self.hue, 0.6, 0.2 + 0.2 * near)
                pen.polygon([(x, tip), (x - wide, low), (x + wide, low)], fill=shade)
                pen.line([(x, tip), (x - wide, low)], fill=(230, 236, 245), width=2)
        for x0, y0, pace in self.flakes:
            x = ((x0 + 0.03 * np.sin(2 * t + 40 * y0)) % 1) * self.width
            y = ((y0 + (0.1 + 0.2 * pace) * t) % 1) * self.height
            radius = 0.8 + 1.6 * pace
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 250, 255))


class Dunes(Scene):
    """Sand dunes with ripples under a hot sky, and cacti that pass by."""

    name = "dunes"

    def prepare(self) -> None:
        self.sky = gradient(self.width, self.height, colour(0.57 + 0.06 * self.hue, 0.7, 0.9), (250, 225, 180))
        self.sand = colour(0.06 + 0.06 * self.hue, 0.55, 0.92)
        self.crests = self.rng.uniform(0, 6.28, 3)
        self.cacti = self.rng.uniform(0, 1, (5, 2))

    def background(self, t: float) -> NDArray[np.float32]:
        picture = self.sky.copy()
        x = np.arange(self.width, dtype=np.float32)[None, :] / self.width
        y = np.arange(self.height, dtype=np.float32)[:, None] / self.height
        for layer, phase in enumerate(self.crests):
            place = x * (2.2 - 0.5 * layer) + 0.06 * self.direction * t * (1 + layer)
            crest = 0.45 + 0.15 * layer + 0.09 * np.sin(3.4 * place + phase)
            ripple = np.sin(70 * (y - crest) * (1.4 - 0.3 * layer) + 8 * np.sin(5 * place + phase))
            light = 0.62 + 0.16 * layer + 0.07 * ripple + 0.12 * np.cos(3.4 * place + phase)
            picture = np.where((y > crest)[..., None], tint(self.sand) * light[..., None], picture)
        return picture

    def draw(self, pen: ImageDraw.ImageDraw, t: float) -> None:
        for place, near in sorted(self.cacti.tolist(), key=lambda cactus: cactus[1]):
            size = (0.15 + 0.3 * near) * self.height
            x = ((place + self.direction * t * (0.02 + 0.04 * near)) % 1.2 - 0.1) * self.width
            foot, thick = (0.72 + 0.25 * near) * self.height, 0.09 * size
            shade = colour(0.33, 0.6, 0.3 + 0.2 * near)
            pen.rounded_rectangle((x - thick, foot - size, x + thick, foot), thick, fill=shade)
            for side, low in ((-1, 0.45), (1, 0.6)):
                arm = x + side * 0.3 * size
                pen.line([(x, foot - low * size), (arm, foot - low * size)], fill=shade, width=max(2, int(thick)))
                pen.line(
                    [(arm, foot - low * size), (arm, foot - (low + 0.25) * size)], fill=shade, width=max(2, int(thick))
                )
