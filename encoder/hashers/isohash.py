"""Isotropic hashing."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from encoder.hashers.base import Floats, LinearHasher, centred, principal_directions
from encoder.hashers.itq import random_rotation

__all__ = ["IsoHasher", "equal_diagonal_rotation"]


class IsoHasher(LinearHasher):
    """PCA to L dimensions, then a rotation after which all dimensions have the same variance.

    Bits of PCA carry very different amounts of variance; after the rotation each carries tr(Λ) / L.

    Source:
        [0] Kong, Li: Isotropic Hashing, 2012 (the objective); [1] Bendel, Mickey: Population correlation
        matrices for sampling experiments, 1978 (plane rotations that reach it exactly).
    """

    kind: ClassVar[str] = "isohash"

    def _fit(self, x: Floats) -> None:
        x, self.mean = centred(x)
        directions, variances = principal_directions(x, self.bits)
        start = random_rotation(self.bits, self.seed)
        rotation = equal_diagonal_rotation(start.T @ np.diag(variances) @ start)
        self.weight = directions @ start @ rotation


def equal_diagonal_rotation(matrix: Floats) -> Floats:
    """Return an orthogonal Q [L, L] for which QᵀMQ has the same number all along its diagonal.

    In each of at most L − 1 steps a rotation in the plane of a diagonal element above the mean and one below
    it sets one of them to the mean.

    Args:
        matrix: M, symmetric [L, L].
    """
    m = matrix.copy()
    size = len(m)
    mean = np.trace(m) / size
    rotation = np.eye(size)
    for _ in range(size - 1):
        diagonal = np.diag(m)
        low, high = int(diagonal.argmin()), int(diagonal.argmax())
        if diagonal[high] - diagonal[low] < 1e-12 * max(abs(mean), 1e-300):
            break
        plane = _plane_rotation(m, low, high, mean)
        m = plane.T @ m @ plane
        rotation = rotation @ plane
    return rotation


def _plane_rotation(m: Floats, i: int, j: int, target: float) -> Floats:
    """Return the rotation by the angle t in the plane (i, j) after which element i of the diagonal is ``target``.

    With c = cos t, s = sin t the new element is c² m_ii + s² m_jj + 2 c s m_ij; dividing by c² leaves a
    quadratic in tan t, whose discriminant is ≥ 0 since the target lies between m_ii and m_jj.
    """
    a, b, off = m[i, i] - target, m[j, j] - target, m[i, j]
    tangent = (-off + np.sqrt(max(off * off - a * b, 0.0))) / b
    c = 1 / np.sqrt(1 + tangent * tangent)
    s = tangent * c
    plane = np.eye(len(m))
    plane[i, i] = plane[j, j] = c
    plane[j, i], plane[i, j] = s, -s
    return plane
