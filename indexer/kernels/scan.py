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
def _key(part: Any, row: Any, by_row: Any) -> Any:
    return row if by_row else id_of(part.first_rows, part.first_ids, part.run_marks, row)


@kernel
def _take_rows(
    words: Any, query: Any, at: Any, part: Any, by_row: Any, first: Any, end: Any, heap: Any, size: Any
) -> Any:
    distances, keys = heap
    code, radius = query.padded[at], query.radii[at]
    reach = reach_of(distances, size, radius)
    for row in range(first, end):
        distance = _distance(words, part.codes, row, code)
        if distance > reach or not is_alive(part.alive, row):
            continue
        key = _key(part, row, by_row)
        if not (by_row or is_admitted(query.admitted, key)):
            continue
        if query.is_count:
            size += 1
        else:
            size = offer(distances, keys, size, distance, key)
            reach = reach_of(distances, size, radius)
    return size


@inlined_kernel
def _next_near(words: Any, part: Any, start: Any, end: Any, code: Any, reach: Any) -> Any:
    """Return the first whole block from ``start`` on that holds a distance within reach, or where none is."""
    codes, lows = part.codes, part.lows
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
    words: Any, query: Any, at: Any, part: Any, by_row: Any, first: Any, end: Any, heap: Any, size: Any
) -> Any:
    distances, keys = heap
    code, radius = query.padded[at], query.radii[at]
    start = first
    while start < end:
        reach = reach_of(distances, size, radius)
        start = _next_near(words, part, start, end, code, reach)
        # Where ids grow with rows, an equal distance past the heap's last id comes too late.
        full = start < end and 0 < size == distances.shape[0] and reach == distances[0]
        if full and part.is_ascending and _key(part, start, by_row) > keys[0]:
            start = _next_near(words, part, start, end, code, reach - 1)
        stop = min(start + CODE_BLOCKS[len(words)], end)
        size = _take_rows(words, query, at, part, by_row, start, stop, heap, size)
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
