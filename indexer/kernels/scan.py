"""The exhaustive scan: blocks of codes tested at once against the running K-th distance.

A block is passed over unless one of its distances is small enough, which a subtraction and a bitwise or for each
code decide, several codes to an instruction. So the scan runs as fast as memory delivers codes. A batch of
queries goes over the rows in pieces that stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import (
    CODE_BLOCKS,
    inlined_kernel,
    is_any_code_near,
    is_any_low_near,
    kernel,
    popcount,
)
from indexer.kernels.heap import offer
from indexer.kernels.rows import id_of, is_admitted, is_alive

__all__ = ["reach_of", "scan_part"]

_PIECE = 16_384

# Up to this distance, next to no code passes the test of its low 32 bits by chance, which halves what is read.
_LOW_REACH = 6


@inlined_kernel
def reach_of(distances: Any, size: Any, radius: Any) -> Any:
    """Return the largest distance that can still enter a heap, or be counted where the heap has no room at all."""
    if 0 < size == distances.shape[0]:
        return min(np.int64(distances[0]), np.int64(radius))
    return np.int64(radius)


@inlined_kernel
def _distance(words: Any, codes: Any, row: Any, code: Any) -> Any:
    total = np.uint64(0)
    for word in range(len(words)):
        total += popcount(codes[row * len(words) + word] ^ code[word])
    return np.int64(total)


@inlined_kernel
def _key(first_rows: Any, first_ids: Any, row: Any, by_row: Any) -> Any:
    return row if by_row else id_of(first_rows, first_ids, row)


@kernel
def _take_rows(
    words: Any, code: Any, radius: Any, admitted: Any, is_count: Any,
    codes: Any, alive: Any, first_rows: Any, first_ids: Any, by_row: Any, first: Any, end: Any,
    distances: Any, keys: Any, size: Any,
) -> Any:  # fmt: skip
    reach = reach_of(distances, size, radius)
    for row in range(first, end):
        distance = _distance(words, codes, row, code)
        if distance > reach or not is_alive(alive, row):
            continue
        key = _key(first_rows, first_ids, row, by_row)
        if not (by_row or is_admitted(admitted, key)):
            continue
        if is_count:
            size += 1
        else:
            size = offer(distances, keys, size, distance, key)
            reach = reach_of(distances, size, radius)
    return size


@inlined_kernel
def _next_near(words: Any, codes: Any, lows: Any, start: Any, end: Any, code: Any, reach: Any) -> Any:
    """Return the first whole block from ``start`` on that holds a distance within reach, or where none is."""
    block, bound = CODE_BLOCKS[len(words)], np.uint64(reach + 1)
    if lows.shape[0] > 0 and reach <= _LOW_REACH:
        low, low_bound = np.uint32(code[0]), np.uint32(reach + 1)
        while start + block <= end:
            if is_any_low_near(lows, start, low, low_bound) and is_any_code_near(words, codes, start, code, bound):
                break
            start += block
        return start
    while start + block <= end and not is_any_code_near(words, codes, start, code, bound):
        start += block
    return start


@kernel
def _scan_rows(
    words: Any, code: Any, radius: Any, admitted: Any, is_count: Any,
    codes: Any, lows: Any, alive: Any, first_rows: Any, first_ids: Any, is_ascending: Any, by_row: Any,
    first: Any, end: Any, distances: Any, keys: Any, size: Any,
) -> Any:  # fmt: skip
    start = first
    while start < end:
        reach = reach_of(distances, size, radius)
        start = _next_near(words, codes, lows, start, end, code, reach)
        # Where ids grow with rows, an equal distance past the heap's last id comes too late.
        full = start < end and 0 < size == distances.shape[0] and reach == distances[0]
        if full and is_ascending and _key(first_rows, first_ids, start, by_row) > keys[0]:
            start = _next_near(words, codes, lows, start, end, code, reach - 1)
        stop = min(start + CODE_BLOCKS[len(words)], end)
        size = _take_rows(
            words, code, radius, admitted, is_count, codes, alive, first_rows, first_ids, by_row,
            start, stop, distances, keys, size,
        )  # fmt: skip
        start = stop
    return size


@kernel
def scan_part(
    words: Any, queries: Any, radii: Any, admitted: Any, is_count: Any,
    codes: Any, lows: Any, alive: Any, first_rows: Any, first_ids: Any, is_ascending: Any, ranges: Any,
    by_row: Any, wanted: Any, distances: Any, keys: Any, sizes: Any,
) -> None:  # fmt: skip
    """Offer every live row of the part's ranges to the heaps of the wanted queries.

    Takes a tuple as long as a code has 64-bit words; a :class:`~indexer.kernels.parts.Query`; a
    :class:`~indexer.kernels.parts.Part`; whether keys are rows, in ranges that leave out what is not admitted, or
    else frame ids; which queries, bool [q]; and :class:`~indexer.kernels.parts.Answers`.
    """
    any_wanted = False
    for at in range(wanted.shape[0]):
        any_wanted |= wanted[at]
    for i in range(ranges.shape[0] if any_wanted else 0):
        for start in range(ranges[i, 0], ranges[i, 1], _PIECE):
            stop = min(start + _PIECE, ranges[i, 1])
            for at in range(wanted.shape[0]):
                if wanted[at]:
                    sizes[at] = _scan_rows(
                        words, queries[at], radii[at], admitted, is_count,
                        codes, lows, alive, first_rows, first_ids, is_ascending, by_row, start, stop,
                        distances[at], keys[at], sizes[at],
                    )  # fmt: skip
