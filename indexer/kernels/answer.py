"""One call from Python answers a batch of queries over the main structure and the delta."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import entry_kernel, kernel
from indexer.kernels.heap import sort_pairs
from indexer.kernels.parts import Answers, Part, Query, Tables
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
def _finish(words: Any, query: Any, main: Any, delta: Any, answers: Any) -> None:
    """Scan the main part for the queries that are not answered, and the delta for all."""
    scan_part(words, query, main, True, answers)
    for at in range(answers.sizes.shape[0]):
        answers.unanswered[at] = True
        if not query.is_count:
            ids_of_rows(main.first_rows, main.first_ids, main.run_marks, answers.keys[at], answers.sizes[at])
    scan_part(words, query, delta, False, answers)
    if not query.is_count:
        for at in range(answers.sizes.shape[0]):
            sort_pairs(answers.distances[at], answers.keys[at], answers.sizes[at])


@entry_kernel
def answer(
    words: Any, effort: Any,
    q_codes: Any, q_padded: Any, q_radii: Any, q_admitted: Any, q_is_count: Any,
    m_codes: Any, m_lows: Any, m_alive: Any, m_rows: Any, m_ids: Any, m_marks: Any, m_ascending: Any, m_ranges: Any,
    t_offsets: Any, t_rests: Any, t_rows: Any, t_masks: Any, t_rings: Any, t_width: Any,
    d_codes: Any, d_lows: Any, d_alive: Any, d_rows: Any, d_ids: Any, d_marks: Any, d_ascending: Any, d_ranges: Any,
    a_distances: Any, a_keys: Any, a_sizes: Any, a_unanswered: Any,
) -> None:  # fmt: skip
    """Fill in ordered (distance, frame id) pairs, or counts, for codes of one word.

    Keys of the main part are rows while it is searched, since its ids grow with its rows; they become frame ids
    before the delta is scanned against the K-th distance that the main part left.

    Takes, in this order: a tuple as long as a code has 64-bit words (one); the share of a scan's cost that probing
    may take; and the bundles of :mod:`indexer.kernels.parts`, each with a star: the query, the main part (ids
    ascending, ranges cut to what is admitted), its tables, the delta, and the answers to fill in.
    """
    query = Query(q_codes, q_padded, q_radii, q_admitted, q_is_count)
    main = Part(m_codes, m_lows, m_alive, m_rows, m_ids, m_marks, m_ascending, m_ranges)
    tables = Tables(t_offsets, t_rests, t_rows, t_masks, t_rings, t_width)
    delta = Part(d_codes, d_lows, d_alive, d_rows, d_ids, d_marks, d_ascending, d_ranges)
    answers = Answers(a_distances, a_keys, a_sizes, a_unanswered)
    _pad(q_codes, q_padded)
    budget = np.int64(effort * _scan_cost(m_ranges))
    for at in range(a_sizes.shape[0]):
        a_unanswered[at] = not probe_part(query, at, main, tables, budget, answers)
    _finish(words, query, main, delta, answers)


@entry_kernel
def answer_by_scan(
    words: Any,
    q_codes: Any, q_padded: Any, q_radii: Any, q_admitted: Any, q_is_count: Any,
    m_codes: Any, m_lows: Any, m_alive: Any, m_rows: Any, m_ids: Any, m_marks: Any, m_ascending: Any, m_ranges: Any,
    d_codes: Any, d_lows: Any, d_alive: Any, d_rows: Any, d_ids: Any, d_marks: Any, d_ascending: Any, d_ranges: Any,
    a_distances: Any, a_keys: Any, a_sizes: Any, a_unanswered: Any,
) -> None:  # fmt: skip
    """Do the same without tables, for codes of any number of words; see :func:`answer`."""
    query = Query(q_codes, q_padded, q_radii, q_admitted, q_is_count)
    main = Part(m_codes, m_lows, m_alive, m_rows, m_ids, m_marks, m_ascending, m_ranges)
    delta = Part(d_codes, d_lows, d_alive, d_rows, d_ids, d_marks, d_ascending, d_ranges)
    _pad(q_codes, q_padded)
    a_unanswered[:] = True
    _finish(words, query, main, delta, Answers(a_distances, a_keys, a_sizes, a_unanswered))
