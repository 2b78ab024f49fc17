"""The exhaustive scan by weighted distance: one table lookup a byte of a code."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import entry_kernel, kernel
from indexer.kernels.heap import offer, sort_pairs
from indexer.kernels.parts import Part
from indexer.kernels.rows import id_of, is_admitted, is_alive

__all__ = ["answer_weighted"]


@kernel
def _weighted_distance(words: Any, codes: Any, row: Any, table: Any) -> Any:
    total = np.float32(0)
    for byte in range(table.shape[0]):
        word = codes[row * len(words) + (byte >> 3)]
        total += table[byte, np.int64((word >> np.uint64(8 * (byte & 7))) & np.uint64(255))]
    return total


@kernel
def _scan(words: Any, table: Any, admitted: Any, part: Any, distances: Any, keys: Any, size: Any) -> Any:
    room, ranges = distances.shape[0], part.ranges
    for i in range(ranges.shape[0]):
        for row in range(ranges[i, 0], ranges[i, 1]):
            distance = _weighted_distance(words, part.codes, row, table)
            if (size == room and distance > distances[0]) or not is_alive(part.alive, row):
                continue
            key = id_of(part.first_rows, part.first_ids, part.run_marks, row)
            if is_admitted(admitted, key):
                size = offer(distances, keys, size, distance, key)
    return size


@entry_kernel
def answer_weighted(
    words: Any, byte_costs: Any, admitted: Any,
    m_codes: Any, m_lows: Any, m_alive: Any, m_rows: Any, m_ids: Any, m_marks: Any, m_ascending: Any, m_ranges: Any,
    d_codes: Any, d_lows: Any, d_alive: Any, d_rows: Any, d_ids: Any, d_marks: Any, d_ascending: Any, d_ranges: Any,
    distances: Any, keys: Any, sizes: Any,
) -> None:  # fmt: skip
    """Fill in ordered (weighted distance, frame id) pairs.

    Takes a tuple as long as a code has 64-bit words; the cost of each byte value at each position of each query,
    float32 [q, w, 256]; the id ranges that are admitted; two :class:`~indexer.kernels.parts.Part`; and distances,
    float32 [q, k], ids, int64 [q, k], and sizes, int64 [q], to fill in, with k > 0.
    """
    main = Part(m_codes, m_lows, m_alive, m_rows, m_ids, m_marks, m_ascending, m_ranges)
    delta = Part(d_codes, d_lows, d_alive, d_rows, d_ids, d_marks, d_ascending, d_ranges)
    for at in range(sizes.shape[0]):
        size = _scan(words, byte_costs[at], admitted, main, distances[at], keys[at], np.int64(0))
        size = _scan(words, byte_costs[at], admitted, delta, distances[at], keys[at], size)
        sort_pairs(distances[at], keys[at], size)
        sizes[at] = size
