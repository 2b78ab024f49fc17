"""The tables of multi-index hashing: how many, over which bits, and how they are built."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from indexer.kernels.build import fill_table
from indexer.kernels.compiling import REST_BLOCK
from indexer.kernels.parts import Tables, no_tables

__all__ = ["MAX_TABLE_BITS", "MIN_TABLE_ROWS", "build_tables", "masks_by_ring", "plan_tables"]

MAX_TABLE_BITS = 64
"""Longer codes are only scanned: their K-th distances are so large that most buckets would have to be probed."""

MIN_TABLE_ROWS = 32_768
"""Below so many rows a scan takes a few microseconds, and buckets would be all but empty."""

# Probing more buckets than this costs more than scanning what fits into memory.
_MAX_MASKS = 131_072


def plan_tables(bits: int, num_rows: int, min_rows: int = MIN_TABLE_ROWS) -> tuple[int, int]:
    """Return the number of tables m and the bits of a substring b; (0, 0) where a scan is better.

    Substrings are disjoint, so that a code at distance d agrees with the query up to d // m bits in one of them;
    bits that no substring covers only make the true distance larger. Substrings of 16 bits or a few more leave
    about a hundred rows in a bucket, which are read in the time that another bucket takes to be found. Three tables
    keep memory below 36 bytes a code up to 48 bits (8 for the code and three times 4 for its rest and 4 for its
    row) and below 48 bytes up to 64 (the rest takes 8).
    """
    if bits > MAX_TABLE_BITS or num_rows < min_rows:
        return 0, 0
    num_tables = 1 if bits <= 16 else 2 if bits <= 32 else 3
    widest = max(16, int(np.log2(num_rows)) - 7)
    return num_tables, min(bits // num_tables, widest)


def build_tables(codes: NDArray[np.uint64], bits: int, num_tables: int, width: int) -> Tables:
    """Return tables over codes of ``bits`` bits, uint64 [n].

    Args:
        codes: uint64 [n].
        bits: length of a code, at most 64.
        num_tables: m; 0 for none.
        width: bits of a substring, at most bits // m.
    """
    if not num_tables:
        return no_tables()
    masks, rings = masks_by_ring(width)
    is_compact = bits - width <= 32
    shape = (num_tables, len(codes) + REST_BLOCK)
    tables = Tables(
        np.empty((num_tables, (1 << width) + 1), np.uint32),
        np.zeros(shape, np.uint32) if is_compact else np.zeros(shape, np.uint64),
        np.empty((num_tables, len(codes)), np.uint32),
        masks,
        rings,
        width,
    )
    free = np.empty(1 << width, np.uint32)
    for table in range(num_tables):
        fill_table(codes, table * width, width, tables.offsets[table], tables.rests[table], tables.rows[table], free)
    return tables


@lru_cache(maxsize=8)
def masks_by_ring(width: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the numbers of ``width`` bits by their count of set bits, and where each count begins.

    Rings that would make more than a bound of masks are left out.
    """
    if not width:
        return np.zeros(0, np.uint32), np.zeros(1, np.int64)
    masks = np.arange(1 << width, dtype=np.uint32)
    ones = np.bitwise_count(masks)
    rings = np.concatenate(([0], np.cumsum(np.bincount(ones, minlength=width + 1))))
    rings = rings[rings <= _MAX_MASKS]
    kept = masks[np.argsort(ones, kind="stable")][: rings[-1]]
    return kept, rings.astype(np.int64)
