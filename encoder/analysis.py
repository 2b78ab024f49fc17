"""What a segmenting model sees in a picture: a mask, and how much of it each concept covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = ["BACKGROUND", "LEAST_AREA", "MAX_CONCEPTS", "Analysis", "concept_areas", "concept_bits", "predict_masks"]

BACKGROUND = "background"
"""The mask class that is no concept."""

LEAST_AREA = 0.005
"""A concept is present where it covers at least this share of the picture."""

MAX_CONCEPTS = 32


@dataclass(frozen=True)
class Analysis:
    """A model's whole answer for n pictures.

    Attributes:
        codes: packed, uint8 [n, ceil(bits / 8)].
        outputs: float32 [n, bits] in [0, 1].
        masks: uint8 [n, crops, s, s], number of the class (background included) of every input pixel, or None.
        areas: float32 [n, C], share of the picture that each of the model's concepts covers, or None.
    """

    codes: NDArray[np.uint8]
    outputs: NDArray[np.float32]
    masks: NDArray[np.uint8] | None = None
    areas: NDArray[np.float32] | None = None


def predict_masks(scores: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Return the class of highest score for every pixel, uint8 [n, size, size].

    Args:
        scores: float32 [n, M, h, w]; they are interpolated bilinearly before the choice, as in training.
        size: side of the mask.
    """
    import torch

    from encoder.networks.segmentation import resize_scores

    # One picture at a time: a batch of 224 × 224 × 21 scores would take 34 MB.
    masks = [resize_scores(torch.from_numpy(one[None]), size)[0].argmax(dim=0) for one in scores]
    return torch.stack(masks).to(torch.uint8).numpy()


def concept_areas(masks: NDArray[np.uint8], classes: Sequence[str]) -> NDArray[np.float32]:
    """Return the share of each mask that every class but the background covers, float32 [n, C].

    Args:
        masks: uint8 [n, s, s].
        classes: mask value i is classes[i].
    """
    concepts = [number for number, name in enumerate(classes) if name != BACKGROUND]
    counts = np.stack([np.bincount(mask.ravel(), minlength=len(classes))[: len(classes)] for mask in masks])
    areas: NDArray[np.float32] = (counts[:, concepts] / masks[0].size).astype(np.float32)
    return areas


def concept_bits(areas: NDArray[np.float32], least: float = LEAST_AREA) -> NDArray[np.uint32]:
    """Return which concepts are present, uint32 [n]: bit c is 1 where areas[:, c] ≥ ``least``.

    Raises:
        BadInputError: If there are more than 32 concepts.
    """
    if areas.ndim != 2 or areas.shape[1] > MAX_CONCEPTS:
        raise BadInputError(f"areas has shape {areas.shape}; expected [n, C] with C ≤ {MAX_CONCEPTS}")
    present = (areas >= least).astype(np.uint32)
    bits: NDArray[np.uint32] = (present << np.arange(areas.shape[1], dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    return bits
