"""The two forms that training data takes: pictures with classes, and pictures with masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = ["IGNORE", "MaskSet", "PictureSet", "single_label_targets"]

IGNORE = 255
"""Mask value of pixels that do not count."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class PictureSet:
    """Pictures with any number of classes each.

    Attributes:
        name: for records and model cards.
        read: number of a picture → uint8 [h, w, 3], RGB.
        targets: float32 [n, C], 1 where a picture has the class, else 0.
        classes: C names.
    """

    name: str
    read: Callable[[int], Image]
    targets: NDArray[np.float32]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.targets.ndim != 2 or self.targets.shape[1] != len(self.classes) or len(self.targets) == 0:
            raise BadInputError(f"{self.name}: targets {self.targets.shape} do not fit {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.targets)

    def subset(self, numbers: NDArray[np.int64], name: str | None = None) -> PictureSet:
        """Return the pictures with these numbers, in their order."""
        return PictureSet(name or self.name, lambda i: self.read(int(numbers[i])), self.targets[numbers], self.classes)

    def split(self, held_out: int, seed: int) -> tuple[PictureSet, PictureSet]:
        """Return a training part and a held-out part of ``held_out`` pictures, drawn by ``seed``.

        Raises:
            BadInputError: If nothing would be left to train on.
        """
        if not 0 < held_out < len(self):
            raise BadInputError(f"{self.name} has {len(self)} pictures; {held_out} of them cannot be held out")
        order = np.random.default_rng(seed).permutation(len(self))
        return self.subset(np.sort(order[held_out:])), self.subset(np.sort(order[:held_out]), f"{self.name} (held out)")


@dataclass(frozen=True)
class MaskSet:
    """Pictures with a class for every pixel.

    Attributes:
        name: for records and model cards.
        count: n.
        read: number of a picture → RGB uint8 [h, w, 3] and mask uint8 [h, w]; 255 marks pixels without a class.
        classes: names, mask value i is classes[i]; by convention "background" is no concept.
    """

    name: str
    count: int
    read: Callable[[int], tuple[Image, NDArray[np.uint8]]]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.count < 1 or not 2 <= len(self.classes) <= IGNORE:
            raise BadInputError(f"{self.name}: {self.count} pictures and {len(self.classes)} classes; too few or many")

    def __len__(self) -> int:
        return self.count


def single_label_targets(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Return labels [n] as one row each with a single 1, float32 [n, classes].

    Raises:
        BadInputError: If a label is not in 0 to classes − 1.
    """
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise BadInputError(f"labels go from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
    return np.eye(classes, dtype=np.float32)[labels]
