"""One call from Python answers a batch of queries over the main structure and the delta."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import entry_kernel, kernel
from indexer.kernels.heap import sort_pairs
from indexer.kernels.probe import probe_part
from indexer.kernels.rows import ids_of_rows
from indexer.kernels.scan import scan_part

__all__ = ["answer", "answer_by_scan"]


@kernel
def _scan_cost(ranges: Any) -> Any:
    total = 0
    for i in range(ranges.shape[0]):
        total += ranges[i, 1] - ranges[i, 0]
    return total


@kernel
def _pad(query_bytes: Any, queries: Any) -> None:
    for at in range(queries.shape[0]):
        for word in range(queries.shape[1]):
            queries[at, word] = 0
        for byte in range(query_bytes.shape[1]):
            queries[at, byte >> 3] |= np.uint64(query_bytes[at, byte]) << np.uint64(8 * (byte & 7))


@kernel
def _finish(
    words: Any, queries: Any, radii: Any, admitted: Any, is_count: Any,
    codes: Any, lows: Any, alive: Any, first_rows: Any, first_ids: Any, is_ascending: Any, ranges: Any,
    late_codes: Any, late_lows: Any, late_alive: Any, late_first_rows: Any, late_first_ids: Any,
    late_is_ascending: Any, late_ranges: Any, unanswered: Any, distances: Any, keys: Any, sizes: Any,
) -> None:  # fmt: skip
    """Scan the main part for the queries that are not answered, and the delta for all."""
    scan_part(
        words, queries, radii, admitted, is_count, codes, lows, alive, first_rows, first_ids, is_ascending, ranges,
        True, unanswered, distances, keys, sizes,
    )  # fmt: skip
    if not is_count:
        for at in range(sizes.shape[0]):
            ids_of_rows(first_rows, first_ids, keys[at], sizes[at])
    unanswered[:] = True
    scan_part(
        words, queries, radii, admitted, is_count, late_codes, late_lows, late_alive, late_first_rows, late_first_ids,
        late_is_ascending, late_ranges, False, unanswered, distances, keys, sizes,
    )  # fmt: skip
    if not is_count:
        for at in range(sizes.shape[0]):
            sort_pairs(distances[at], keys[at], sizes[at])


@entry_kernel
def answer(
    words: Any, effort: Any, query_bytes: Any, queries: Any, radii: Any, admitted: Any, is_count: Any,
    codes: Any, lows: Any, alive: Any, first_rows: Any, first_ids: Any, is_ascending: Any, ranges: Any,
    offsets: Any, rests: Any, rows: Any, masks: Any, rings: Any, width: Any,
    late_codes: Any, late_lows: Any, late_alive: Any, late_first_rows: Any, late_first_ids: Any,
    late_is_ascending: Any, late_ranges: Any, distances: Any, keys: Any, sizes: Any, unanswered: Any,
) -> None:  # fmt: skip
    """Fill in ordered (distance, frame id) pairs, or counts, for codes of one word.

    Keys of the main part are rows while it is searched, since its ids grow with its rows; they become frame ids
    before the delta is scanned against the K-th distance that the main part left.

    Takes, in this order: a tuple as long as a code has 64-bit words (one); the share of a scan's cost that probing
    may take; and the bundles of :mod:`indexer.kernels.parts`, each with a star: the query, the main part (ids
    ascending, ranges cut to what is admitted), its tables, the delta, and the answers to fill in.
    """
    _pad(query_bytes, queries)
    budget = np.int64(effort * _scan_cost(ranges))
    for at in range(sizes.shape[0]):
        size, radii[at] = probe_part(
            queries[at, 0], radii[at], is_count, alive, ranges, offsets, rests, rows, masks, rings, width, budget,
            distances[at], keys[at],
        )  # fmt: skip
        unanswered[at], sizes[at] = size < 0, max(size, 0)
    _finish(
        words, queries, radii, admitted, is_count, codes, lows, alive, first_rows, first_ids, is_ascending, ranges,
        late_codes, late_lows, late_alive, late_first_rows, late_first_ids, late_is_ascending, late_ranges,
        unanswered, distances, keys, sizes,
    )  # fmt: skip


@entry_kernel
def answer_by_scan(
    words: Any, query_bytes: Any, queries: Any, radii: Any, admitted: Any, is_count: Any,
    codes: Any, lows: Any, alive: Any, first_rows: Any, first_ids: Any, is_ascending: Any, ranges: Any,
    late_codes: Any, late_lows: Any, late_alive: Any, late_first_rows: Any, late_first_ids: Any,
    late_is_ascending: Any, late_ranges: Any, distances: Any, keys: Any, sizes: Any, unanswered: Any,
) -> None:  # fmt: skip
    """Do the same without tables, for codes of any number of words; see :func:`answer`."""
    _pad(query_bytes, queries)
    unanswered[:] = True
    _finish(
        words, queries, radii, admitted, is_count, codes, lows, alive, first_rows, first_ids, is_ascending, ranges,
        late_codes, late_lows, late_alive, late_first_rows, late_first_ids, late_is_ascending, late_ranges,
        unanswered, distances, keys, sizes,
    )  # fmt: skip
