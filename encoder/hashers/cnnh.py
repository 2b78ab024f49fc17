"""Two-step supervised hashing: first codes from labels alone, then functions that predict them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from encoder.hashers.base import Floats, LinearHasher, centred
from hashreel.errors import BadInputError

__all__ = ["CNNHHasher", "decompose_similarity"]

ANCHORS = 5000
RIDGE = 1e-3
MAX_SWEEPS = 10


class CNNHHasher(LinearHasher):
    """Codes H of anchors from their labels, then ridge regression of H on the features.

    Step 1 is H = argmin ‖S − HHᵀ / L‖² over ±1 codes, S = 1 for pairs that share a class, else −1. The
    second step of [0] trains a whole network on H; on frozen features it is this regression.

    Args:
        bits: L, 8 to 256.
        seed: of the anchors and the first codes.
        normalise: whether features are scaled to unit length first.
        anchors: pictures that enter the first step, whose cost is quadratic in their number.

    Source:
        [0] Xia, Pan, Lai, Liu, Yan: Supervised Hashing for Image Retrieval via Image Representation Learning, 2014.
    """

    kind: ClassVar[str] = "cnnh"

    def __init__(self, bits: int = 48, *, seed: int = 0, normalise: bool = True, anchors: int = ANCHORS) -> None:
        super().__init__(bits, seed=seed, normalise=normalise)
        self.anchors = anchors

    def _fit(self, x: Floats) -> None:
        raise BadInputError("cnnh learns from labels; call fit(features, targets)")

    def _fit_supervised(self, x: Floats, targets: Floats) -> None:
        rng = np.random.default_rng(self.seed)
        chosen = rng.permutation(len(x))[: self.anchors]
        codes = decompose_similarity(targets[chosen], self.bits, rng)
        z, self.mean = centred(x[chosen])
        gram = z.T @ z
        ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        self.weight = np.linalg.solve(gram + ridge, z.T @ codes)


def decompose_similarity(targets: Floats, bits: int, rng: np.random.Generator) -> Floats:
    """Return ±1 codes H [n, L] with a small ‖S − HHᵀ / L‖².

    Pictures with the same classes are alike to S, so codes are sought for the distinct rows of targets, each
    weighted by how often it occurs: bit by bit, and in it picture by picture, with everything else fixed.

    Args:
        targets: [n, C] of 0 and 1.
        bits: L.
        rng: of the first codes.
    """
    rows, inverse, counts = np.unique(targets, axis=0, return_inverse=True, return_counts=True)
    similarity = np.where(rows @ rows.T > 0, 1.0, -1.0)
    weights = counts / counts.sum()
    codes = np.where(rng.random((len(rows), bits)) < 0.5, -1.0, 1.0)
    for _ in range(MAX_SWEEPS):
        before = codes.copy()
        for k in range(bits):
            residual = bits * similarity - (codes @ codes.T - np.outer(codes[:, k], codes[:, k]))
            _ascend(residual, weights, codes[:, k])
        if (codes == before).all():
            break
    return codes[inverse.ravel()]


def _ascend(residual: Floats, weights: Floats, h: NDArray[np.float64]) -> None:
    """Raise Σ w_i w_j R_ij h_i h_j over ±1 vectors h [n], in place, one element at a time until none helps."""
    np.fill_diagonal(residual, 0)
    while True:
        changed = False
        for i in range(len(h)):
            pull = residual[i] @ (weights * h)
            if pull * h[i] < 0:
                h[i] = -h[i]
                changed = True
        if not changed:
            return
