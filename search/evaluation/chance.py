"""Chance levels: what a random ranking scores, exactly.

A random ranking is one where everything is tied: a single group of all N items with all R relevant ones. So
the closed forms for ties give every chance level, and no simulation is needed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from search.evaluation.average_precision import Normaliser, expected_average_precisions
from search.evaluation.groups import FloatArray, IntArray, check_groups
from search.evaluation.metrics import average_precision_at_r, precision_at, recall_at

__all__ = [
    "chance_average_precision",
    "chance_average_precision_at_r",
    "chance_precision",
    "chance_recall",
]


def chance_average_precision(
    gallery_size: IntArray, total_relevant: IntArray, k: int, normaliser: Normaliser
) -> FloatArray:
    """Return the AP@K that a random ranking scores in expectation, for each query: float64 [p].

    Args:
        gallery_size: integers [p], items that may be returned to the query.
        total_relevant: integers [p], relevant ones among them.
        k: the cutoff.
        normaliser: "hits", "minKR", "R" or "K".

    Example:
        >>> chance_average_precision(np.array([10_000]), np.array([1_000]), 10, "hits").round(3).tolist()
        [0.218]
    """
    return _of_random(gallery_size, total_relevant, lambda n, r: expected_average_precisions(n, r, k, normaliser))


def chance_precision(gallery_size: IntArray, total_relevant: IntArray, k: int) -> FloatArray:
    """Return the precision@K of a random ranking in expectation, float64 [p]: (R/N) min(K, N) / K."""
    return _of_random(gallery_size, total_relevant, lambda n, r: precision_at(n, r, k))


def chance_recall(gallery_size: IntArray, total_relevant: IntArray, k: int) -> FloatArray:
    """Return the recall@K of a random ranking in expectation, float64 [p]: min(K, N) / N, or 0 where R is 0."""
    return _of_random(gallery_size, total_relevant, lambda n, r: recall_at(n, r, k))


def chance_average_precision_at_r(gallery_size: IntArray, total_relevant: IntArray) -> FloatArray:
    """Return the AP@R of a random ranking in expectation: float64 [p]."""
    return _of_random(gallery_size, total_relevant, average_precision_at_r)


def _of_random(
    gallery_size: IntArray, total_relevant: IntArray, score: Callable[[IntArray, IntArray], FloatArray]
) -> FloatArray:
    sizes = np.stack([np.asarray(gallery_size), np.asarray(total_relevant)], axis=1)
    # Most queries of a concept share their (N, R), so each distinct pair is worked out once.
    distinct, inverse = np.unique(sizes, axis=0, return_inverse=True)
    n, r = check_groups(distinct[:, :1], distinct[:, 1:])
    return np.asarray(score(n, r)[inverse.ravel()])
