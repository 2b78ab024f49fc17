"""Pictures with masks in the layout of the PASCAL VOC kit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import UnidentifiedImageError

from encoder.data.sets import IGNORE, MaskSet
from encoder.pictures import load_picture
from hashreel.errors import BadInputError, NotFoundError

__all__ = ["VOC_CLASSES", "read_mask", "read_voc_masks"]

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def read_voc_masks(
    root: str | os.PathLike[str],
    split: str,
    *,
    year: str = "2012",
    classes: Sequence[str] = VOC_CLASSES,
    download: bool = False,
) -> MaskSet:
    """Return ``VOCdevkit/VOC{year}`` under ``root``: JPEGImages, SegmentationClass, ImageSets/Segmentation.

    Every mask is read once before training: a hole found after hours would cost them.

    Args:
        root: the folder that holds ``VOCdevkit``.
        split: name of a list in ImageSets/Segmentation: "train", "val", "trainval", ...
        year: of the kit.
        classes: mask value i is classes[i]; 255 does not count.
        download: fetch the kit with torchvision if it is not there.

    Raises:
        NotFoundError: If the list or a file is missing.
        BadInputError: If a mask is not indexed, of another size than its picture, or holds a value that is
            no class; the message names the file.
    """
    if download:
        from torchvision.datasets import VOCSegmentation

        VOCSegmentation(os.fspath(root), year=year, image_set=split, download=True)
    kit = Path(root) / "VOCdevkit" / f"VOC{year}"
    listed = kit / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not listed.is_file():
        raise NotFoundError(f"{listed} is not there; expected the VOC layout under {root}, or download=True")
    names = listed.read_text(encoding="utf-8").split()
    if not names:
        raise BadInputError(f"{listed} lists no picture")
    pairs = [(kit / "JPEGImages" / f"{name}.jpg", kit / "SegmentationClass" / f"{name}.png") for name in names]
    for image_path, mask_path in pairs:
        _check_pair(image_path, mask_path, len(classes))

    def read(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        image_path, mask_path = pairs[number]
        return load_picture(image_path), read_mask(mask_path)

    return MaskSet(f"VOC{year} {split}", len(pairs), read, tuple(classes))


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Return an indexed or grey PNG's values, uint8 [h, w]; colours of the palette play no part.

    Raises:
        BadInputError: If the file cannot be decoded or has colours instead of indexes.
    """
    try:
        with PilImage.open(path) as image:
            if image.mode not in ("P", "L"):
                raise BadInputError(f"{path} has mode {image.mode}; expected an indexed (P) or grey (L) mask")
            return np.array(image, dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError) as exc:
        raise BadInputError(f"{path} cannot be decoded as a mask: {exc}") from exc


def _check_pair(image_path: Path, mask_path: Path, classes: int) -> None:
    for path in (image_path, mask_path):
        if not path.is_file():
            raise NotFoundError(f"{path} is missing, but its split lists it")
    mask = read_mask(mask_path)
    with PilImage.open(image_path) as image:
        size = image.size
    if mask.shape[::-1] != size:
        raise BadInputError(f"{mask_path} is {mask.shape[1]} × {mask.shape[0]}, its picture {size[0]} × {size[1]}")
    values = np.unique(mask)
    wrong = values[(values >= classes) & (values != IGNORE)]
    if len(wrong):
        raise BadInputError(f"{mask_path} holds the values {wrong.tolist()}; expected 0 to {classes - 1} or {IGNORE}")
