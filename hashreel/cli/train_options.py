"""Options of ``hashreel train`` that several phases share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["DIRECTORY", "mask_options", "picture_options", "shared_options"]

F = TypeVar("F", bound=Callable[..., Any])
DIRECTORY = click.Path(path_type=Path, exists=True, file_okay=False)


def shared_options(function: F) -> F:
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
        click.option(
            "--size", type=click.IntRange(32, 1024), help="Side of the network's input, instead of the recipe's."
        ),
        click.option("--tensorboard", is_flag=True, help="Also write event files, under OUT/tensorboard."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def picture_options(function: F) -> F:
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


def mask_options(function: F) -> F:
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
