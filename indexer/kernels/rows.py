"""Rows: which are alive, which frame id they carry, which id ranges admit them."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import entry_kernel, inlined_kernel, kernel, popcount

__all__ = ["MARK_SHIFT", "count_alive", "id_of", "ids_of_rows", "is_admitted", "is_alive", "list_alive"]


MARK_SHIFT = 8
"""There is a mark every 2**MARK_SHIFT rows."""


@inlined_kernel
def is_alive(alive: Any, row: Any) -> Any:
    """Return whether the row's bit is set; an empty bitmap means that every row is alive."""
    if alive.shape[0] == 0:
        return True
    return (alive[row >> 6] >> np.uint64(row & 63)) & np.uint64(1) != np.uint64(0)


@kernel
def _last_at_most(ascending: Any, value: Any, low: Any, high: Any) -> Any:
    """Return the last index in (low, high) whose element is at most ``value``, or ``low``."""
    while high - low > 1:
        middle = (low + high) >> 1
        if ascending[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@inlined_kernel
def id_of(first_rows: Any, first_ids: Any, run_marks: Any, row: Any) -> Any:
    """Return the frame id of a row; see :class:`~indexer.kernels.parts.Part`."""
    low, high = np.int64(-1), first_rows.shape[0]
    if run_marks.shape[0] > 0:
        # Two neighbouring looks in place of twenty, most of which would miss the cache.
        low, high = np.int64(run_marks[row >> MARK_SHIFT]), np.int64(run_marks[(row >> MARK_SHIFT) + 1]) + 1
    run = _last_at_most(first_rows, row, low, high)
    return first_ids[run] + (row - first_rows[run])


@kernel
def ids_of_rows(first_rows: Any, first_ids: Any, run_marks: Any, rows: Any, count: Any) -> None:
    """Replace the first ``count`` rows by their frame ids, in place."""
    for i in range(count):
        rows[i] = id_of(first_rows, first_ids, run_marks, rows[i])


@inlined_kernel
def is_admitted(ranges: Any, value: Any) -> Any:
    """Return whether a range, int64 [m, 2] sorted and disjoint, holds ``value``."""
    if ranges.shape[0] == 1:
        return ranges[0, 0] <= value < ranges[0, 1]
    found = _last_at_most(ranges[:, 0], value, -1, ranges.shape[0])
    return found >= 0 and value < ranges[found, 1]


@entry_kernel
def count_alive(alive: Any, ranges: Any) -> Any:
    """Return how many rows of the half-open row ranges are alive."""
    total = np.int64(0)
    for i in range(ranges.shape[0]):
        first, end = ranges[i, 0], ranges[i, 1]
        if alive.shape[0] == 0:
            total += end - first
            continue
        while first < end and (first & 63 or end - first < 64):
            total += 1 if is_alive(alive, first) else 0
            first += 1
        while first < end:
            if end - first >= 64:
                total += np.int64(popcount(alive[first >> 6]))
                first += 64
            else:
                total += 1 if is_alive(alive, first) else 0
                first += 1
    return total


@entry_kernel
def list_alive(alive: Any, ranges: Any, rows: Any) -> None:
    """Write the live rows of the half-open row ranges into ``rows``, int64 [count_alive(...)], in order."""
    count = np.int64(0)
    for i in range(ranges.shape[0]):
        for row in range(ranges[i, 0], ranges[i, 1]):
            if is_alive(alive, row):
                rows[count] = row
                count += 1
