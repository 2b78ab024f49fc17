"""Scores beside average precision: precision and recall at K and by radius, MAP@R, all over random tie order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.evaluation.average_precision import check_total_relevant, expected_average_precisions
from search.evaluation.groups import FloatArray, IntArray, check_cutoffs, check_groups, cut_at, row_slices

__all__ = [
    "RadiusCurve",
    "average_precision_at_r",
    "precision_at",
    "radius_curve",
    "recall_at",
    "relevant_in_top",
]


def relevant_in_top(items: IntArray, relevant: IntArray, k: int | IntArray) -> FloatArray:
    """Return how many relevant items the top K holds, in expectation over tie order: float64 [p].

    Args:
        items: integers [p, t], items of each distance group, nearest group first.
        relevant: integers [p, t], relevant items of each group.
        k: one cutoff, or one a row [p].
    """
    n, r = check_groups(items, relevant)
    cutoffs = check_cutoffs(k, len(n))
    result = np.zeros(len(n))
    for rows in row_slices(*n.shape):
        taken = cut_at(n[rows], r[rows], cutoffs[rows]).taken
        # Of a group's m taken places each holds a relevant item with probability r / n.
        result[rows] = (taken * r[rows] / np.maximum(n[rows], 1)).sum(axis=1)
    return result


def precision_at(items: IntArray, relevant: IntArray, k: int | IntArray) -> FloatArray:
    """Return expected precision@K, float64 [p]: relevant items in the top K, divided by K.

    K is the divisor even where the ranking holds fewer items; 0 where nothing relevant is found.
    """
    return relevant_in_top(items, relevant, k) / k


def recall_at(
    items: IntArray, relevant: IntArray, k: int | IntArray, total_relevant: IntArray | None = None
) -> FloatArray:
    """Return expected recall@K, float64 [p]: relevant items in the top K, divided by all relevant items.

    0 for a query with nothing relevant. ``total_relevant`` [p] is the row sums of ``relevant`` by default.
    """
    n, r = check_groups(items, relevant)
    total = check_total_relevant(total_relevant, r)
    found = relevant_in_top(n, r, k)
    return np.divide(found, total, out=np.zeros(len(n)), where=total > 0)


def average_precision_at_r(items: IntArray, relevant: IntArray, total_relevant: IntArray | None = None) -> FloatArray:
    """Return expected AP@R, float64 [p]: AP@K with K = R, the query's own number of relevant items, over R.

    Its mean over queries is MAP@R. 0 for a query with nothing relevant. The groups must cover the top R.

    Source:
        [0] Musgrave, Belongie, Lim, A Metric Learning Reality Check, 2020, https://arxiv.org/abs/2003.08505
    """
    n, r = check_groups(items, relevant)
    total = check_total_relevant(total_relevant, r)
    return expected_average_precisions(n, r, np.maximum(total, 1), "R", total)


@dataclass(frozen=True)
class RadiusCurve:
    """What everything within a Hamming radius gives, for radius 0, 1, ...: entry i is radius i.

    Attributes:
        returned: float64 [t], mean number of items within the radius.
        precision: float64 [t], mean over queries of relevant / returned; a query that gets nothing counts 0.
        pooled_precision: float64 [t], relevant items of all queries / returned items of all queries; what a
            share of all shown hits is right. NaN where nothing is returned.
        recall: float64 [t], mean over queries of relevant / all relevant; 0 for one with nothing relevant.
        empty: float64 [t], share of queries that get nothing.
    """

    returned: FloatArray
    precision: FloatArray
    pooled_precision: FloatArray
    recall: FloatArray
    empty: FloatArray


def radius_curve(items: IntArray, relevant: IntArray, total_relevant: IntArray | None = None) -> RadiusCurve:
    """Return precision and recall by radius, for at least one ranking whose group i is distance i.

    Ties need no expectation here: a radius never cuts a group.

    Args:
        items: integers [p, t], items at distance 0, 1, ..., t - 1.
        relevant: integers [p, t], relevant ones.
        total_relevant: integers [p]; the row sums of ``relevant`` by default.
    """
    n, r = check_groups(items, relevant)
    total = check_total_relevant(total_relevant, r)
    returned, found = np.cumsum(n, axis=1), np.cumsum(r, axis=1)
    sums = returned.sum(axis=0)
    recall = np.divide(found, total[:, None], out=np.zeros(n.shape), where=total[:, None] > 0)
    precision = np.divide(found, returned, out=np.zeros(n.shape), where=returned > 0)
    return RadiusCurve(
        returned=returned.mean(axis=0),
        precision=precision.mean(axis=0),
        pooled_precision=np.divide(found.sum(axis=0), sums, out=np.full(len(sums), np.nan), where=sums > 0),
        recall=recall.mean(axis=0),
        empty=(returned == 0).mean(axis=0),
    )
