"""``hashreel train``: the two phases of the paper and its baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from encoder.data.sets import MaskSet, PictureSet
    from encoder.training.recipes import Recipe
    from encoder.training.train import Environment

__all__ = ["cli"]

F = TypeVar("F", bound=Callable[..., Any])
SHEET_ROWS = 4
DIRECTORY = click.Path(path_type=Path, exists=True, file_okay=False)


def _shared_options(function: F) -> F:
    """Add the options that all phases have."""
    options = [
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            required=True,
            help="Folder for checkpoints, logs and the model; the same folder goes on where it stopped.",
        ),
        click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's."),
        click.option("--batch", type=click.IntRange(1), help="Pictures a step, instead of the recipe's."),
        click.option(
            "--micro-batch",
            type=click.IntRange(1),
            help="Pictures a pass; gradients add up to a batch. For small cards.",
        ),
        click.option("--seed", type=int, help="Instead of the recipe's."),
        click.option("--random-trunk", is_flag=True, help="Start from a random trunk instead of pretrained weights."),
        click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, or auto."),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "bf16"]),
            default="fp32",
            show_default=True,
            help="bf16 is mixed precision.",
        ),
        click.option("--channels-last", is_flag=True, help="Memory layout that is faster on GPUs."),
        click.option("--threads", type=click.IntRange(1), help="CPU threads; the same number gives the same weights."),
        click.option(
            "--checkpoint-every",
            type=click.FloatRange(0),
            default=120.0,
            show_default=True,
            help="Seconds between checkpoints inside an epoch.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _picture_options(function: F) -> F:
    """Add the options that name pictures with classes."""
    options = [
        click.option("--cifar10", type=DIRECTORY, help="Folder of the CIFAR-10 pack or of torchvision's CIFAR-10."),
        click.option("--folders", type=DIRECTORY, help="Folder with one folder of pictures a class."),
        click.option(
            "--csv",
            "csv_file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="CSV file with the columns path and labels.",
        ),
        click.option("--limit", type=click.IntRange(1), help="Take the first so many pictures."),
        click.option(
            "--held-out",
            type=click.IntRange(0),
            help="Pictures kept for scores after each epoch, not the recipe's number.",
        ),
        click.option("--half", is_flag=True, help="Store the weights in half precision: a file of half the size."),
        click.option("--name", help="Name of the model; by default the folder's."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _mask_options(function: F) -> F:
    """Add the options that name pictures with masks."""
    options = [
        click.option("--voc", type=DIRECTORY, help="Folder that holds VOCdevkit."),
        click.option("--split", default="train", show_default=True, help="List of pictures in the VOC kit."),
        click.option("--held-out-split", help="List of pictures to score on after each epoch."),
        click.option(
            "--classes",
            "class_file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="File with one class name a line, if not VOC's 21.",
        ),
        click.option(
            "--collages", type=DIRECTORY, help="Generate scenes from the CIFAR-10 pack in this folder instead."
        ),
        click.option(
            "--count", type=click.IntRange(1), default=4000, show_default=True, help="How many scenes to generate."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.group(
    epilog="""
\b
Example:
  hashreel train segmentation paper-2018 --voc data/ --out runs/voc
  hashreel train hash paper-2018 --segmentation runs/voc --cifar10 data/cifar10 --out runs/paper
"""
)
def cli() -> None:
    """Train the paper's network or its baseline; RECIPE is a name or a TOML file."""


@cli.command(
    epilog="""
\b
Example:
  hashreel train segmentation paper-2018 --voc data/ --held-out-split val --out runs/voc
"""
)
@click.argument("recipe")
@_mask_options
@_shared_options
def segmentation(recipe: str, **options: Any) -> None:
    """Teach the PSP module to segment."""
    from encoder.training.train import train_segmentation

    settings = _recipe(recipe, "segmentation", options)
    data, held_out = _masks(options)
    licence = "published without one" if options["collages"] else "the owner's"
    with _environment(options, settings.seed) as environment:
        _, progress = train_segmentation(settings, data, environment, held_out=held_out, licence=licence)
        if environment.ranks.is_first:
            _report(options, "segmentation", progress.history, {"classes": list(data.classes)})


@cli.command(
    epilog="""
\b
Example:
  hashreel train score psp-roads-lite0-cpu runs/roads --voc data/roads --classes classes.txt --split test
"""
)
@click.argument("recipe")
@click.argument("run", type=DIRECTORY)
@_mask_options
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="PNG of predictions beside the truth.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def score(recipe: str, run: Path, picture: Path | None, as_json: bool, **options: Any) -> None:
    """Score the best weights of a segmentation phase in RUN on a split: pixel accuracy and IoU by class."""
    from encoder.training.judge import class_overlaps, judge_segmentation, load_segmentation, prediction_sheet
    from encoder.training.loop import BEST, LAST
    from encoder.training.recipes import load_recipe

    settings = load_recipe(recipe)
    data, _ = _masks(options)
    best = run / "segmentation" / BEST
    network = load_segmentation(settings, best if best.is_file() else best.with_name(LAST), len(data.classes))
    figures = class_overlaps(judge_segmentation(network, data, settings.network.size), data.classes)
    if picture is not None:
        shown = [i * len(data) // SHEET_ROWS for i in range(min(SHEET_ROWS, len(data)))]
        prediction_sheet(network, data, settings.network.size, shown).save(picture)
    if as_json:
        click.echo(json.dumps({"run": str(run), "pictures": len(data), "figures": figures}))
        return
    for name, value in figures.items():
        click.echo(f"{name}: {value:.4f}")


@cli.command(
    name="hash",
    epilog="""
\b
Example:
  hashreel train hash paper-2018 --segmentation runs/voc --cifar10 data/cifar10 --out runs/paper
""",
)
@click.argument("recipe")
@click.option(
    "--segmentation", "segmentation_run", type=DIRECTORY, required=True, help="Folder of the segmentation phase."
)
@_picture_options
@_shared_options
def hash_phase(recipe: str, segmentation_run: Path, **options: Any) -> None:
    """Learn codes on a network that has learned to segment, and write the model."""
    _train_hash(recipe, "psp", segmentation_run, options)


@cli.command(
    epilog="""
\b
Example:
  hashreel train baseline baseline-2015 --cifar10 data/cifar10 --out runs/baseline
"""
)
@click.argument("recipe")
@_picture_options
@_shared_options
def baseline(recipe: str, **options: Any) -> None:
    """Learn codes on an image-level network, and write the model."""
    _train_hash(recipe, "baseline", None, options)


@cli.command(
    epilog="""
\b
Example:
  hashreel train recipes --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def recipes(as_json: bool) -> None:
    """List the recipes that come with Hashreel."""
    from encoder.training.recipes import load_recipe, recipe_names

    rows = [{"name": name, "about": load_recipe(name).about} for name in recipe_names()]
    if as_json:
        click.echo(json.dumps({"recipes": rows}))
        return
    for row in rows:
        click.echo(f"{row['name']}: {row['about']}")


def _train_hash(name: str, kind: str, segmentation_run: Path | None, options: dict[str, Any]) -> None:
    from encoder.training.train import export_model, read_mask_learning, train_hash

    recipe = _recipe(name, "hash", options)
    if recipe.network.kind != kind:
        command = "hash" if recipe.network.kind == "psp" else "baseline"
        raise click.UsageError(f"recipe {recipe.name} is for `hashreel train {command}`")
    learned = read_mask_learning(segmentation_run) if segmentation_run else None
    mask_classes = learned.classes if learned else ()
    data, entry = _pictures(options)
    with _environment(options, recipe.seed) as environment:
        network, progress = train_hash(
            recipe, data, environment, mask_classes=mask_classes, segmentation=segmentation_run
        )
        if not environment.ranks.is_first:
            return
        model = options["out"] / "model"
        manifest = export_model(
            model,
            options["name"] or options["out"].name,
            recipe,
            network,
            [learned.data, entry] if learned else [entry],
            {"figures": progress.history[-1]},
            classes=data.classes,
            mask_classes=mask_classes,
            half=options["half"],
        )
    _report(options, "hash", progress.history, {"model": str(model), "fingerprint": manifest.fingerprint})


def _recipe(name: str, phase: str, options: dict[str, Any]) -> Recipe:
    """Return the recipe with what the command line changes in it."""
    from dataclasses import replace

    from encoder.training.recipes import load_recipe

    recipe = load_recipe(name)
    wanted = ("epochs", "batch", "micro_batch", "held_out")
    changes = {key: options[key] for key in wanted if options.get(key) is not None}
    if phase == "segmentation" and recipe.segmentation is not None:
        recipe = replace(recipe, segmentation=replace(recipe.segmentation, **changes))
    elif phase == "hash":
        recipe = replace(recipe, hash=replace(recipe.hash, **changes))
    if options["random_trunk"]:
        recipe = replace(recipe, network=replace(recipe.network, pretrained=False))
    return recipe if options["seed"] is None else replace(recipe, seed=options["seed"])


def _masks(options: dict[str, Any]) -> tuple[MaskSet, MaskSet | None]:
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


def _pictures(options: dict[str, Any]) -> tuple[PictureSet, dict[str, str]]:
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


@contextmanager
def _environment(options: dict[str, Any], seed: int) -> Iterator[Environment]:
    import torch

    from encoder.training.ranks import joined_ranks
    from encoder.training.train import Environment

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    name = options["device"]
    device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    with joined_ranks(device) as ranks, _Bars(shown=ranks.is_first) as bars:
        yield Environment(
            options["out"],
            device=str(device),
            precision=options["precision"],
            channels_last=options["channels_last"],
            checkpoint_every_s=options["checkpoint_every"],
            ranks=ranks,
            on_step=bars.step,
            on_store=bars.store,
        )


class _Bars:
    """One progress bar at a time, on stderr and only on a terminal."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self.bar: Any = None
        self.key: tuple[Any, ...] = ()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Show a training step."""
        self._show(("epoch", epoch), f"epoch {epoch + 1}", step, steps)
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def store(self, what: str, done: int, count: int) -> None:
        """Show how far frozen layers have been computed."""
        self._show(("store", what), f"features: {what}", done, count)

    def _show(self, key: tuple[Any, ...], label: str, done: int, count: int) -> None:
        from tqdm import tqdm

        if key != self.key:
            self._close()
            self.bar = tqdm(total=count, desc=label, disable=None if self.shown else True)
            self.key = key
        self.bar.update(done - self.bar.n)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _report(options: dict[str, Any], phase: str, history: list[dict[str, float]], more: dict[str, Any]) -> None:
    """Write the learning curve as CSV and picture, and print the result."""
    from encoder.training.curves import write_curves

    folder = options["out"] / phase
    write_curves(folder, history)
    figures = {key: value for key, value in history[-1].items() if key != "epoch"}
    document = {"phase": phase, "out": str(options["out"]), "epochs": len(history), "figures": figures, **more}
    if options["as_json"]:
        click.echo(json.dumps(document))
        return
    shown = ", ".join(f"{key} {value:.4f}" for key, value in figures.items())
    click.echo(f"{folder}: {len(history)} epochs, {shown}")
    if "model" in more:
        click.echo(f"{more['model']}: fingerprint {more['fingerprint'][:16]}")
