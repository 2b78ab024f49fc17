"""Distance groups: what a ranking is when equal distances have no order, and where its top K cuts them.

A ranking by Hamming distance is a sequence of groups (n items, r of them relevant), nearest first. Here many
rankings are rows of two matrices whose columns are the groups; a group may be empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = ["BoolArray", "Cut", "FloatArray", "IntArray", "check_cutoffs", "check_groups", "cut_at", "row_slices"]

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MAX_BLOCK_CELLS = 1 << 20
"""Cells of a temporary matrix: 8 MB of float64, so that a dozen of them fit any cache and any machine."""


@dataclass(frozen=True)
class Cut:
    """The top K of many rankings, in terms of their groups.

    Attributes:
        items_before: int64 [p, t], items in nearer groups (N).
        relevant_before: int64 [p, t], relevant items in nearer groups (R).
        taken: int64 [p, t], items of the group that stand in the top K (m).
        is_whole: bool [p, t], the whole group stands in the top K.
        column: int64 [p], the group that K cuts, or the last group where K cuts none.
        is_cut: bool [p], K falls inside a group.
    """

    items_before: IntArray
    relevant_before: IntArray
    taken: IntArray
    is_whole: BoolArray
    column: IntArray
    is_cut: BoolArray

    def at_cut(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return, of a [p, t] matrix, each row's entry at the cut group: [p]."""
        return np.take_along_axis(matrix, self.column[:, None], axis=1)[:, 0]


def cut_at(items: IntArray, relevant: IntArray, k: IntArray) -> Cut:
    """Return how the top K falls on the groups.

    Args:
        items: int64 [p, t], items of each group.
        relevant: int64 [p, t], relevant items of each group.
        k: int64 [p], the cutoff of each row, at least 1.
    """
    before = np.cumsum(items, axis=1) - items
    taken = np.clip(k[:, None] - before, 0, items)
    is_partial = (taken > 0) & (taken < items)
    column = np.where(is_partial.any(axis=1), is_partial.argmax(axis=1), items.shape[1] - 1)
    return Cut(
        items_before=before,
        relevant_before=np.cumsum(relevant, axis=1) - relevant,
        taken=taken,
        is_whole=taken == items,
        column=column,
        is_cut=np.asarray(is_partial.any(axis=1)),
    )


def check_groups(
    items: NDArray[Any] | Sequence[Sequence[int]], relevant: NDArray[Any] | Sequence[Sequence[int]]
) -> tuple[IntArray, IntArray]:
    """Return both matrices as int64 [p, t] after checking them.

    Raises:
        BadInputError: If a shape is not [p, t] with t >= 1, a number is no integer, or not 0 <= r <= n.
    """
    n, r = np.asarray(items), np.asarray(relevant)
    if n.ndim != 2 or n.shape != r.shape or n.shape[1] == 0:
        raise BadInputError(f"groups have shapes {n.shape} and {r.shape}; expected two equal [rankings, groups]")
    for name, array in (("n", n), ("r", r)):
        if array.dtype.kind not in "iu":
            raise BadInputError(f"group sizes {name} have dtype {array.dtype}; expected integers")
    n, r = n.astype(np.int64, copy=False), r.astype(np.int64, copy=False)
    is_bad = (r < 0) | (r > n)
    if is_bad.any():
        row, column = np.argwhere(is_bad)[0]
        pair = (int(n[row, column]), int(r[row, column]))
        raise BadInputError(f"group {column} of ranking {row} is (n, r) = {pair}; expected 0 <= r <= n")
    return n, r


def check_cutoffs(k: int | IntArray, num_rows: int) -> IntArray:
    """Return the cutoff of each row, int64 [num_rows].

    Raises:
        BadInputError: If a cutoff is no integer of at least 1, or there is not one a row.
    """
    cutoffs = np.asarray(k)
    if cutoffs.dtype.kind not in "iu" or cutoffs.ndim > 1 or (cutoffs.size and cutoffs.min() < 1):
        raise BadInputError(f"K is {k!r}; expected an integer of at least 1, or one a ranking")
    if cutoffs.ndim == 1 and len(cutoffs) != num_rows:
        raise BadInputError(f"K has {len(cutoffs)} entries for {num_rows} rankings; expected one each")
    return np.broadcast_to(cutoffs.astype(np.int64), (num_rows,))


def row_slices(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Yield slices of rows whose matrices stay below ``MAX_BLOCK_CELLS`` cells."""
    step = max(1, MAX_BLOCK_CELLS // max(1, num_columns))
    for start in range(0, num_rows, step):
        yield slice(start, min(start + step, num_rows))
