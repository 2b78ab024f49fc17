"""What a search hands to the kernels: arrays in named bundles.

A bundle is passed with a star and put together again by the kernel: numba needs microseconds to take a named tuple
of Python's apart, and nothing to make one of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answers", "Part", "Query", "Tables", "make_answers", "no_tables"]


class Query(NamedTuple):
    """What is asked.

    Attributes:
        codes: uint8 [q, w].
        padded: uint64 [q, words], scratch for the same in whole words.
        radii: int32 [q], the largest distance of interest; a search may lower them.
        admitted: int64 [m, 2], the half-open id ranges to consider; sorted, disjoint.
        is_count: whether frames are only counted.
    """

    codes: NDArray[np.uint8]
    padded: NDArray[np.uint64]
    radii: NDArray[np.int32]
    admitted: NDArray[np.int64]
    is_count: bool


class Part(NamedTuple):
    """Codes in rows, with the ids of those rows.

    Attributes:
        codes: uint64 [n * words], one code after the other.
        lows: uint32 [n], the low halves of one-word codes, or empty.
        alive: uint64 bitmap of the rows, or empty where no row is dead.
        first_rows: int64 [r], as in :class:`indexer.runs.Runs`.
        first_ids: int64 [r].
        run_marks: int32, the run of every 256th row, and the last run; or empty.
        is_ascending: whether ids grow with rows.
        ranges: int64 [m, 2], the half-open row ranges to consider; sorted, disjoint.
    """

    codes: NDArray[np.uint64]
    lows: NDArray[np.uint32]
    alive: NDArray[np.uint64]
    first_rows: NDArray[np.int64]
    first_ids: NDArray[np.int64]
    run_marks: NDArray[np.int32]
    is_ascending: bool
    ranges: NDArray[np.int64]


class Tables(NamedTuple):
    """Multi-index hashing: for each of m substrings of a code, the rows in the order of that substring.

    Attributes:
        offsets: uint32 [m, 2**b + 1], where each bucket begins in the two arrays below.
        rests: uint32 or uint64 [m, n + padding]: in bucket order, a code without the bits of its substring where
            that fits into 32 bits, else the whole code.
        rows: uint32 [m, n], the row of each, ascending within a bucket.
        masks: uint32, every value of b bits in the order of its number of set bits (up to a bound).
        rings: int64 [r + 2], where the masks with 0, 1, ... r set bits begin.
        width: b, the bits of a substring.
    """

    offsets: NDArray[np.uint32]
    rests: NDArray[np.uint32] | NDArray[np.uint64]
    rows: NDArray[np.uint32]
    masks: NDArray[np.uint32]
    rings: NDArray[np.int64]
    width: int


class Answers(NamedTuple):
    """Where kernels leave what they find.

    Attributes:
        distances: int32 [q, k].
        keys: int64 [q, k], frame ids once the search has ended.
        sizes: int64 [q], zeros; how many pairs, or frames counted, there are.
        unanswered: bool [q], scratch.
    """

    distances: NDArray[np.int32]
    keys: NDArray[np.int64]
    sizes: NDArray[np.int64]
    unanswered: NDArray[np.bool_]


def make_answers(num_queries: int, room: int) -> Answers:
    """Return empty answers of at most ``room`` pairs for each query."""
    shape = (num_queries, room)
    sizes, unanswered = np.zeros(num_queries, np.int64), np.empty(num_queries, np.bool_)
    return Answers(np.empty(shape, np.int32), np.empty(shape, np.int64), sizes, unanswered)


def no_tables() -> Tables:
    """Return the tables of a part that is only ever scanned."""
    none = np.zeros((0, 0), np.uint32)
    return Tables(np.zeros((0, 1), np.uint32), none, none, np.zeros(0, np.uint32), np.zeros(1, np.int64), 0)
