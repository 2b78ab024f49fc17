"""Rows in the order of their arrival: codes, which of them live, and under which frame ids.

A :class:`RowState` is what searches work on; it never changes. A :class:`RowStore` is the writer that makes one
state after another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.buffers import Column, clear_bits, filled_bitmap, grown_bitmap
from indexer.ranges import Ranges, expand, ranges_of_ids
from indexer.runs import RowMap, Runs

__all__ = ["RowState", "RowStore", "compacted", "no_rows"]

Words = NDArray[np.uint64]

_lineages = itertools.count(1)


@dataclass(frozen=True)
class RowState:
    """Rows at one moment.

    Attributes:
        codes: uint64 [n, words].
        runs: the map between rows and frame ids.
        alive: a bitmap of the rows, uint8; None while no row is dead.
        count: live rows.
        is_ascending: whether ids grow with rows.
        lineage: equal for states of one store, whose rows keep their numbers.
    """

    codes: Words
    runs: Runs
    alive: NDArray[np.uint8] | None
    count: int
    is_ascending: bool
    lineage: int = 0

    @property
    def dead(self) -> int:
        """The number of dead rows."""
        return len(self.codes) - self.count

    def in_order(self, ranges: Ranges | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the live frame ids inside ``ranges``, ascending, and their rows, int64 [n] each."""
        firsts, rows, lengths = self.runs.pieces(ranges)
        return expand(firsts, firsts + lengths), expand(rows, rows + lengths)

    def blocks(self, ranges: Ranges | None, block: int) -> Iterator[tuple[NDArray[np.int64], Words]]:
        """Yield live frames in the order of their ids, as (int64 [b], uint64 [b, words])."""
        ids, rows = self.in_order(ranges)
        for start in range(0, len(ids), block):
            yield ids[start : start + block], self.codes[rows[start : start + block]]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything this state consists of, by name."""
        held: dict[str, NDArray[Any]] = {
            "codes": self.codes,
            "first_rows": self.runs.first_rows,
            "first_ids": self.runs.first_ids,
            "live_ids": self.runs.live_ids,
            "live_rows": self.runs.live_rows,
            "live_lengths": self.runs.live_lengths,
        }
        if self.alive is not None:
            held["alive"] = self.alive[: (len(self.codes) + 63) // 64 * 8]
        return held

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], count: int, is_ascending: bool) -> RowState:
        """Return the state that :meth:`arrays` described."""
        names = ("first_rows", "first_ids", "live_ids", "live_rows", "live_lengths")
        runs = Runs(*(arrays[name] for name in names))
        return cls(arrays["codes"], runs, arrays.get("alive"), count, is_ascending)


def no_rows(num_words: int) -> RowState:
    """Return the empty state."""
    none = np.empty(0, np.int64)
    runs = Runs(none, none, none, none, none)
    return RowState(np.empty((0, num_words), np.uint64), runs, None, 0, True)


def compacted(state: RowState) -> RowState:
    """Return the same frames in the order of their ids, without dead rows."""
    firsts, rows, lengths = state.runs.pieces(None)
    first_rows = np.cumsum(lengths) - lengths
    runs = Runs(first_rows, firsts, firsts, first_rows, lengths)
    codes = state.codes[expand(rows, rows + lengths)]
    return RowState(codes, runs, None, len(codes), True)


class RowStore:
    """The writer; the caller sees to it that there is one at a time.

    Args:
        state: where to begin; its arrays are not copied and may be memory-mapped.
    """

    def __init__(self, state: RowState) -> None:
        self._lineage = next(_lineages)
        self._codes = Column(state.codes)
        self._map = RowMap(state.runs)
        self._alive = state.alive
        self._count = state.count
        self._is_ascending = state.is_ascending
        self._last_id = int(state.runs.live_ids[-1] + state.runs.live_lengths[-1] - 1) if state.count else -1

    def state(self) -> RowState:
        """Return the present rows; later writes do not change what it holds."""
        return RowState(
            self._codes.view(),
            self._map.freeze(),
            self._alive,
            self._count,
            self._is_ascending,
            self._lineage,
        )

    def add(self, ids: NDArray[np.int64], codes: Words) -> None:
        """Append rows.

        Raises:
            ConflictError: If an id is alive; nothing has changed then.
        """
        if not len(ids):
            return
        self._map.add(ids, len(self._codes))
        self._codes.append(codes)
        if self._alive is not None:
            self._alive = grown_bitmap(self._alive, len(self._codes))
        self._count += len(ids)
        self._is_ascending = self._is_ascending and bool(ids[0] > self._last_id and (np.diff(ids) > 0).all())
        self._last_id = max(self._last_id, int(ids.max()))

    def remove(self, ranges: Ranges) -> int:
        """Mark the live rows of the frames inside ``ranges`` (normal form) as dead; return how many."""
        rows = self._map.remove(ranges)
        removed = int((rows[:, 1] - rows[:, 0]).sum())
        if removed:
            # Searches that run hold the old bitmap, so it is copied before bits are cleared.
            alive = filled_bitmap(len(self._codes)) if self._alive is None else self._alive.copy()
            clear_bits(alive, rows)
            self._alive = alive
            self._count -= removed
        return removed

    def since(self, first_row: int) -> RowState:
        """Return the state without the rows before ``first_row``, which begins an :meth:`add`."""
        state, runs = self.state(), self._map.freeze()
        late, live = runs.first_rows >= first_row, runs.live_rows >= first_row
        kept = Runs(
            runs.first_rows[late] - first_row,
            runs.first_ids[late],
            runs.live_ids[live],
            runs.live_rows[live] - first_row,
            runs.live_lengths[live],
        )
        count = int(kept.live_lengths.sum())
        codes = state.codes[first_row:].copy()
        return RowState(codes, kept, self._alive_since(first_row, count), count, state.is_ascending)

    def _alive_since(self, first_row: int, count: int) -> NDArray[np.uint8] | None:
        num_rows = len(self._codes) - first_row
        if self._alive is None or count == num_rows:
            return None
        bits = np.unpackbits(self._alive, bitorder="little")[first_row : first_row + num_rows]
        alive = filled_bitmap(num_rows)
        clear_bits(alive, ranges_of_ids(np.flatnonzero(bits == 0)))
        return alive
