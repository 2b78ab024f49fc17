"""``hashreel fit``: a model from pictures without labels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from encoder.hashers import Hasher
    from encoder.model_files import Manifest

__all__ = ["cli"]

METHODS = ("bre", "isohash", "itq", "lsh", "pca", "sh")
"""The hashers that learn without labels."""

EXAMPLE = """
\b
Example:
  hashreel fit itq --folder keyframes/ --out models/mine
  hashreel fit itq --cifar10 data/cifar10 --limit 6000 --mosaics 2000 --out models/itq48
"""


@click.command(epilog=EXAMPLE)
@click.argument("method", type=click.Choice(METHODS))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Model directory to write."
)
@click.option(
    "--cifar10",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of the CIFAR-10 pack; its training split is used.",
)
@click.option("--limit", type=click.IntRange(1), default=6000, show_default=True, help="How many CIFAR-10 pictures.")
@click.option(
    "--mosaics",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="How many 2 × 2 mosaics of CIFAR-10 pictures besides.",
)
@click.option(
    "--folder", type=click.Path(path_type=Path, exists=True), multiple=True, help="Folder of pictures; may be repeated."
)
@click.option("--name", help="Name of the model; by default the directory's.")
@click.option("--bits", type=click.IntRange(8, 256), default=48, show_default=True, help="Code length.")
@click.option("--trunk", default="efficientnet-lite0", show_default=True, help="Trunk with pretrained weights.")
@click.option(
    "--transform",
    type=click.Choice(["centre", "letterbox", "three"]),
    default="centre",
    show_default=True,
    help="How a picture becomes a square.",
)
@click.option(
    "--size",
    type=click.IntRange(32, 1024),
    default=224,
    show_default=True,
    help="Side of the network's input in pixels.",
)
@click.option(
    "--match-trunk",
    is_flag=True,
    help="Scale features to the means that the trunk expects; for pictures unlike those to be searched.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the fit.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def cli(method: str, out: Path, as_json: bool, **options: Any) -> None:
    """Fit METHOD to pictures without labels and write a model directory.

    The pictures' features come from a trunk trained on ImageNet; METHOD turns them into codes.
    """
    started = time.monotonic()
    manifest, count = _fit(method, out, options)
    report = {
        "model": str(out),
        "name": manifest.name,
        "method": method,
        "bits": manifest.bits,
        "pictures": count,
        "fingerprint": manifest.fingerprint,
        "seconds": round(time.monotonic() - started, 1),
    }
    if as_json:
        click.echo(json.dumps(report))
    else:
        click.echo(f"{out}: {method}, {manifest.bits} bits, {count} pictures, fingerprint {manifest.fingerprint[:16]}")


def _fit(method: str, out: Path, options: dict[str, Any]) -> tuple[Manifest, int]:
    import torch

    from encoder.fitting import fit_hasher, hasher_manifest
    from encoder.hashers import create_hasher
    from encoder.model import save_model
    from encoder.model_card import model_card
    from encoder.transforms import Transform
    from encoder.trunks import create_trunk

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    transform = Transform(options["transform"], options["size"])
    trunk = create_trunk(options["trunk"])
    hasher: Hasher = create_hasher(method, options["bits"], seed=options["seed"])
    sources = _Sources(options)
    network = fit_hasher(hasher, trunk, transform, sources, match_trunk=options["match_trunk"])
    training = {"seed": options["seed"], "pictures": sources.count, "command": sources.command(method)}
    manifest = hasher_manifest(
        options["name"] or out.name, hasher, trunk, transform, data=sources.describe(), training=training
    )
    return save_model(out, manifest, network, model_card(manifest)), sources.count


class _Sources:
    """The pictures that the options name, in order, with a progress bar and a count."""

    def __init__(self, options: dict[str, Any]) -> None:
        if not options["cifar10"] and not options["folder"]:
            raise click.UsageError("no pictures: give --cifar10 DIR or --folder DIR")
        if options["mosaics"] and not options["cifar10"]:
            raise click.UsageError("--mosaics are made of CIFAR-10 pictures; give --cifar10 DIR")
        self.options = options
        self.count = 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        from tqdm import tqdm

        for image in tqdm(self._images(), unit="picture", disable=None):
            self.count += 1
            yield image

    def _images(self) -> Iterator[NDArray[np.uint8]]:
        from encoder.data.cifar import read_cifar10
        from encoder.data.folders import iter_pictures
        from encoder.data.mosaics import mosaics

        options = self.options
        if options["cifar10"]:
            train = read_cifar10(options["cifar10"], "train", limit=options["limit"])
            yield from train.images
            yield from mosaics(train.images, options["mosaics"], tiles=2, size=options["size"], seed=options["seed"])
        for folder in options["folder"]:
            yield from iter_pictures(folder)

    def describe(self) -> list[dict[str, str]]:
        """Return the data entries of the manifest."""
        entries = []
        if self.options["cifar10"]:
            use = f"{self.options['limit']} training pictures, {self.options['mosaics']} mosaics of them, no labels"
            entries.append({"name": "CIFAR-10", "use": use, "licence": "published without one"})
        entries += [
            {"name": folder.name, "use": "pictures, no labels", "licence": "the owner's"}
            for folder in self.options["folder"]
        ]
        return entries

    def command(self, method: str) -> str:
        """Return the command that fits the same model, folders by their last name only."""
        o = self.options
        parts = ["hashreel fit", method]
        if o["cifar10"]:
            parts.append(f"--cifar10 {o['cifar10'].name} --limit {o['limit']} --mosaics {o['mosaics']}")
        parts += [f"--folder {folder.name}" for folder in o["folder"]]
        parts.append(f"--bits {o['bits']} --trunk {o['trunk']} --transform {o['transform']} --size {o['size']}")
        parts.append(f"--seed {o['seed']}")
        if o["match_trunk"]:
            parts.append("--match-trunk")
        return " ".join(parts)
