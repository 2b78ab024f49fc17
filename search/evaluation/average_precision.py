"""Average precision at K of rankings with ties: the expectation over random tie order, in closed form.

AP@K = sum over k <= K of P(k) rel(k), divided by one of four numbers (the *normaliser*):

- ``"hits"``: relevant items found in the top K. What the public code of Lin et al. 2015 computes. It is not
  monotone ([+ - -] scores 1, [+ - +] scores 5/6) and a random ranking scores high: print chance beside it.
- ``"minKR"``: min(K, R), R being all relevant items of the gallery. The primary score here.
- ``"R"``: all relevant items. - ``"K"``: the cutoff.

With any of them, a query whose top K holds nothing relevant scores 0, and so does one with nothing relevant
in the whole gallery. With fewer than K items in the ranking the sum ends with the ranking.

With short codes many hits share a distance and their order is an accident, so the score is the mean over all
orders that the distances allow. In a group of n items with r relevant that follows N items with R relevant,
the item at place i of the group is relevant with probability r/n, and given that, 1 + (i-1)(r-1)/(n-1) of the
group's first i items are, in expectation. Under ``"hits"`` the denominator depends on how many relevant items
of the last, cut group fall into the top K; that number is hypergeometric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.groups import (
    Cut,
    FloatArray,
    IntArray,
    check_cutoffs,
    check_groups,
    cut_at,
    row_slices,
)

__all__ = [
    "NORMALISERS",
    "Normaliser",
    "check_normaliser",
    "check_total_relevant",
    "denominators",
    "expected_average_precision",
    "expected_average_precisions",
    "harmonic_numbers",
    "width_blocks",
]

Normaliser = Literal["hits", "minKR", "R", "K"]
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)


def expected_average_precision(
    groups: Sequence[tuple[int, int]], k: int, normaliser: Normaliser, total_relevant: int | None = None
) -> float:
    """Return the expected AP@K of one ranking over random order inside its distance groups.

    Args:
        groups: (n items, r of them relevant) in distance order, covering at least the top K.
        k: the cutoff, at least 1.
        normaliser: the denominator: "hits", "minKR" (= min(K, R)), "R" or "K".
        total_relevant: R, relevant items of the whole gallery; the sum of r by default, which is only right
            where the groups cover the gallery. Used by "R" and "minKR".

    Returns:
        A number in [0, 1]; 0 where nothing relevant is found or exists.

    Raises:
        BadInputError: If not 0 <= r <= n in a group, k < 1, the normaliser is unknown, or total_relevant is
            less than the sum of r.

    Example:
        >>> round(expected_average_precision([(4, 2)], 2, "minKR"), 12) == round(5 / 12, 12)
        True
    """
    n, r = _as_row(groups)
    total = None if total_relevant is None else np.array([total_relevant])
    return float(expected_average_precisions(n, r, k, normaliser, total)[0])


def expected_average_precisions(
    items: IntArray,
    relevant: IntArray,
    k: int | IntArray,
    normaliser: Normaliser,
    total_relevant: IntArray | None = None,
) -> FloatArray:
    """Return the expected AP@K of many rankings: :func:`expected_average_precision` for each row.

    Args:
        items: integers [p, t], items of each distance group, nearest group first; 0 is allowed.
        relevant: integers [p, t], relevant items of each group.
        k: one cutoff for all rows, or one a row [p].
        normaliser: see the module.
        total_relevant: integers [p]; the row sums of ``relevant`` by default.

    Returns:
        float64 [p] in [0, 1].

    Raises:
        BadInputError: As for :func:`expected_average_precision`.
    """
    n, r = check_groups(items, relevant)
    cutoffs = check_cutoffs(k, len(n))
    total = check_total_relevant(total_relevant, r)
    check_normaliser(normaliser)
    result = np.zeros(len(n))
    for rows in row_slices(*n.shape):
        cut = cut_at(n[rows], r[rows], cutoffs[rows])
        sums = _expected_sums(n[rows], r[rows], cut)
        if normaliser == "hits":
            result[rows] = _expected_over_hits(n[rows], r[rows], cut, sums)
        else:
            norm = denominators(cutoffs[rows], total[rows], normaliser)
            np.divide(sums.sum(axis=1), norm, out=result[rows], where=norm > 0)
    return result


def denominators(k: IntArray, total_relevant: IntArray, normaliser: Normaliser) -> IntArray:
    """Return the denominator of AP@K for every normaliser but "hits": int64 [p]."""
    if normaliser == "minKR":
        return np.minimum(k, total_relevant)
    return total_relevant if normaliser == "R" else k


def check_normaliser(normaliser: str) -> None:
    """Raise BadInputError unless ``normaliser`` is one of :data:`NORMALISERS`."""
    if normaliser not in NORMALISERS:
        raise BadInputError(f"normaliser is {normaliser!r}; accepted: {', '.join(NORMALISERS)}")


def check_total_relevant(total_relevant: IntArray | None, relevant: IntArray) -> IntArray:
    """Return R of each row, int64 [p]: the given one, or the row sums of ``relevant`` [p, t].

    Raises:
        BadInputError: If a given R is less than the relevant items that the groups hold.
    """
    seen = relevant.sum(axis=1)
    if total_relevant is None:
        return np.asarray(seen, dtype=np.int64)
    total = np.asarray(total_relevant, dtype=np.int64)
    if total.shape != seen.shape:
        raise BadInputError(f"total_relevant has shape {total.shape}; expected one a ranking, {seen.shape}")
    if (total < seen).any():
        row = int(np.argmax(total < seen))
        raise BadInputError(f"ranking {row} holds {seen[row]} relevant items, but total_relevant is {total[row]}")
    return total


def harmonic_numbers(last: int) -> FloatArray:
    """Return H(0) ... H(last), float64 [last + 1]."""
    return np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, last + 1))))


def width_blocks(widths: IntArray) -> Iterator[IntArray]:
    """Yield row indices in blocks that need about the same width, none wider than memory allows."""
    order = np.argsort(-widths, kind="stable")
    start = 0
    while start < len(order):
        # The first row of a block is its widest, so every block can be sized by it.
        (rows, *_) = row_slices(len(order) - start, int(widths[order[start]]))
        yield order[start : start + rows.stop]
        start += rows.stop


def _as_row(groups: Sequence[tuple[int, int]]) -> tuple[IntArray, IntArray]:
    pairs = np.asarray(list(groups))
    if pairs.size == 0:
        pairs = np.zeros((1, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise BadInputError(f"groups have shape {pairs.shape}; expected pairs (n items, r relevant)")
    return pairs[None, :, 0], pairs[None, :, 1]


def _place_sums(items_before: IntArray, taken: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return A = sum of 1/(N+i) and B = sum of (i-1)/(N+i) over places i = 1..m of a group."""
    harmonic = harmonic_numbers(int((items_before + taken).max(initial=0, where=taken > 0)))
    first = np.where(taken > 0, items_before, 0)
    a = harmonic[first + taken] - harmonic[first]
    return a, taken - (first + 1) * a


def _ratio(numerator: IntArray | FloatArray, denominator: IntArray) -> FloatArray:
    """Return numerator / denominator, 0 where the denominator is not positive."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def _expected_sums(n: IntArray, r: IntArray, cut: Cut) -> FloatArray:
    """Return the expected sum of P(k) rel(k) over each group's places in the top K: float64 [p, t]."""
    a, b = _place_sums(cut.items_before, cut.taken)
    return _ratio(r, n) * ((cut.relevant_before + 1) * a + _ratio(r - 1, n - 1) * b)


def _expected_over_hits(n: IntArray, r: IntArray, cut: Cut, sums: FloatArray) -> FloatArray:
    """Return E[S / relevant found in the top K] for each row: float64 [p]."""
    before = sums.sum(axis=1, where=cut.is_whole)
    found = r.sum(axis=1, where=cut.is_whole)
    result = _ratio(before, found)
    partial = np.flatnonzero(cut.is_cut)
    groups = np.stack([cut.at_cut(x)[partial] for x in (n, r, cut.taken, cut.items_before)])
    spread = np.minimum(groups[2], groups[1]) - np.maximum(0, groups[2] - groups[0] + groups[1]) + 1
    for rows in width_blocks(spread):
        at = partial[rows]
        result[at] = _mixture_over_hits(groups[:, rows], before[at], found[at], int(spread[rows[0]]))
    return result


def _mixture_over_hits(groups: IntArray, before: FloatArray, found: IntArray, width: int) -> FloatArray:
    """Return the score of rows whose last group is cut, averaged over h, its relevant items in the top K.

    Args:
        groups: int64 [4, p]: n, r, m and N of the cut group.
        before: float64 [p], S of the groups before.
        found: int64 [p], relevant items of the groups before (R).
        width: the most values that h takes in a row.
    """
    n, r, m, items_before = (x[:, None] for x in groups)
    a, b = _place_sums(items_before, m)
    lowest = np.maximum(0, m - n + r)
    h = lowest + np.arange(width)
    probability = _hypergeometric(n, r, m, h, lowest)
    # Of m places, h are relevant at random: each with h/m, and a second one with (h-1)/(m-1).
    inside = (h / m) * ((found[:, None] + 1) * a + np.maximum(h - 1, 0) / np.maximum(m - 1, 1) * b)
    score = _ratio(before[:, None] + inside, found[:, None] + h)
    return np.asarray((probability * score).sum(axis=1))


def _hypergeometric(n: IntArray, r: IntArray, m: IntArray, h: IntArray, lowest: IntArray) -> FloatArray:
    """Return P(h of m drawn items are relevant) when r of n are; h rises by 1 from ``lowest`` along a row.

    Built from the ratios of neighbouring terms and scaled to sum to 1, which stays exact to about 1e-13
    where differences of log-factorials of large n would not.
    """
    gain = np.maximum(r - h, 0) * np.maximum(m - h, 0)
    with np.errstate(divide="ignore"):  # The term after the last possible h has probability exp(-inf) = 0.
        steps = np.log(gain[:, :-1]) - np.log((h + 1) * np.maximum(n - r - m + h + 1, 1))[:, :-1]
    logs = np.concatenate((np.zeros((len(h), 1)), np.cumsum(steps, axis=1)), axis=1)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
