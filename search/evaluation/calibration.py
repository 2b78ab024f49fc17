"""A concept's cut-off: the largest Hamming distance at which hits are still right often enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.groups import FloatArray, IntArray, check_groups

__all__ = ["DEFAULT_TARGET_PRECISION", "CalibratedRadius", "calibrate_radius"]

DEFAULT_TARGET_PRECISION = 0.9

MIN_HITS = 20
"""Hits of all queries together that a radius must rest on; fewer would let one lucky hit set it."""


@dataclass(frozen=True)
class CalibratedRadius:
    """What a statement like "90 % precision at distance <= 7" rests on.

    Precision is pooled: of all hits of all queries within the radius, the share that is right.

    Attributes:
        target: the precision asked for, in (0, 1].
        radius: the largest distance at which the precision is reached, or None where none reaches it with
            enough hits.
        precision: the precision at that radius, or None.
        held_out_precision: the radius chosen on one half of the queries and tried on the other, both ways,
            pooled; None with fewer than two queries or where a half finds no radius. The honest figure: the
            choice of a radius is itself fitted to the queries.
        recall: mean over queries of the share of relevant items within the radius, or None.
        returned: mean hits of a query within the radius, or None.
        num_queries: queries that it rests on.
    """

    target: float
    radius: int | None
    precision: float | None
    held_out_precision: float | None
    recall: float | None
    returned: float | None
    num_queries: int


def calibrate_radius(
    items: IntArray,
    relevant: IntArray,
    total_relevant: IntArray,
    target: float = DEFAULT_TARGET_PRECISION,
) -> CalibratedRadius:
    """Return the largest radius at which the pooled precision reaches the target, on ``MIN_HITS`` hits or more.

    Args:
        items: integers [p, t], items at distance 0 ... t - 1 of each query.
        relevant: integers [p, t], relevant ones.
        total_relevant: integers [p], all relevant items of the gallery.
        target: the precision to reach, in (0, 1].

    Raises:
        BadInputError: If the target is outside (0, 1] or the counts are malformed.
    """
    if not 0 < target <= 1:
        raise BadInputError(f"target precision is {target}; expected a number in (0, 1]")
    n, r = check_groups(items, relevant)
    returned, found = np.cumsum(n, axis=1), np.cumsum(r, axis=1)
    radius = _largest_radius(returned, found, target)
    if radius is None:
        return CalibratedRadius(target, None, None, None, None, None, len(n))
    shares = np.divide(found[:, radius], total_relevant, out=np.zeros(len(n)), where=total_relevant > 0)
    return CalibratedRadius(
        target=target,
        radius=radius,
        precision=float(found[:, radius].sum() / returned[:, radius].sum()),
        held_out_precision=_held_out_precision(returned, found, target),
        recall=float(shares.mean()),
        returned=float(returned[:, radius].mean()),
        num_queries=len(n),
    )


def _largest_radius(returned: IntArray, found: IntArray, target: float) -> int | None:
    shown: FloatArray = returned.sum(axis=0)
    # A radius that returns nothing new says nothing new: report the smallest one with the same hits.
    is_good = (shown >= MIN_HITS) & (found.sum(axis=0) >= target * shown) & (np.diff(shown, prepend=0) > 0)
    return int(np.flatnonzero(is_good)[-1]) if is_good.any() else None


def _held_out_precision(returned: IntArray, found: IntArray, target: float) -> float | None:
    shown = right = 0
    for fitted in (0, 1):
        radius = _largest_radius(returned[fitted::2], found[fitted::2], target)
        if radius is None or len(returned) < 2:
            return None
        shown += int(returned[1 - fitted :: 2, radius].sum())
        right += int(found[1 - fitted :: 2, radius].sum())
    return right / shown if shown else None
