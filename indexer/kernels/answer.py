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
def _finish(query: Any, main: Any, unanswered: Any, delta: Any, answers: Any) -> None:
    """Scan the main part for the queries that are not answered, and the delta for all."""
    if unanswered.any():
        scan_part(query, main, True, unanswered, answers)
    if not query.is_count:
        for at in range(unanswered.shape[0]):
            ids_of_rows(main.first_rows, main.first_ids, answers.keys[at], answers.sizes[at])
    unanswered[:] = True
    scan_part(query, delta, False, unanswered, answers)
    if not query.is_count:
        for at in range(unanswered.shape[0]):
            sort_pairs(answers.distances[at], answers.keys[at], answers.sizes[at])


@entry_kernel
def answer(query: Any, main: Any, tables: Any, width: Any, effort: Any, delta: Any, answers: Any) -> None:
    """Fill in ``answers`` with ordered (distance, frame id) pairs, or with counts, for codes of one word.

    Keys of the main part are rows while it is searched, since its ids grow with its rows; they become frame ids
    before the delta is scanned against the K-th distance that the main part left.

    Args:
        query: a :class:`~indexer.kernels.parts.Query`; its radii may be lowered.
        main: the large :class:`~indexer.kernels.parts.Part`, ids ascending, ranges cut to what is admitted.
        tables: the main part's :class:`~indexer.kernels.parts.Tables`.
        width: bits of a substring in the tables.
        effort: probe while that costs less than this share of a scan, a float.
        delta: the small :class:`~indexer.kernels.parts.Part`.
        answers: an :class:`~indexer.kernels.parts.Answers` whose sizes are 0.
    """
    unanswered = np.ones(query.codes.shape[0], np.bool_)
    budget = np.int64(effort * _scan_cost(main.ranges))
    for at in range(unanswered.shape[0]):
        unanswered[at] = not probe_part(query, at, main, tables, width, budget, answers)
    _finish(query, main, unanswered, delta, answers)


@entry_kernel
def answer_by_scan(query: Any, main: Any, delta: Any, answers: Any) -> None:
    """Do the same without tables, for codes of any number of words; see :func:`answer`."""
    _finish(query, main, np.ones(query.codes.shape[0], np.bool_), delta, answers)
