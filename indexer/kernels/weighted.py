"""The exhaustive scan by weighted distance: one table lookup a byte of a code."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import entry_kernel, kernel
from indexer.kernels.heap import offer, sort_pairs
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
def _scan(
    words: Any, table: Any, admitted: Any, codes: Any, alive: Any, first_rows: Any, first_ids: Any, ranges: Any,
    distances: Any, keys: Any, size: Any,
) -> Any:  # fmt: skip
    room = distances.shape[0]
    for i in range(ranges.shape[0]):
        for row in range(ranges[i, 0], ranges[i, 1]):
            distance = _weighted_distance(words, codes, row, table)
            if (size == room and distance > distances[0]) or not is_alive(alive, row):
                continue
            key = id_of(first_rows, first_ids, row)
            if is_admitted(admitted, key):
                size = offer(distances, keys, size, distance, key)
    return size


@entry_kernel
def answer_weighted(
    words: Any, tables: Any, admitted: Any,
    codes: Any, lows: Any, alive: Any, first_rows: Any, first_ids: Any, is_ascending: Any, ranges: Any,
    late_codes: Any, late_lows: Any, late_alive: Any, late_first_rows: Any, late_first_ids: Any,
    late_is_ascending: Any, late_ranges: Any, distances: Any, keys: Any, sizes: Any,
) -> None:  # fmt: skip
    """Fill in ordered (weighted distance, frame id) pairs.

    Takes a tuple as long as a code has 64-bit words; the cost of each byte value at each position of each query,
    float32 [q, w, 256]; the id ranges that are admitted; two :class:`~indexer.kernels.parts.Part`; and distances,
    float32 [q, k], ids, int64 [q, k], and sizes, int64 [q], to fill in, with k > 0.
    """
    for at in range(tables.shape[0]):
        size = _scan(
            words, tables[at], admitted, codes, alive, first_rows, first_ids, ranges,
            distances[at], keys[at], np.int64(0),
        )  # fmt: skip
        size = _scan(
            words, tables[at], admitted, late_codes, late_alive, late_first_rows, late_first_ids, late_ranges,
            distances[at], keys[at], size,
        )  # fmt: skip
        sort_pairs(distances[at], keys[at], size)
        sizes[at] = size
