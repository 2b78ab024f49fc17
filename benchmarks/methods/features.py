"""What methods learn from: features of CIFAR-10, computed once, in blocks that an interrupted run finds again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.methods.protocol import Protocol
from encoder.data.cifar import LabelledImages, read_cifar10

__all__ = ["FeatureSet", "block_wise", "pooled_sets", "read_split", "save_array"]

BLOCK = 2_000
BATCH = 32

Features = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSet:
    """Features float32 [n, d] of pictures with one class each, int64 [n], named in ``classes``."""

    features: Features
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> FeatureSet:
        """Return some of the pictures."""
        return FeatureSet(self.features[rows], self.labels[rows], self.classes)

    def columns(self, count: int) -> FeatureSet:
        """Return the first ``count`` features of every picture."""
        return FeatureSet(self.features[:, :count], self.labels, self.classes)


def read_split(data: Path, split: str, protocol: Protocol) -> LabelledImages:
    """Return the pictures of the protocol's "train" (gallery) or "test" (queries) part."""
    return read_cifar10(data, split, limit=protocol.gallery if split == "train" else protocol.queries)


def pooled_sets(data: Path, work: Path, protocol: Protocol) -> tuple[FeatureSet, FeatureSet]:
    """Return gallery and queries as pooled trunk features, computing the blocks that ``work`` lacks.

    Args:
        data: folder of the CIFAR-10 pack.
        work: folder for results.
        protocol: names trunk, size and numbers.
    """
    from encoder.features import pooled_features
    from encoder.transforms import Transform
    from encoder.trunks import create_trunk

    trunk = create_trunk(protocol.trunk).eval()
    transform = Transform("centre", protocol.size)
    folder = work / f"features-{protocol.trunk}-{protocol.size}"

    def compute(images: NDArray[np.uint8]) -> Features:
        return pooled_features(trunk, images, transform, batch_size=BATCH)

    return feature_sets(data, folder, protocol, compute)


def feature_sets(
    data: Path, folder: Path, protocol: Protocol, compute: Callable[[NDArray[np.uint8]], Features]
) -> tuple[FeatureSet, FeatureSet]:
    """Return gallery and queries under ``compute``, which turns pictures uint8 [n, s, s, 3] into float32 [n, d]."""
    sets = []
    for split in ("train", "test"):
        pictures = read_split(data, split, protocol)
        features = block_wise(folder, split, pictures.images, compute)
        sets.append(FeatureSet(features, pictures.labels, pictures.classes))
    return sets[0], sets[1]


def block_wise(
    folder: Path, name: str, images: NDArray[np.uint8], compute: Callable[[NDArray[np.uint8]], Features]
) -> Features:
    """Return ``compute`` of all images, block after block, each stored under ``folder`` when it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = []
    for start in range(0, len(images), BLOCK):
        part = images[start : start + BLOCK]
        file = folder / f"{name}-{start:06}-{len(part)}.npy"
        if not file.exists():
            print(f"{folder.name}: {name} {start} of {len(images)}", flush=True)
            save_array(file, compute(part))
        blocks.append(np.load(file, allow_pickle=False))
    return np.concatenate(blocks)


def save_array(file: Path, array: Features) -> None:
    """Write an array so that a killed run leaves no half of it behind."""
    aside = file.with_suffix(".part")
    with aside.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
    os.replace(aside, file)
