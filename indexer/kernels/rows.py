"""Rows: which are alive, which frame id they carry, which id ranges admit them."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import entry_kernel, inlined_kernel, kernel, popcount

__all__ = ["count_alive", "id_of", "ids_of_rows", "is_admitted", "is_alive", "list_alive"]


@inlined_kernel
def is_alive(alive: Any, row: Any) -> Any:
    """Return whether the row's bit is set; an empty bitmap means that every row is alive."""
    if alive.shape[0] == 0:
        return True
    return (alive[row >> 6] >> np.uint64(row & 63)) & np.uint64(1) != np.uint64(0)


@kernel
def _last_at_most(ascending: Any, value: Any) -> Any:
    low, high = -1, ascending.shape[0]
    while high - low > 1:
        middle = (low + high) >> 1
        if ascending[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@inlined_kernel
def id_of(first_rows: Any, first_ids: Any, row: Any) -> Any:
    """Return the frame id of a row; the runs are as in :class:`indexer.runs.Runs`."""
    run = _last_at_most(first_rows, row)
    return first_ids[run] + (row - first_rows[run])


@kernel
def ids_of_rows(first_rows: Any, first_ids: Any, rows: Any, count: Any) -> None:
    """Replace the first ``count`` rows by their frame ids, in place."""
    for i in range(count):
        rows[i] = id_of(first_rows, first_ids, rows[i])


@inlined_kernel
def is_admitted(ranges: Any, value: Any) -> Any:
    """Return whether a range, int64 [m, 2] sorted and disjoint, holds ``value``."""
    if ranges.shape[0] == 1:
        return ranges[0, 0] <= value < ranges[0, 1]
    found = _last_at_most(ranges[:, 0], value)
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
