"""The lowest and the highest AP@K that some order of the ties can give: how much the accident could matter."""

from __future__ import annotations

import numpy as np

from search.evaluation.average_precision import (
    Normaliser,
    check_normaliser,
    check_total_relevant,
    denominators,
    harmonic_numbers,
    width_blocks,
)
from search.evaluation.groups import Cut, FloatArray, IntArray, check_cutoffs, check_groups, cut_at, row_slices

__all__ = ["average_precision_bounds"]


def average_precision_bounds(
    items: IntArray,
    relevant: IntArray,
    k: int | IntArray,
    normaliser: Normaliser,
    total_relevant: IntArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return (worst, best): the extremes of AP@K over all orders inside the distance groups.

    For "minKR", "R" and "K" the worst order puts a group's relevant items last and the best puts them first.
    "hits" is not monotone in the number of relevant items found, so there the number that the cut group
    brings into the top K is chosen for the extreme too. 0 where nothing relevant is found.

    Args:
        items: integers [p, t], items of each distance group, nearest group first.
        relevant: integers [p, t], relevant items of each group.
        k: one cutoff, or one a row [p].
        normaliser: "hits", "minKR", "R" or "K".
        total_relevant: integers [p]; the row sums of ``relevant`` by default.

    Returns:
        Two float64 [p] in [0, 1].

    Raises:
        BadInputError: As :func:`search.evaluation.expected_average_precisions`.
    """
    n, r = check_groups(items, relevant)
    cutoffs = check_cutoffs(k, len(n))
    total = check_total_relevant(total_relevant, r)
    check_normaliser(normaliser)
    worst, best = np.zeros(len(n)), np.zeros(len(n))
    for rows in row_slices(*n.shape):
        norm = None if normaliser == "hits" else denominators(cutoffs[rows], total[rows], normaliser)
        worst[rows], best[rows] = _bounds(n[rows], r[rows], cut_at(n[rows], r[rows], cutoffs[rows]), norm)
    return worst, best


def _bounds(n: IntArray, r: IntArray, cut: Cut, norm: IntArray | None) -> tuple[FloatArray, FloatArray]:
    harmonic = harmonic_numbers(int((cut.items_before + cut.taken).max(initial=0, where=cut.taken > 0)))
    whole = np.where(cut.is_whole, r, 0)
    start = np.where(whole > 0, cut.items_before, 0)
    size = np.where(whole > 0, n, 0)
    first = _run_sum(harmonic, start, cut.relevant_before, whole).sum(axis=1)
    last = _run_sum(harmonic, start + size - whole, cut.relevant_before, whole).sum(axis=1)
    found = whole.sum(axis=1)
    taken = np.where(cut.is_cut, cut.at_cut(cut.taken), 0)
    cut_relevant = np.where(cut.is_cut, cut.at_cut(r), 0)
    lowest = np.where(cut.is_cut, np.maximum(0, taken - cut.at_cut(n) + cut_relevant), 0)
    widths = np.minimum(taken, cut_relevant) - lowest + 1
    before = np.where(cut.is_cut, cut.at_cut(cut.items_before), 0)
    worst, best = np.zeros(len(n)), np.zeros(len(n))
    for at in width_blocks(widths):
        h = lowest[at, None] + np.minimum(np.arange(widths[at[0]]), widths[at, None] - 1)
        begin, end, seen = before[at, None], (before + taken)[at, None], found[at, None]
        early = first[at, None] + _run_sum(harmonic, begin, seen, h)
        late = last[at, None] + _run_sum(harmonic, end - h, seen, h)
        below = seen + h if norm is None else np.broadcast_to(norm[at, None], h.shape)
        worst[at] = np.divide(late, below, out=np.zeros(h.shape), where=below > 0).min(axis=1)
        best[at] = np.divide(early, below, out=np.zeros(h.shape), where=below > 0).max(axis=1)
    return worst, best


def _run_sum(harmonic: FloatArray, start: IntArray, found: IntArray, length: IntArray) -> FloatArray:
    """Return the sum of P(k) over ``length`` relevant items in a row at places start + 1, start + 2, ...

    P at place start + j is (found + j) / (start + j) = 1 + (found - start) / (start + j).
    """
    return np.asarray(length + (found - start) * (harmonic[start + length] - harmonic[start]))
