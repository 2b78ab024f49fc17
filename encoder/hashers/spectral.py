"""Spectral hashing."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from encoder.hashers.base import Floats, Hasher, centred, principal_directions

__all__ = ["SpectralHasher", "lowest_modes"]


class SpectralHasher(Hasher):
    """Signs of the L smoothest sinusoids along principal components.

    If the data filled a box uniformly, the eigenfunctions of its similarity graph would be
    cos(k π (v − a) / (b − a)) along each side [a, b], with eigenvalues that grow with k / (b − a); the L
    smallest over all directions and k ≥ 1 are taken.

    Source:
        [0] Weiss, Torralba, Fergus: Spectral Hashing, 2008.
    """

    kind: ClassVar[str] = "sh"
    head: ClassVar[str] = "spectral"

    mean: Floats
    weight: Floats  # (d, L): the direction of each bit
    offset: Floats  # (L,): a
    frequency: Floats  # (L,): k π / (b − a)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return ``mean`` [d], ``weight`` [L, d], ``offset`` [L], ``frequency`` [L] and ``scale`` [1]."""
        arrays = {
            "mean": self.mean,
            "weight": self.weight.T,
            "offset": self.offset,
            "frequency": self.frequency,
            "scale": np.array([self.scale]),
        }
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    def _fit(self, x: Floats) -> None:
        x, self.mean = centred(x)
        directions, _ = principal_directions(x, min(self.bits, *x.shape))
        v = x @ directions
        low, high = v.min(axis=0), v.max(axis=0)
        chosen, waves = lowest_modes(high - low, self.bits)
        self.weight = directions[:, chosen]
        self.offset = low[chosen]
        self.frequency = waves * np.pi / (high - low)[chosen]

    def _project(self, x: Floats) -> Floats:
        v = (x - self.mean) @ self.weight
        projections: Floats = np.cos((v - self.offset) * self.frequency)
        return projections


def lowest_modes(ranges: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the ``count`` pairs (direction, k ≥ 1) of smallest k / range, smallest first.

    Args:
        ranges: extent of the data along each direction, [m], all > 0.
        count: how many pairs.

    Returns:
        Directions int64 [count] and wave numbers k float64 [count].

    Example:
        >>> directions, waves = lowest_modes(np.array([4.0, 1.9]), 3)
        >>> directions.tolist(), waves.tolist()
        ([0, 0, 1], [1.0, 2.0, 1.0])
    """
    waves = np.arange(1, count + 1, dtype=np.float64)
    values = waves[:, None] / ranges[None, :]
    order = np.argsort(values, axis=None, kind="stable")[:count]
    rows, directions = np.unravel_index(order, values.shape)
    return directions.astype(np.int64), waves[rows]
