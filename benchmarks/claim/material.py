"""Everything that a campaign learns from and is asked, ready for use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim.data import (
    Collection,
    Masked,
    joined,
    mask_collection,
    read_cifar,
    read_films,
    read_masked,
    read_scenes,
)
from benchmarks.claim.pictures import Crops, PictureStore, Seen
from benchmarks.claim.protocol import Protocol, Schedule

__all__ = ["Folders", "Material", "Track", "read_material"]

TEST_SPLITS = ("test", "val")
"""Of the mask pictures: the first that exists is asked, all that exist may be returned."""


@dataclass(frozen=True)
class Folders:
    """Where the data are: CIFAR-10, pictures with masks, class folders, films with shots.csv."""

    cifar10: Path
    masks: Path
    scenes: Path
    films: Path


@dataclass(frozen=True)
class Track:
    """What the hash phase learns from.

    Attributes:
        name: "cifar" or "labels".
        pictures: n pictures.
        targets: float32 [n, C].
        schedule: of the phase.
    """

    name: str
    pictures: Crops
    targets: NDArray[np.float32]
    schedule: Schedule


class Material:
    """Pictures with the trunk's view of them.

    Args:
        store: computes and keeps that view.
        masked: what the arms with masks or tags are pretrained on.
        tracks: what the hash phase learns from.
        collections: what is asked.
        judged: pictures with masks that show what pretraining learned; nothing is chosen by them.
    """

    def __init__(
        self,
        store: PictureStore,
        masked: Masked,
        tracks: Sequence[Track],
        collections: Sequence[Collection],
        judged: Masked,
    ) -> None:
        self.store, self.masked, self.judged = store, masked, judged
        self.tracks = {track.name: track for track in tracks}
        self.collections = tuple(collections)
        self._seen: dict[str, Seen] = {}

    def seen(self, crops: Crops) -> Seen:
        """Return the trunk's view of pictures."""
        if crops.name not in self._seen:
            self._seen[crops.name] = self.store.seen(crops)
        return self._seen[crops.name]

    @cached_property
    def asked(self) -> tuple[Crops, ...]:
        """Every set of pictures that is encoded for the questions, each once."""
        both = [crops for c in self.collections for crops in (c.queries, c.gallery)]
        return tuple({crops.name: crops for crops in both}.values())


def read_material(folders: Folders, work: Path, protocol: Protocol, device: str) -> Material:
    """Read everything and check it; the trunk's view is computed when it is first asked for."""
    learned, cifar = read_cifar(folders.cifar10, protocol)
    masked = read_masked(folders.masks, "train", protocol)
    splits = [read_masked(folders.masks, split, protocol) for split in _test_splits(folders.masks)]
    gallery = joined("masks-all", [split.crops for split in splits])
    return Material(
        PictureStore(work / "maps", protocol, device),
        masked,
        [
            Track("cifar", cifar.gallery, learned.targets, protocol.cifar),
            Track("labels", masked.crops, masked.labels, protocol.labels),
        ],
        [
            read_scenes(folders.scenes, protocol),
            mask_collection(splits[0], splits[1:], gallery),
            read_films(folders.films, protocol),
            cifar,
        ],
        splits[0],
    )


def _test_splits(root: Path) -> list[str]:
    lists = {path.stem for path in (root / "VOCdevkit").glob("VOC*/ImageSets/Segmentation/*.txt")}
    return [split for split in TEST_SPLITS if split in lists]
