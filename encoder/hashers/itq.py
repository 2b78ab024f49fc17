"""Iterative quantisation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from encoder.hashers.base import Floats, LinearHasher, centred, principal_directions

__all__ = ["ITQHasher", "procrustes_rotation", "random_rotation"]

ITERATIONS = 50


class ITQHasher(LinearHasher):
    """PCA to L dimensions, then the rotation R that brings V = XW closest to its signs: min ‖B − VR‖².

    Alternates B = sgn(VR) and the orthogonal Procrustes solution for R, 50 times, from a random rotation.
    The weight is W R: the projections keep the scale of the features and no direction is whitened.

    Source:
        [0] Gong, Lazebnik, Gordo, Perronnin: Iterative Quantization, 2013.
    """

    kind: ClassVar[str] = "itq"
    losses: list[float]
    """Mean squared distance to the signs after each iteration; it never rises."""

    def _fit(self, x: Floats) -> None:
        x, self.mean = centred(x)
        directions, _ = principal_directions(x, self.bits)
        v = x @ directions
        rotation = random_rotation(self.bits, self.seed)
        self.losses = []
        for _ in range(ITERATIONS):
            rotation = procrustes_rotation(v, _signs(v @ rotation))
            self.losses.append(float(np.mean((_signs(v @ rotation) - v @ rotation) ** 2)))
        self.weight = directions @ rotation


def random_rotation(size: int, seed: int) -> Floats:
    """Return an orthogonal [size, size] matrix drawn uniformly: QR of a Gaussian one, signs corrected."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    rotation: Floats = q * np.sign(np.diag(r))
    return rotation


def procrustes_rotation(v: Floats, target: Floats) -> Floats:
    """Return the orthogonal R [L, L] with the least ‖target − v R‖², for v and target [n, L]."""
    u, _, vt = np.linalg.svd(v.T @ target)
    rotation: Floats = u @ vt
    return rotation


def _signs(x: Floats) -> Floats:
    return np.where(x >= 0, 1.0, -1.0)
