"""The pictures of the campaign, and the questions that are asked of them: who is asked what, and what is right."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim.pictures import Crops
from benchmarks.claim.protocol import Protocol
from encoder.data.cifar import read_cifar10
from encoder.data.labels import read_class_folders
from encoder.data.masks import VOC_CLASSES, read_voc_masks
from encoder.data.pairs import centre_pair
from encoder.data.sets import IGNORE, MaskSet, PictureSet
from encoder.transforms import Transform
from encoder.video import Every, iter_key_frames, probe
from hashreel.errors import BadInputError, NotFoundError
from search.evaluation import Exclusion, Labels, read_shots

__all__ = [
    "Collection",
    "Masked",
    "crops_of",
    "joined",
    "mask_collection",
    "masked_of",
    "read_cifar",
    "read_films",
    "read_masked",
    "read_scenes",
]

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Collection:
    """Questions: every query is asked for each of its concepts that something else in the gallery has too.

    Attributes:
        name: for tables and files.
        queries: pictures that are asked.
        gallery: pictures that may be returned.
        query_labels: their concepts.
        gallery_labels: the same names in the same order.
        exclusion: what each query leaves out.
        decides: whether its concepts are among those that the verdict is about; CIFAR-10's, which the hash phase
            learned as classes, are not.
        areas: float32 [q, C], share of the cropped query that each concept covers, where masks tell.
        counts: int64 [q, C], separate regions of each concept in the query, where masks tell.
    """

    name: str
    queries: Crops
    gallery: Crops
    query_labels: Labels
    gallery_labels: Labels
    exclusion: Exclusion
    decides: bool = True
    areas: Matrix | None = None
    counts: NDArray[np.int64] | None = None

    def pairs(self) -> NDArray[np.int64]:
        """Return the (query, concept) pairs that have something right in the gallery, int64 [p, 2]."""
        pairs = np.argwhere(self.query_labels.matrix).astype(np.int64)
        return pairs[self.exclusion.num_relevant(pairs, self.gallery_labels) > 0]


@dataclass(frozen=True)
class Masked:
    """Centre crops with masks.

    Attributes:
        crops: the pictures.
        masks: uint8 [n, s, s].
        classes: mask value i is classes[i].
        tags: float32 [n, C], 1 where the class has its least area in the crop.
        labels: float32 [n, C], the picture's own labels where a file lists them, else ``tags``.
    """

    crops: Crops
    masks: NDArray[np.uint8]
    classes: tuple[str, ...]
    tags: Matrix
    labels: Matrix
    names: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.masks)


def read_cifar(folder: Path, protocol: Protocol) -> tuple[PictureSet, Collection]:
    """Return the training pictures with classes, and the questions: test pictures asked of them."""
    train = read_cifar10(folder, "train", limit=protocol.cifar_train)
    test = read_cifar10(folder, "test", limit=protocol.cifar_test)
    learned = train.picture_set("cifar10 train")
    gallery = crops_of(learned, "cifar-train", protocol.size)
    queries = crops_of(test.picture_set("cifar10 test"), "cifar-test", protocol.size)
    collection = Collection(
        "CIFAR-10",
        queries,
        gallery,
        Labels.from_classes(test.labels, test.classes),
        Labels.from_classes(train.labels, train.classes),
        Exclusion.nothing(len(test), len(train)),
        decides=False,
    )
    return learned, collection


def read_scenes(folder: Path, protocol: Protocol) -> Collection:
    """Return the questions of a folder a class: every picture against all others."""
    pictures = read_class_folders(folder)
    crops = crops_of(pictures, "scenes", protocol.size)
    labels = Labels(pictures.classes, pictures.targets > 0)
    rows = np.arange(len(pictures), dtype=np.int64)
    return Collection("scenes", crops, crops, labels, labels, Exclusion.of_self(rows, len(rows)))


def read_masked(root: Path, split: str, protocol: Protocol) -> Masked:
    """Return a split of a folder in the VOC layout; classes.txt and labels.csv in it are read where they are."""
    data = read_voc_masks(root, split, classes=_mask_classes(root))
    names = tuple(_split_names(root, split))
    return masked_of(data, f"masks-{split}", protocol, names=names, listed=_listed_labels(root, names, data.classes))


def masked_of(
    data: MaskSet,
    name: str,
    protocol: Protocol,
    *,
    names: tuple[str, ...] = (),
    listed: Matrix | None = None,
) -> Masked:
    """Return centre crops of pictures with masks."""
    masks = np.stack([centre_pair(*data.read(i), protocol.size)[1] for i in range(len(data))])
    tags = (areas_of(masks, len(data.classes)) >= protocol.least_area).astype(np.float32)
    if data.classes[0] == "background":
        tags[:, 0] = 0
    crops = Crops(name, len(data), lambda i: centre_pair(*data.read(i), protocol.size)[0])
    return Masked(crops, masks, data.classes, tags, tags if listed is None else listed, names)


def mask_collection(query: Masked, others: Sequence[Masked], join: Crops) -> Collection:
    """Return the questions of one split: asked against itself and the others, itself excluded.

    Args:
        query: whose pictures are asked; they are the first of the gallery.
        others: further pictures of the gallery.
        join: the crops of all of them, in that order.
    """
    labels = np.concatenate([part.tags for part in (query, *others)]) > 0
    rows = np.arange(len(query), dtype=np.int64)
    return Collection(
        "masks",
        query.crops,
        join,
        Labels(query.classes, labels[: len(query)]),
        Labels(query.classes, labels),
        Exclusion.of_self(rows, len(labels)),
        areas=areas_of(query.masks, len(query.classes)),
        counts=_regions(query.masks, len(query.classes)),
    )


def read_films(folder: Path, protocol: Protocol) -> Collection:
    """Return the questions of key-frames of films with shots.csv: each against all frames of other clips."""
    with (folder / "shots.csv").open(newline="", encoding="utf-8") as stream:
        videos = sorted({row["video"] for row in csv.DictReader(stream)})
    rates = {video: probe(folder / video).frame_rate for video in videos}
    unknown = [video for video, rate in rates.items() if rate is None]
    if unknown:
        raise BadInputError(f"{folder / unknown[0]} has no frame rate; shots.csv counts in frames")
    truth = read_shots(folder / "shots.csv", {video: float(rate) for video, rate in rates.items() if rate})
    transform, images, origin, times = Transform("centre", protocol.size), [], [], []
    for video in videos:
        for frame in iter_key_frames(folder / video, Every(protocol.frame_step_s), short_side=protocol.size):
            images.append(transform.apply(frame.image)[0])
            origin.append(video)
            times.append(frame.time_ms)
    stamps = np.array(times, dtype=np.int64)
    labels, covered = truth.label_frames(origin, stamps)
    clips = np.full(len(images), -1, dtype=np.int64)
    for number, clip in enumerate(sorted({str(record.clip) for record in truth.records})):
        records = [record for record in truth.records if record.clip == clip]
        clips[truth.label_frames(origin, stamps, records)[1]] = number
    rows = np.flatnonzero(covered)
    crops = Crops("films", len(rows), lambda i: images[rows[i]])
    return Collection("films", crops, crops, labels.take(rows), labels.take(rows), Exclusion(clips[rows], clips[rows]))


def crops_of(pictures: PictureSet, name: str, size: int) -> Crops:
    """Return the centre crops of pictures."""
    transform = Transform("centre", size)
    return Crops(name, len(pictures), lambda i: transform.apply(pictures.read(i))[0])


def joined(name: str, parts: Sequence[Crops]) -> Crops:
    """Return crops one after the other."""
    starts = np.cumsum([0, *(part.count for part in parts)])

    def read(number: int) -> NDArray[np.uint8]:
        part = int(np.searchsorted(starts, number, side="right")) - 1
        return parts[part].read(number - int(starts[part]))

    return Crops(name, int(starts[-1]), read)


def areas_of(masks: NDArray[np.uint8], classes: int) -> Matrix:
    """Return the share of each picture that each class covers, float32 [n, C]; pixels without a class count as area."""
    flat = masks.reshape(len(masks), -1)
    counts = np.stack([np.bincount(row, minlength=IGNORE + 1)[:classes] for row in flat])
    return (counts / flat.shape[1]).astype(np.float32)


def _regions(masks: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Return how many separate regions each class has in each picture, int64 [n, C]."""
    from scipy.ndimage import label

    return np.array([[label(mask == value)[1] for value in range(classes)] for mask in masks], dtype=np.int64)


def _mask_classes(root: Path) -> tuple[str, ...]:
    file = root / "classes.txt"
    if not file.is_file():
        return VOC_CLASSES
    rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return tuple(name for value, name in sorted((int(value), name) for value, name in rows) if value != IGNORE)


def _split_names(root: Path, split: str) -> list[str]:
    (listed,) = sorted((root / "VOCdevkit").glob(f"VOC*/ImageSets/Segmentation/{split}.txt"))
    return listed.read_text(encoding="utf-8").split()


def _listed_labels(root: Path, names: Sequence[str], classes: Sequence[str]) -> Matrix | None:
    """Return labels.csv's third column, names separated by spaces, as float32 [n, C]; None without that file."""
    file = root / "labels.csv"
    if not file.is_file():
        return None
    with file.open(newline="", encoding="utf-8") as stream:
        rows = {row[0]: row[2].split() for row in list(csv.reader(stream))[1:]}
    missing = [name for name in names if name not in rows]
    if missing:
        raise NotFoundError(f"{file} has no row for {json.dumps(missing[0])}")
    return np.array([[float(c in rows[name]) for c in classes] for name in names], dtype=np.float32)
