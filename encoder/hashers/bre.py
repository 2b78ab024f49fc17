"""Binary reconstructive embedding."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from encoder.hashers.base import Floats, LinearHasher, centred, unit_rows

__all__ = ["BREHasher", "best_step"]

SAMPLE = 1000
LANDMARKS = 24
SWEEPS = 2


class BREHasher(LinearHasher):
    """Hamming distances that rebuild feature distances: min Σ_ij (½‖x_i − x_j‖² − ‖h_i − h_j‖² / L)².

    h_k(x) = [Σ_q W_kq ⟨a_kq, x⟩ ≥ 0] with landmarks a_kq drawn from the sample; each W_kq in turn is set to
    its best value with the others fixed, which is found exactly (:func:`best_step`). The kernel is the inner
    product of centred vectors of unit length, so the functions are linear in x.

    Args:
        bits: L, 8 to 256.
        seed: of sample, landmarks and first weights.
        normalise: whether features are scaled to unit length first.
        sample: at most this many vectors enter the objective, which is quadratic in their number.

    Source:
        [0] Kulis, Darrell: Learning to Hash with Binary Reconstructive Embeddings, 2009.
    """

    kind: ClassVar[str] = "bre"
    losses: list[float]
    """The objective before the first sweep and after each; it never rises."""

    def __init__(self, bits: int = 48, *, seed: int = 0, normalise: bool = True, sample: int = SAMPLE) -> None:
        super().__init__(bits, seed=seed, normalise=normalise)
        self.sample = sample

    def _fit(self, x: Floats) -> None:
        rng = np.random.default_rng(self.seed)
        x, self.mean = centred(x)
        x = unit_rows(x[rng.permutation(len(x))[: self.sample]])
        landmarks = np.stack([rng.permutation(len(x))[:LANDMARKS] for _ in range(self.bits)])  # (L, q)
        weights = rng.standard_normal(landmarks.shape)
        self.losses = _descend(x, landmarks, weights)
        self.weight = np.stack([w @ x[rows] for w, rows in zip(weights, landmarks, strict=True)], axis=1)


def _descend(x: Floats, landmarks: NDArray[np.int64], weights: Floats) -> list[float]:
    """Improve ``weights`` [L, q] in place; return the objective before and after each sweep."""
    bits = len(landmarks)
    similarities = x @ x.T
    target = 1 - similarities  # ½‖x_i − x_j‖² of unit vectors
    signs = np.stack(
        [np.where(similarities[:, r] @ w >= 0, 1.0, -1.0) for w, r in zip(weights, landmarks, strict=True)]
    )
    losses = [_objective(target, signs)]
    for _ in range(SWEEPS):
        for k in range(bits):
            others = signs.T @ signs - np.outer(signs[k], signs[k])
            # (1 − s_i s_j) / 2 is the squared difference of two bits, and its own square.
            rest = target - (bits - 1 - others) / (2 * bits)
            cost = 1 / bits**2 - 2 * rest / bits
            for q, row in enumerate(landmarks[k]):
                kernel = similarities[:, row]
                without = similarities[:, landmarks[k]] @ weights[k] - weights[k, q] * kernel
                weights[k, q] = best_step(without, kernel, cost, weights[k, q])
            signs[k] = _signs(similarities[:, landmarks[k]] @ weights[k])
        losses.append(_objective(target, signs))
    return losses


def best_step(without: Floats, kernel: Floats, cost: Floats, present: float) -> float:
    """Return the t for which s = sgn(without + t · kernel) has the least Σ_ij cost_ij (1 − s_i s_j) / 2.

    As t grows from −∞, sign i flips once, at −without_i / kernel_i. The objective after each flip follows from
    sums over leading blocks of the matrix in the order of flips, so all n + 1 intervals are tried in O(n²).

    Args:
        without: [n], projections without this term.
        kernel: [n], what t multiplies.
        cost: symmetric [n, n].
        present: the t that is kept if no interval is better than its own.
    """
    moving = np.abs(kernel) > 1e-12
    thresholds = np.where(moving, -without / np.where(moving, kernel, 1), np.inf)
    order = np.argsort(thresholds, kind="stable")
    count = int(moving.sum())
    signs = np.where(moving, -np.sign(kernel), np.where(without >= 0, 1.0, -1.0))[order]
    m = cost[np.ix_(order, order)] * signs[:, None] * signs[None, :]
    leading = np.cumsum(2 * np.tril(m, -1).sum(axis=1) + np.diag(m))  # sum of the leading block, by its size
    cross = np.concatenate([[0.0], np.cumsum(m.sum(axis=1)) - leading])[: count + 1]
    # Σ cost (1 − s s') / 2 = constant − ½ Σ m; flipping a set turns the sign of its cross terms, twice over.
    objective = 2 * cross
    edges = thresholds[order][:count]
    best = int(objective.argmin())
    if objective[int(np.searchsorted(edges, present, side="right"))] <= objective[best] + 1e-12:
        return present
    return _inside(edges, best)


def _signs(x: Floats) -> Floats:
    return np.where(x >= 0, 1.0, -1.0)


def _inside(edges: Floats, interval: int) -> float:
    if interval == 0:
        return float(edges[0] - 1)
    if interval == len(edges):
        return float(edges[-1] + 1)
    return float((edges[interval - 1] + edges[interval]) / 2)


def _objective(target: Floats, signs: Floats) -> float:
    bits = len(signs)
    distances = (bits - signs.T @ signs) / (2 * bits)
    return float(np.mean((target - distances) ** 2))
