"""A finished segmentation on other pictures: figures by class, and predictions beside the truth."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage

from encoder.data.pairs import centre_pair
from encoder.data.sets import IGNORE, MaskSet
from encoder.networks.segmentation import SegmentationNetwork
from encoder.training.build import build_segmentation_network
from encoder.training.checkpoints import read_network_tensors
from encoder.training.recipes import Recipe
from encoder.training.scores import confusion, overlap_scores
from hashreel.errors import BadInputError

__all__ = ["class_overlaps", "judge_segmentation", "load_segmentation", "prediction_sheet"]

BATCH_SIZE = 8
GAP = 4


def load_segmentation(recipe: Recipe, checkpoint: Path, classes: int) -> SegmentationNetwork:
    """Return the network of a segmentation phase from a checkpoint, in evaluation mode.

    Raises:
        ModelFileError: If the checkpoint is damaged.
        BadInputError: If it is of another network.
    """
    network = build_segmentation_network(recipe.network, classes, recipe.seed)
    try:
        network.load_state_dict(read_network_tensors(checkpoint))
    except RuntimeError as exc:
        raise BadInputError(f"{checkpoint} is not of recipe {recipe.name} with {classes} classes: {exc}") from exc
    return network.eval()


def judge_segmentation(network: SegmentationNetwork, data: MaskSet, size: int) -> NDArray[np.int64]:
    """Return confusion counts [C, C] over the centre crops of all pictures: truth by row, prediction by column."""
    classes = len(data.classes)
    counts = np.zeros((classes, classes), dtype=np.int64)
    for start in range(0, len(data), BATCH_SIZE):
        pairs = [centre_pair(*data.read(i), size) for i in range(start, min(start + BATCH_SIZE, len(data)))]
        predicted = _predict(network, np.stack([image for image, _ in pairs]))
        counts += confusion(np.stack([mask for _, mask in pairs]), predicted, classes, IGNORE)
    return counts


def class_overlaps(counts: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, float]:
    """Return pixel accuracy, mean IoU, and the IoU of every class that occurs, of confusion counts [C, C]."""
    right = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    each = {f"iou_{name}": float(r / u) for name, r, u in zip(classes, right, union, strict=True) if u}
    return {**overlap_scores(counts), **each}


def prediction_sheet(network: SegmentationNetwork, data: MaskSet, size: int, numbers: list[int]) -> PilImage.Image:
    """Return one row a picture: the picture, its true mask, the predicted mask; uncounted pixels are black."""
    colours = _palette(len(data.classes))
    sheet = PilImage.new("RGB", (3 * size + 2 * GAP, len(numbers) * (size + GAP) - GAP), "white")
    for row, number in enumerate(numbers):
        image, mask = centre_pair(*data.read(number), size)
        predicted = _predict(network, image[None])[0]
        for column, panel in enumerate((image, colours[mask], colours[predicted])):
            sheet.paste(PilImage.fromarray(panel), (column * (size + GAP), row * (size + GAP)))
    return sheet


def _predict(network: SegmentationNetwork, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    device = next(network.parameters()).device
    with torch.inference_mode():
        scores = network(network.trunk.normalise(torch.from_numpy(pixels).to(device)))
    predicted: NDArray[np.uint8] = scores.argmax(dim=1).to(torch.uint8).cpu().numpy()
    return predicted


def _palette(classes: int) -> NDArray[np.uint8]:
    """Return uint8 [256, 3]: hues far apart for the classes, black for all else."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    for number in range(classes):
        hue = number * 0.618034 % 1.0  # the golden ratio spreads any number of hues
        colours[number] = [round(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.65, 0.95 - 0.3 * (number % 2))]
    return colours
