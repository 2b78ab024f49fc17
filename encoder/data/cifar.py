"""CIFAR-10: from torchvision, or as a pack of JPEG files in two .npz files."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from encoder.data.sets import PictureSet, single_label_targets
from hashreel.errors import BadInputError, NotFoundError

__all__ = ["LabelledImages", "read_cifar10", "read_torchvision_cifar10"]

SIDE = 32


@dataclass(frozen=True)
class LabelledImages:
    """Pictures of one size with one label each.

    Attributes:
        images: uint8 [n, s, s, 3], RGB.
        labels: int64 [n], indexes into ``classes``.
        classes: names.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def picture_set(self, name: str) -> PictureSet:
        """Return the same as a :class:`PictureSet`."""
        targets = single_label_targets(self.labels, len(self.classes))
        return PictureSet(name, lambda i: self.images[i], targets, self.classes)


def read_cifar10(directory: str | os.PathLike[str], split: str, *, limit: int | None = None) -> LabelledImages:
    """Return CIFAR-10 from ``cifar10_{split}.npz``.

    The file holds ``jpeg`` (all files' bytes one after another, uint8), ``offsets`` (int64 [n + 1]),
    ``labels`` (integers [n]) and ``classes`` (strings).

    Args:
        directory: where the two .npz files are.
        split: "train" or "test".
        limit: take the first so many; the pack's order is random.

    Raises:
        NotFoundError: If the file is not there.
        BadInputError: If it lacks an array, a label is out of range, or a picture cannot be decoded.
    """
    path = Path(directory) / f"cifar10_{split}.npz"
    if not path.is_file():
        raise NotFoundError(f"{path} is not there; expected the CIFAR-10 pack cifar10_train.npz and cifar10_test.npz")
    with np.load(path, allow_pickle=False) as pack:
        missing = {"jpeg", "offsets", "labels", "classes"} - set(pack.files)
        if missing:
            raise BadInputError(f"{path} lacks the arrays {sorted(missing)}")
        blob, offsets, labels = pack["jpeg"], pack["offsets"], pack["labels"].astype(np.int64)
        classes = tuple(str(name) for name in pack["classes"])
    labels = labels[:limit]
    if len(offsets) < len(labels) + 1 or labels.size == 0 or not 0 <= labels.min() <= labels.max() < len(classes):
        raise BadInputError(f"{path} holds {len(labels)} labels that do not fit its offsets and {len(classes)} classes")
    images = np.stack([_decode(blob[offsets[i] : offsets[i + 1]].tobytes(), path, i) for i in range(len(labels))])
    return LabelledImages(images, labels, classes)


def read_torchvision_cifar10(
    directory: str | os.PathLike[str], split: str, *, download: bool = False
) -> LabelledImages:
    """Return CIFAR-10 as torchvision stores it under ``directory``.

    Args:
        directory: torchvision's root.
        split: "train" or "test".
        download: fetch it if it is not there.

    Raises:
        NotFoundError: If it is not there.
    """
    from torchvision.datasets import CIFAR10

    try:
        data = CIFAR10(os.fspath(directory), train=split == "train", download=download)
    except RuntimeError as exc:
        raise NotFoundError(f"{directory} does not hold torchvision's CIFAR-10: {exc}") from exc
    labels = np.array(data.targets, dtype=np.int64)
    return LabelledImages(np.asarray(data.data, dtype=np.uint8), labels, tuple(data.classes))


def _decode(content: bytes, path: Path, number: int) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as exc:
        raise BadInputError(f"picture {number} of {path} cannot be decoded: {exc}") from exc
    if pixels.shape != (SIDE, SIDE, 3):
        raise BadInputError(f"picture {number} of {path} has shape {pixels.shape}; expected {(SIDE, SIDE, 3)}")
    return pixels
