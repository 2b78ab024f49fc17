"""The exhaustive scan: blocks of codes tested at once against the running K-th distance.

A block is passed over unless one of its distances is small enough, which a few instructions decide for several codes
at once. So the scan runs as fast as memory delivers codes. A batch of
queries goes over the rows in pieces that stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import (
    CODE_BLOCKS,
    inlined_kernel,
    kernel,
    lowest_bit,
    near_codes,
    near_lows,
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
def _key(part: Any, row: Any, by_row: Any) -> Any:
    return row if by_row else id_of(part.first_rows, part.first_ids, part.run_marks, row)


@inlined_kernel
def _take_row(words: Any, query: Any, at: Any, part: Any, by_row: Any, row: Any, heap: Any, size: Any) -> Any:
    distance = _distance(words, part.codes, row, query.padded[at])
    if distance > reach_of(heap[0], size, query.radii[at]) or not is_alive(part.alive, row):
        return size
    key = _key(part, row, by_row)
    if not (by_row or is_admitted(query.admitted, key)):
        return size
    return size + 1 if query.is_count else offer(heap[0], heap[1], size, distance, key)


@inlined_kernel
def _next_near(words: Any, part: Any, start: Any, end: Any, code: Any, reach: Any) -> Any:
    """Return the first whole block from ``start`` on with a distance within reach, and which; or (where none is, 0)."""
    codes, lows, near = part.codes, part.lows, np.uint64(0)
    block, bound = CODE_BLOCKS[len(words)], np.uint64(reach + 1)
    if lows.shape[0] > 0 and reach <= _LOW_REACH:
        low, low_bound = np.uint32(code[0]), np.uint32(reach + 1)
        while start + block <= end:
            if near_lows(lows, start, low, low_bound):
                near = near_codes(words, codes, start, code, bound)
                if near:
                    return start, near
            start += block
        return start, near
    while start + block <= end:
        near = near_codes(words, codes, start, code, bound)
        if near:
            return start, near
        start += block
    return start, near


@kernel
def _scan_rows(
    words: Any, query: Any, at: Any, part: Any, by_row: Any, first: Any, end: Any, heap: Any, size: Any
) -> Any:
    distances, keys = heap
    code, radius = query.padded[at], query.radii[at]
    start, late_reach = first, np.int64(-1)
    while start < end:
        reach = reach_of(distances, size, radius)
        sought = reach - 1 if reach == late_reach else reach
        start, near = _next_near(words, part, start, end, code, sought)
        is_full = near and 0 < size == distances.shape[0] and sought == distances[0]
        if is_full and part.is_ascending and _key(part, start, by_row) > keys[0]:
            # Where ids grow with rows, an equal distance past the heap's last id comes too late: from here on.
            late_reach = reach
            start, near = _next_near(words, part, start, end, code, reach - 1)
        stop = min(start + CODE_BLOCKS[len(words)], end)
        if near:
            while near:
                row = start + lowest_bit(near)
                size = _take_row(words, query, at, part, by_row, row, heap, size)
                near &= near - np.uint64(1)
        else:
            for row in range(start, stop):
                size = _take_row(words, query, at, part, by_row, row, heap, size)
        start = stop
    return size


@kernel
def scan_part(words: Any, query: Any, part: Any, by_row: Any, answers: Any) -> None:
    """Offer every live row of the part's ranges to the heaps of the queries marked as unanswered.

    Args:
        words: a tuple as long as a code has 64-bit words.
        query: a :class:`~indexer.kernels.parts.Query`.
        part: a :class:`~indexer.kernels.parts.Part`.
        by_row: whether keys are rows, in ranges that leave out what is not admitted, or else frame ids.
        answers: an :class:`~indexer.kernels.parts.Answers`.
    """
    wanted, ranges = answers.unanswered, part.ranges
    any_wanted = False
    for at in range(wanted.shape[0]):
        any_wanted |= wanted[at]
    for i in range(ranges.shape[0] if any_wanted else 0):
        for start in range(ranges[i, 0], ranges[i, 1], _PIECE):
            stop = min(start + _PIECE, ranges[i, 1])
            for at in range(wanted.shape[0]):
                if wanted[at]:
                    heap = answers.distances[at], answers.keys[at]
                    answers.sizes[at] = _scan_rows(words, query, at, part, by_row, start, stop, heap, answers.sizes[at])
