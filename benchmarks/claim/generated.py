"""Generated scenes with exact masks: a painted background is the global concept, one to four shapes the local ones.

They show in seconds that every step of the campaign works. They are synthetic: what they say about masks is no finding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.claim.data import Collection, Masked, crops_of, joined, mask_collection, masked_of
from benchmarks.claim.material import Material, Track
from benchmarks.claim.pictures import PictureStore
from benchmarks.claim.protocol import Protocol
from encoder.data.sets import MaskSet, PictureSet, single_label_targets
from encoder.scenery import SCENES
from search.evaluation import Exclusion, Labels

__all__ = ["GROUNDS", "SHAPES", "generated_masks", "generated_material", "grounds_of"]

GROUNDS = SCENES[:4]
SHAPES = ("disc", "square", "triangle", "bar")
COLOURS = ((225, 40, 40), (40, 200, 60), (50, 70, 230), (240, 220, 40))
"""A colour a shape, changed a little in each picture, so that a small network can learn them."""

SMALLEST, LARGEST = 0.12, 0.35
VIDEO_S = 30.0


def generated_masks(name: str, count: int, size: int, seed: int) -> MaskSet:
    """Return ``count`` scenes with masks; scene i depends on (seed, i) alone, its background on i."""

    def read(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        rng = np.random.default_rng((seed, number))
        ground = GROUNDS[number % len(GROUNDS)](rng, size, size)
        picture = Image.fromarray(ground.paint(float(rng.uniform(0, VIDEO_S))))
        mask = Image.new("L", (size, size), 0)
        for _ in range(rng.integers(1, 5)):
            _add_shape(ImageDraw.Draw(picture), ImageDraw.Draw(mask), size, rng)
        return np.array(picture), np.array(mask)

    return MaskSet(name, count, read, ("background", *SHAPES))


def grounds_of(masks: MaskSet) -> PictureSet:
    """Return the same scenes with their backgrounds as classes."""
    targets = single_label_targets(np.arange(len(masks)) % len(GROUNDS), len(GROUNDS))
    return PictureSet(masks.name, lambda i: masks.read(i)[0], targets, tuple(ground.name for ground in GROUNDS))


def generated_material(work: Path, protocol: Protocol, device: str = "cpu") -> Material:
    """Return a campaign's material: ``cifar_train`` scenes to learn from and ``cifar_test`` that are asked."""
    sets = [
        generated_masks(name, count, protocol.size, seed)
        for seed, (name, count) in enumerate((("train", protocol.cifar_train), ("test", protocol.cifar_test)))
    ]
    trained, tested = (_masked(data, protocol) for data in sets)
    learned, asked = (grounds_of(data) for data in sets)
    return Material(
        PictureStore(work / "maps", protocol, device),
        trained,
        [
            Track("cifar", crops_of(learned, "generated-train", protocol.size), learned.targets, protocol.cifar),
            Track("labels", trained.crops, trained.labels, protocol.labels),
        ],
        [_grounds(asked, protocol), mask_collection(tested, [], joined("generated-test", [tested.crops]))],
        tested,
    )


def _masked(data: MaskSet, protocol: Protocol) -> Masked:
    return masked_of(data, f"generated-masks-{data.name}", protocol)


def _grounds(pictures: PictureSet, protocol: Protocol) -> Collection:
    crops = crops_of(pictures, "generated-grounds", protocol.size)
    labels = Labels(pictures.classes, pictures.targets > 0)
    rows = np.arange(len(pictures), dtype=np.int64)
    return Collection("backgrounds", crops, crops, labels, labels, Exclusion.of_self(rows, len(rows)))


def _add_shape(pen: ImageDraw.ImageDraw, mask_pen: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    kind = int(rng.integers(len(SHAPES)))
    side = int(size * rng.uniform(SMALLEST, LARGEST))
    x, y = (int(v) for v in rng.integers(0, size - side, 2))
    colour = tuple(int(np.clip(value + rng.integers(-30, 31), 0, 255)) for value in COLOURS[kind])
    for target, fill in ((pen, colour), (mask_pen, kind + 1)):
        _draw(target, SHAPES[kind], x, y, side, fill)


def _draw(pen: ImageDraw.ImageDraw, shape: str, x: int, y: int, side: int, fill: tuple[int, ...] | int) -> None:
    if shape == "disc":
        pen.ellipse((x, y, x + side, y + side), fill=fill)
    elif shape == "square":
        pen.rectangle((x, y, x + side, y + side), fill=fill)
    elif shape == "triangle":
        pen.polygon([(x, y + side), (x + side // 2, y), (x + side, y + side)], fill=fill)
    else:
        pen.rectangle((x, y + side // 3, x + side, y + 2 * side // 3), fill=fill)
