"""The two simplest hashers: random hyperplanes and the signs of principal components."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from encoder.hashers.base import Floats, LinearHasher, centred, principal_directions

__all__ = ["LSHHasher", "PCASignHasher"]


class LSHHasher(LinearHasher):
    """Locality-sensitive hashing: sgn(R x) with R Gaussian; collisions follow the angle between vectors.

    Features are centred on the training mean first (``centre=False`` for the data-independent original):
    pooled ReLU features lie in one orthant, where uncentred hyperplanes give most vectors the same bits.

    Source:
        [0] Charikar: Similarity estimation techniques from rounding algorithms, 2002.
    """

    kind: ClassVar[str] = "lsh"

    def __init__(self, bits: int = 48, *, seed: int = 0, normalise: bool = True, centre: bool = True) -> None:
        super().__init__(bits, seed=seed, normalise=normalise)
        self.centre = centre

    def _fit(self, x: Floats) -> None:
        self.mean = x.mean(axis=0) if self.centre else np.zeros(x.shape[1])
        self.weight = np.random.default_rng(self.seed).standard_normal((x.shape[1], self.bits))


class PCASignHasher(LinearHasher):
    """Signs of the L principal components: bit j is the j-th direction of largest variance."""

    kind: ClassVar[str] = "pca"

    def _fit(self, x: Floats) -> None:
        x, self.mean = centred(x)
        self.weight, _ = principal_directions(x, self.bits)
