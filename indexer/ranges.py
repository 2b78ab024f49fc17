"""Half-open ranges of frame ids: what filters are made of.

A set of ids is an int64 [m, 2] array of ``[first, end)`` pairs. In *normal form* the pairs are sorted, not
empty, and neither overlap nor touch; every function here returns that form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = [
    "MAX_FRAME_ID",
    "Ranges",
    "all_but",
    "check_ranges",
    "intersect_ranges",
    "ranges_of_ids",
]

Ranges = NDArray[np.int64]

MAX_FRAME_ID = 2**63 - 2
"""The largest frame id: its half-open range still ends inside int64."""


def check_ranges(ranges: NDArray[Any]) -> Ranges:
    """Return ``ranges`` in normal form.

    Args:
        ranges: integers [m, 2], half-open ``[first, end)`` in any order; they may overlap or be empty.

    Raises:
        BadInputError: On another shape or dtype, or where a range ends before it begins.
    """
    array = np.asarray(ranges)
    if array.size == 0 and array.ndim <= 2:
        return np.empty((0, 2), np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise BadInputError(f"ranges has dtype {array.dtype} and shape {array.shape}; expected int64 [m, 2]")
    if (array[:, 1] < array[:, 0]).any():
        bad = array[np.argmax(array[:, 1] < array[:, 0])]
        raise BadInputError(f"the range [{bad[0]}, {bad[1]}) ends before it begins")
    return _normal_form(array.astype(np.int64, copy=False))


def _normal_form(array: Ranges) -> Ranges:
    array = array[array[:, 1] > array[:, 0]]
    if len(array) < 2:
        return np.ascontiguousarray(array)
    array = array[np.argsort(array[:, 0], kind="stable")]
    reach = np.maximum.accumulate(array[:, 1])
    starts = np.flatnonzero(np.concatenate(([True], array[1:, 0] > reach[:-1])))
    ends = np.append(starts[1:] - 1, len(array) - 1)
    return np.stack([array[starts, 0], reach[ends]], axis=1)


def all_but(excluded: NDArray[Any]) -> Ranges:
    """Return every frame id outside ``excluded``, int64 [m, 2]: a query that leaves its own video out.

    Example:
        >>> all_but(np.array([[10, 20]])).tolist()[0]
        [0, 10]
    """
    ranges = check_ranges(excluded)
    firsts = np.concatenate(([0], ranges[:, 1]))
    ends = np.concatenate((ranges[:, 0], [MAX_FRAME_ID + 1]))
    return _normal_form(np.stack([firsts, np.maximum(firsts, ends)], axis=1))


def intersect_ranges(left: NDArray[Any], right: NDArray[Any]) -> Ranges:
    """Return the ids that are in both sets, int64 [m, 2]."""
    a, b = check_ranges(left), check_ranges(right)
    first, last = overlaps(a[:, 0], a[:, 1], b)
    which_b = np.repeat(np.arange(len(b)), last - first)
    which_a = expand(first, last)
    firsts = np.maximum(a[which_a, 0], b[which_b, 0])
    ends = np.minimum(a[which_a, 1], b[which_b, 1])
    return np.stack([firsts, ends], axis=1)


def ranges_of_ids(ids: NDArray[np.int64]) -> Ranges:
    """Return the ids as ranges in normal form; ids may repeat and stand in any order."""
    unique = np.unique(ids)
    if not len(unique):
        return np.empty((0, 2), np.int64)
    breaks = np.flatnonzero(np.diff(unique) != 1) + 1
    firsts = unique[np.concatenate(([0], breaks))]
    lasts = unique[np.concatenate((breaks - 1, [len(unique) - 1]))]
    return np.stack([firsts, lasts + 1], axis=1)


def overlaps(
    firsts: NDArray[np.int64], ends: NDArray[np.int64], ranges: Ranges
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for each range, the slice ``[first, last)`` of the sorted disjoint intervals it touches."""
    return np.searchsorted(ends, ranges[:, 0], "right"), np.searchsorted(firsts, ranges[:, 1], "left")


def expand(firsts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.int64]:
    """Return the concatenation of ``arange(first, end)`` over all pairs, int64 [sum of lengths]."""
    lengths = np.maximum(np.asarray(ends) - np.asarray(firsts), 0).astype(np.int64)
    total = int(lengths.sum())
    before = np.cumsum(lengths) - lengths
    return np.repeat(np.asarray(firsts, np.int64) - before, lengths) + np.arange(total, dtype=np.int64)
