"""Concept areas in half a byte each: 0 is absent, 1 to 15 stand for 0.5 % to 100 % of the picture, evenly in log scale.

A level is 46 % more than the one before, which is as much as a predicted mask is worth, and 16 concepts take 8 bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = ["LEAST_AREA", "area_levels", "level_areas", "pack_levels", "unpack_levels"]

LEAST_AREA = 0.005
LEVELS = 15
_SHARES = np.concatenate([[0.0], LEAST_AREA ** (1 - np.arange(LEVELS) / (LEVELS - 1))]).astype(np.float32)


def area_levels(areas: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the nearest level of each area, uint8 of the same shape, 0 to 15; 0 below 0.5 %.

    Args:
        areas: shares of the picture, floating point in [0, 1].

    Raises:
        BadInputError: If a share is outside [0, 1] or no number.
    """
    shares = np.asarray(areas, np.float64)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise BadInputError("concept areas are shares of a picture; expected numbers from 0 to 1")
    steps = (1 - np.log(np.maximum(shares, LEAST_AREA)) / np.log(LEAST_AREA)) * (LEVELS - 1)
    return np.where(shares < LEAST_AREA, 0, 1 + np.rint(steps)).astype(np.uint8)


def level_areas(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the share that each level stands for, float32 of the same shape."""
    return np.asarray(_SHARES[levels])


def pack_levels(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return levels [n, C] as uint8 [n, ceil(C / 2)]: concept c is byte c // 2, the low half for even c."""
    padded = np.zeros((len(levels), (levels.shape[1] + 1) // 2 * 2), np.uint8)
    padded[:, : levels.shape[1]] = levels
    packed: NDArray[np.uint8] = padded[:, ::2] | (padded[:, 1::2] << 4)
    return packed


def unpack_levels(packed: NDArray[np.uint8], concepts: int) -> NDArray[np.uint8]:
    """Return uint8 [n, C] levels of uint8 [n, ceil(C / 2)]; the inverse of :func:`pack_levels`."""
    levels = np.empty((len(packed), 2 * packed.shape[1]), np.uint8)
    levels[:, ::2] = packed & 15
    levels[:, 1::2] = packed >> 4
    return levels[:, :concepts]
