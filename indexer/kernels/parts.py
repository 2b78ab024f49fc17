"""What a search hands to the kernels: arrays in named bundles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_TABLES", "Answers", "Part", "Query", "Tables", "no_tables"]


class Part(NamedTuple):
    """Codes in rows, with the ids of those rows.

    Attributes:
        codes: uint64 [n * words], one code after the other.
        alive: uint64 bitmap of the rows, or empty where no row is dead.
        first_rows: int64 [r], as in :class:`indexer.runs.Runs`.
        first_ids: int64 [r].
        is_ascending: whether ids grow with rows.
        ranges: int64 [m, 2], the half-open row ranges to consider.
    """

    codes: NDArray[np.uint64]
    alive: NDArray[np.uint64]
    first_rows: NDArray[np.int64]
    first_ids: NDArray[np.int64]
    is_ascending: bool
    ranges: NDArray[np.int64]


class Tables(NamedTuple):
    """Multi-index hashing: for each of m substrings of a code, the rows in the order of that substring.

    Attributes:
        offsets: uint32 [m, 2**b + 1], where each bucket begins in the two arrays below.
        rests: uint32 or uint64 [m, n + padding]: in bucket order, a code without the bits of its substring where
            that fits into 32 bits, else the whole code.
        rows: uint32 [m, n], the row of each, ascending within a bucket.
        places: int64 [m, m], the lowest bit of substring u inside the rests of table t.
        masks: uint32, every value of b bits in the order of its number of set bits (up to a bound).
        rings: int64 [r + 2], where the masks with 0, 1, ... r set bits begin.
    """

    offsets: NDArray[np.uint32]
    rests: NDArray[np.uint32] | NDArray[np.uint64]
    rows: NDArray[np.uint32]
    places: NDArray[np.int64]
    masks: NDArray[np.uint32]
    rings: NDArray[np.int64]


class Query(NamedTuple):
    """Attributes.

    words: a tuple of as many zeros as a code has 64-bit words; its length is known when kernels are compiled.
    codes: uint64 [q, words].
    radii: int32 [q], the largest distance of interest.
    admitted: int64 [m, 2], the half-open id ranges to consider; sorted, disjoint.
    is_count: whether rows are only counted.
    """

    words: tuple[int, ...]
    codes: NDArray[np.uint64]
    radii: NDArray[np.int32]
    admitted: NDArray[np.int64]
    is_count: bool


class Answers(NamedTuple):
    """Where kernels leave what they find.

    Attributes:
        distances: int32 [q, k].
        keys: int64 [q, k], frame ids once the search has ended.
        sizes: int64 [q], how many pairs, or rows counted, there are.
    """

    distances: NDArray[np.int32]
    keys: NDArray[np.int64]
    sizes: NDArray[np.int64]


def no_tables() -> Tables:
    """Return the tables of a part that is only ever scanned."""
    return Tables(
        np.zeros((0, 1), np.uint32),
        np.zeros((0, 0), np.uint32),
        np.zeros((0, 0), np.uint32),
        np.zeros((0, 0), np.int64),
        np.zeros(0, np.uint32),
        np.zeros(1, np.int64),
    )


NO_TABLES = no_tables()
