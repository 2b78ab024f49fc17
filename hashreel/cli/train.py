"""``hashreel train``: the two phases of the paper and its baseline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hashreel.cli.train_bars import Bars
from hashreel.cli.train_data import read_masks, read_pictures
from hashreel.cli.train_options import DIRECTORY, mask_options, picture_options, shared_options

if TYPE_CHECKING:
    from encoder.data.sets import MaskSet
    from encoder.training.recipes import Recipe
    from encoder.training.train import Environment, MaskLearning

__all__ = ["cli"]

SHEET_ROWS = 4


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
@mask_options
@shared_options
def segmentation(recipe: str, **options: Any) -> None:
    """Teach the PSP module to segment."""
    from encoder.training.train import train_segmentation

    settings = _recipe(recipe, "segmentation", options)
    data, held_out = read_masks(options)
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
@mask_options
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="PNG of predictions beside the truth.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def score(recipe: str, run: Path, picture: Path | None, as_json: bool, **options: Any) -> None:
    """Score the best weights of a segmentation phase in RUN on a split: pixel accuracy and IoU by class."""
    from encoder.training.judge import class_overlaps, judge_segmentation, load_segmentation, prediction_sheet
    from encoder.training.loop import BEST, LAST
    from encoder.training.recipes import load_recipe

    settings = load_recipe(recipe)
    data, _ = read_masks(options)
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
@click.option(
    "--segmentation-weight",
    type=click.FloatRange(0),
    help="λ of the segmentation loss that is added, so that masks are not forgotten; needs --voc or --collages.",
)
@picture_options
@mask_options
@shared_options
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
@picture_options
@shared_options
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
    data, entry = read_pictures(options)
    masks = _rehearsed(recipe, learned, options)
    with _environment(options, recipe.seed) as environment:
        network, progress = train_hash(
            recipe, data, environment, mask_classes=mask_classes, segmentation=segmentation_run, masks=masks
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


def _rehearsed(recipe: Recipe, learned: MaskLearning | None, options: dict[str, Any]) -> MaskSet | None:
    """Return the pictures whose masks the hash phase rehearses, if it does."""
    if learned is None or recipe.hash.segmentation_weight == 0:
        return None
    masks, _ = read_masks(options)
    if masks.classes != learned.classes:
        raise click.UsageError(f"{masks.name} has the classes {masks.classes}, the segmentation {learned.classes}")
    return masks


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
        if options.get("segmentation_weight") is not None:
            recipe = replace(recipe, hash=replace(recipe.hash, segmentation_weight=options["segmentation_weight"]))
    if options["random_trunk"]:
        recipe = replace(recipe, network=replace(recipe.network, pretrained=False))
    if options["size"]:
        recipe = replace(recipe, network=replace(recipe.network, size=options["size"]))
    return recipe if options["seed"] is None else replace(recipe, seed=options["seed"])


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
    with joined_ranks(device) as ranks, Bars(shown=ranks.is_first) as bars, _log(options, ranks.is_first) as on_epoch:
        yield Environment(
            options["out"],
            device=str(device),
            precision=options["precision"],
            channels_last=options["channels_last"],
            checkpoint_every_s=options["checkpoint_every"],
            ranks=ranks,
            on_step=bars.step,
            on_store=bars.store,
            on_epoch=on_epoch,
        )


@contextmanager
def _log(options: dict[str, Any], is_first: bool) -> Iterator[Callable[[str, Mapping[str, float]], None] | None]:
    """Lend the function that writes an epoch's figures, None without --tensorboard."""
    if not (options["tensorboard"] and is_first):
        yield None
        return
    from encoder.training.tensorboard import TensorBoardLog

    with closing(TensorBoardLog(options["out"] / "tensorboard")) as log:
        yield log.epoch


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
