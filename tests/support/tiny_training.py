"""Training in seconds: pictures of one colour, masks of two, and a trunk of two convolutions."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.data.sets import MaskSet, PictureSet, single_label_targets
from encoder.training.recipes import HashSettings, NetworkSettings, Recipe, SegmentationSettings
from encoder.trunks import Trunk, registry

CLASSES = ("red", "green", "blue")


class TinyTrunk(Trunk):
    """Two convolutions to 8 channels at stride 8."""

    def __init__(self) -> None:
        super().__init__("tiny", channels=8, stride=8, pooled_channels=8)
        generator = torch.Generator().manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 8, 2, 2), nn.ReLU())
        for parameter in self.body.parameters():
            parameter.data.normal_(std=0.3, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        feature_map: Tensor = self.body(x)
        return feature_map


registry._MAKERS["tiny"] = lambda pretrained, stride: TinyTrunk()


def colour_pictures(count: int = 48) -> PictureSet:
    """Return pictures of one noisy colour each."""
    labels = np.arange(count) % 3

    def read(i: int) -> NDArray[np.uint8]:
        image = np.random.default_rng(i).integers(0, 100, (32, 32, 3)).astype(np.uint8)
        image[:, :, labels[i]] += 150
        return image

    return PictureSet("colours", read, single_label_targets(labels, 3), CLASSES)


def colour_masks(count: int = 16) -> MaskSet:
    """Return pictures whose halves have different colours."""

    def read(i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        image = np.random.default_rng(i).integers(0, 100, (64, 64, 3)).astype(np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        mask[:, :32], mask[:, 32:] = i % 3 + 1, (i + 1) % 3 + 1
        for value in (1, 2, 3):
            image[..., value - 1][mask == value] += 150
        return image, mask

    return MaskSet("halves", count, read, ("background", *CLASSES))


def recipe(kind: str = "baseline", **changes: Any) -> Recipe:
    network = NetworkSettings(
        kind="psp" if kind == "psp" else "baseline",
        trunk="tiny",
        size=32,
        input="gap" if kind == "psp" else "pooled",
        hidden=(16,),
        bits=16,
        fuse_channels=16,
        centre=True,
        pretrained=False,
    )
    settings = {"epochs": 3, "batch": 8, "rate": 0.05, "held_out": 6, "loss": "orthohash", **changes}
    segmentation = SegmentationSettings(epochs=2, batch=4, rate=0.05, trunk_factor=1.0) if kind == "psp" else None
    return Recipe("test", "", network, HashSettings(**settings), segmentation)
