"""The pictures that the options of ``hashreel train`` name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from encoder.data.sets import MaskSet, PictureSet

__all__ = ["read_masks", "read_pictures"]


def read_masks(options: dict[str, Any]) -> tuple[MaskSet, MaskSet | None]:
    """Return pictures with masks to learn from, and others to score on or None."""
    from encoder.data.cifar import read_cifar10
    from encoder.data.collages import collages
    from encoder.data.masks import VOC_CLASSES, read_voc_masks

    if bool(options["voc"]) == bool(options["collages"]):
        raise click.UsageError("give --voc DIR or --collages DIR")
    if options["collages"]:
        pack, size = options["collages"], 224
        train = collages(read_cifar10(pack, "train"), options["count"], size=size, seed=0)
        return train, collages(read_cifar10(pack, "test", limit=2000), 200, size=size, seed=1)
    file = options["class_file"]
    classes = tuple(file.read_text(encoding="utf-8").split()) if file else VOC_CLASSES
    data = read_voc_masks(options["voc"], options["split"], classes=classes)
    held_out = options["held_out_split"]
    return data, read_voc_masks(options["voc"], held_out, classes=classes) if held_out else None


def read_pictures(options: dict[str, Any]) -> tuple[PictureSet, dict[str, str]]:
    """Return pictures with classes, and their entry in the model file."""
    import numpy as np

    from encoder.data.cifar import read_cifar10, read_torchvision_cifar10
    from encoder.data.labels import read_class_folders, read_label_csv

    given = [key for key in ("cifar10", "folders", "csv_file") if options[key]]
    if len(given) != 1:
        raise click.UsageError("give one of --cifar10, --folders and --csv")
    source, licence = options[given[0]], "the owner's"
    if given[0] == "cifar10":
        licence = "published without one"
        packed = (source / "cifar10_train.npz").is_file()
        images = read_cifar10(source, "train") if packed else read_torchvision_cifar10(source, "train")
        data = images.picture_set("CIFAR-10 train")
    elif given[0] == "folders":
        data = read_class_folders(source)
    else:
        data = read_label_csv(source)
    if options["limit"] and options["limit"] < len(data):
        data = data.subset(np.arange(options["limit"]))
    return data, {"name": data.name, "use": f"hash phase, {len(data)} pictures with labels", "licence": licence}
