"""The main structure of the exact index: rows in the order of frame ids, never changed once built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.kernels.build import fold_parts
from indexer.kernels.parts import Part, Tables, no_tables
from indexer.kernels.rows import MARK_SHIFT
from indexer.multi_index import build_tables, masks_by_ring, plan_tables
from indexer.ranges import Ranges
from indexer.rowstore import RowState
from indexer.runs import Runs

__all__ = ["ALL_ALIVE", "NO_LOWS", "NO_MARKS", "SortedPart", "empty_part", "fold"]

IntArray = NDArray[np.int64]

NO_LOWS = np.empty(0, np.uint32)
"""The low halves of a part that is scanned too rarely to keep them."""

NO_MARKS = np.empty(0, np.int32)
"""For a part with few runs, which are searched without marks."""

ALL_ALIVE = np.empty(0, np.uint64)
"""The bitmap of a part without dead rows."""


@dataclass(frozen=True)
class SortedPart:
    """Codes, runs and tables.

    Attributes:
        codes: uint64 [n * words].
        first_rows: int64 [r] ascending, the first row of each run of consecutive ids.
        first_ids: int64 [r] ascending, its frame id.
        run_marks: int32, the run of every 256th row and, at the end, the last run.
        tables: as in :class:`~indexer.kernels.parts.Tables`.
        num_rows: n.
    """

    codes: NDArray[np.uint64]
    first_rows: IntArray
    first_ids: IntArray
    run_marks: NDArray[np.int32]
    tables: Tables
    num_rows: int

    def rows_before(self, ids: IntArray) -> IntArray:
        """Return how many rows have an id below each of ``ids``, int64 [n]."""
        if not self.num_rows:
            return np.zeros(len(ids), np.int64)
        run = np.searchsorted(self.first_ids, ids, "right") - 1
        ends = np.append(self.first_rows[1:], self.num_rows)
        inside = self.first_rows[run] + np.minimum(ids - self.first_ids[run], ends[run] - self.first_rows[run])
        return np.where(run < 0, 0, inside)

    def row_ranges(self, ranges: Ranges | None) -> Ranges:
        """Return the rows of the frames inside id ranges, as half-open row ranges that are not empty."""
        if ranges is None:
            return np.array([[0, self.num_rows]], np.int64)
        rows = self.rows_before(ranges.reshape(-1)).reshape(-1, 2)
        return rows[rows[:, 1] > rows[:, 0]]

    def ids_of(self, rows: IntArray) -> IntArray:
        """Return the frame id of each row."""
        run = np.searchsorted(self.first_rows, rows, "right") - 1
        return self.first_ids[run] + (rows - self.first_rows[run])

    def part(self, alive: NDArray[np.uint64], row_ranges: Ranges) -> Part:
        """Return the bundle that kernels take."""
        return Part(self.codes, NO_LOWS, alive, self.first_rows, self.first_ids, self.run_marks, True, row_ranges)

    def as_rows(self, alive: NDArray[np.uint64], dead: int, words: int) -> RowState:
        """Return the part as rows that a scan can work on; codes are shared.

        Args:
            alive: its bitmap.
            dead: how many of its rows are dead.
            words: 64-bit words of a code.
        """
        starts, lengths = self.first_rows, np.diff(self.first_rows, append=self.num_rows)
        bitmap = alive.view(np.uint8) if dead else None
        if bitmap is not None:
            bits = np.unpackbits(bitmap, count=self.num_rows, bitorder="little")
            changes = np.flatnonzero(bits[1:] != bits[:-1]) + 1
            edges = np.unique(np.concatenate((changes, self.first_rows, [self.num_rows])))
            lives = bits[edges[:-1]] == 1
            starts, lengths = edges[:-1][lives], np.diff(edges)[lives]
        runs = Runs(self.first_rows, self.first_ids, self.ids_of(starts), starts, lengths)
        return RowState(self.codes.reshape(-1, words), runs, bitmap, self.num_rows - dead, True)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything but the masks, by name."""
        return {
            "codes": self.codes,
            "first_rows": self.first_rows,
            "first_ids": self.first_ids,
            "run_marks": self.run_marks,
            "offsets": self.tables.offsets,
            "rests": self.tables.rests,
            "table_rows": self.tables.rows,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], num_words: int, width: int) -> SortedPart:
        """Return the part that :meth:`arrays` described."""
        masks, rings = masks_by_ring(width)
        tables = Tables(arrays["offsets"], arrays["rests"], arrays["table_rows"], masks, rings, width)
        codes = arrays["codes"]
        runs = arrays["first_rows"], arrays["first_ids"], arrays["run_marks"]
        return cls(codes, *runs, tables, len(codes) // num_words)

    @property
    def last_id(self) -> int:
        """The largest frame id; -1 where there is none."""
        return int(self.first_ids[-1] + self.num_rows - 1 - self.first_rows[-1]) if self.num_rows else -1

    @property
    def num_bytes(self) -> int:
        """Memory in bytes, the masks that all parts share left out."""
        return sum(array.nbytes for array in self.arrays().values())


def empty_part() -> SortedPart:
    """Return a part without rows."""
    none = np.empty(0, np.int64)
    return SortedPart(np.empty(0, np.uint64), none, none, NO_MARKS, no_tables(), 0)


def fold(
    main: SortedPart, alive: NDArray[np.uint64], dead: int, delta: RowState, bits: int, table_rows: int
) -> SortedPart:
    """Return a new part with the live rows of both, beside which the old ones go on answering.

    Args:
        main: the part so far.
        alive: its bitmap.
        dead: how many of its rows are dead.
        delta: rows that came since.
        bits: length of a code.
        table_rows: build tables only for at least so many rows.
    """
    words = delta.codes.shape[1]
    delta_ids, delta_rows = delta.in_order(None)
    total = main.num_rows - dead + len(delta_ids)
    codes = np.empty(total * words, np.uint64)
    # Room for one run a row; the operating system gives memory only to what is written.
    first_rows, first_ids = np.empty(total, np.int64), np.empty(total, np.int64)
    runs = fold_parts(
        main.codes, alive, main.first_rows, main.first_ids, delta.codes.reshape(-1), delta_rows, delta_ids,
        words, codes, first_rows, first_ids,
    )  # fmt: skip
    num_tables, width = plan_tables(bits, total, table_rows)
    tables = build_tables(codes, bits, num_tables, width)
    rows, ids = first_rows[:runs].copy(), first_ids[:runs].copy()
    return SortedPart(codes, rows, ids, _marks(rows, total), tables, total)


def _marks(first_rows: IntArray, num_rows: int) -> NDArray[np.int32]:
    rows = np.arange(0, num_rows, 1 << MARK_SHIFT)
    runs = np.searchsorted(first_rows, rows, "right") - 1
    return np.append(runs, len(first_rows) - 1).astype(np.int32)
