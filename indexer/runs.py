"""Which row holds which frame, without an id a row.

Frames of a chunk have consecutive ids and stand in consecutive rows, so a run (first row, first id, length)
stands for all of them: about 24 bytes a chunk in place of 8 bytes a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import ConflictError
from indexer.buffers import Column
from indexer.ranges import Ranges, expand, overlaps

__all__ = ["RowMap", "Runs", "split_into_runs"]

IntArray = NDArray[np.int64]


def split_into_runs(ids: IntArray) -> tuple[IntArray, IntArray]:
    """Return where each run of consecutive ids begins, and its length, int64 [r] each."""
    if not len(ids):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    starts = np.concatenate(([0], np.flatnonzero(ids[1:] != ids[:-1] + 1) + 1))
    return starts, np.diff(starts, append=len(ids))


@dataclass(frozen=True)
class Runs:
    """The map at one moment. All arrays int64.

    Attributes:
        first_rows: [r] ascending, the first row of each run ever added.
        first_ids: [r], its first frame id.
        live_ids: [s] ascending, the first frame id of each run of live frames.
        live_rows: [s], its first row.
        live_lengths: [s], its length.
    """

    first_rows: IntArray
    first_ids: IntArray
    live_ids: IntArray
    live_rows: IntArray
    live_lengths: IntArray

    def ids_of(self, rows: IntArray) -> IntArray:
        """Return the frame id of each row, also of dead ones."""
        run = np.searchsorted(self.first_rows, rows, "right") - 1
        return self.first_ids[run] + (rows - self.first_rows[run])

    def rows_of(self, ids: IntArray) -> IntArray:
        """Return the row of each frame id, -1 where it is not alive."""
        if not len(self.live_ids):
            return np.full(len(ids), -1, np.int64)
        run = np.searchsorted(self.live_ids, ids, "right") - 1
        offset = ids - self.live_ids[run]
        return np.where((run >= 0) & (offset < self.live_lengths[run]), self.live_rows[run] + offset, -1)

    def pieces(self, ranges: Ranges | None) -> tuple[IntArray, IntArray, IntArray]:
        """Return the live runs cut down to ``ranges``: first ids (ascending), first rows, lengths."""
        if ranges is None:
            return self.live_ids, self.live_rows, self.live_lengths
        live_ends = self.live_ids + self.live_lengths
        first, last = overlaps(self.live_ids, live_ends, ranges)
        run, which = expand(first, last), np.repeat(np.arange(len(ranges)), np.maximum(last - first, 0))
        ids = np.maximum(self.live_ids[run], ranges[which, 0])
        ends = np.minimum(live_ends[run], ranges[which, 1])
        return ids, self.live_rows[run] + (ids - self.live_ids[run]), ends - ids


class RowMap:
    """The writer's side: adds and removes frames and freezes :class:`Runs` for readers."""

    def __init__(self, runs: Runs | None = None) -> None:
        none = np.empty(0, np.int64)
        source = runs or Runs(none, none, none, none, none)
        self._first_rows, self._first_ids = Column(source.first_rows), Column(source.first_ids)
        self._set_live(source.live_ids, source.live_rows, source.live_lengths)

    def _set_live(self, ids: IntArray, rows: IntArray, lengths: IntArray) -> None:
        self._live_ids, self._live_rows, self._live_lengths = Column(ids), Column(rows), Column(lengths)

    def freeze(self) -> Runs:
        """Return the present map; later changes do not touch it."""
        return Runs(
            self._first_rows.view(),
            self._first_ids.view(),
            self._live_ids.view(),
            self._live_rows.view(),
            self._live_lengths.view(),
        )

    def add(self, ids: IntArray, first_row: int) -> None:
        """Map ``first_row + i`` to ``ids[i]``.

        Raises:
            ConflictError: If an id is alive.
        """
        starts, lengths = split_into_runs(ids)
        firsts = ids[starts]
        order = np.argsort(firsts, kind="stable")
        self._check_free(firsts[order], lengths[order])
        self._first_rows.append(starts + first_row)
        self._first_ids.append(firsts)
        self._insert(firsts[order], (starts + first_row)[order], lengths[order])

    def _check_free(self, firsts: IntArray, lengths: IntArray) -> None:
        live_ids = self._live_ids.view()
        if not len(live_ids) or not len(firsts) or firsts[0] >= live_ids[-1] + self._live_lengths.view()[-1]:
            return
        taken = self.freeze().pieces(np.stack([firsts, firsts + lengths], axis=1))[0]
        if len(taken):
            raise ConflictError(f"frame id {taken[0]} is in the index already; delete it before adding it again")

    def _insert(self, ids: IntArray, rows: IntArray, lengths: IntArray) -> None:
        live_ids = self._live_ids.view()
        if not len(live_ids) or (len(ids) and ids[0] > live_ids[-1]):
            self._live_ids.append(ids)
            self._live_rows.append(rows)
            self._live_lengths.append(lengths)
            return
        at = np.searchsorted(live_ids, ids)
        self._set_live(
            np.insert(live_ids, at, ids),
            np.insert(self._live_rows.view(), at, rows),
            np.insert(self._live_lengths.view(), at, lengths),
        )

    def remove(self, ranges: Ranges) -> Ranges:
        """Remove every live frame in ``ranges`` (normal form); return their rows as ranges, int64 [m, 2]."""
        runs = self.freeze()
        ids, rows, lengths = runs.pieces(ranges)
        if not len(ids):
            return np.empty((0, 2), np.int64)
        touched = np.searchsorted(runs.live_ids, [ids[0], ids[-1]], "right") - 1
        low, high = int(touched[0]), int(touched[1]) + 1
        self._replace(runs, low, high, _remainders(runs, low, high, ranges))
        return np.stack([rows, rows + lengths], axis=1)

    def _replace(self, runs: Runs, low: int, high: int, kept: tuple[IntArray, IntArray, IntArray]) -> None:
        before: tuple[Any, ...] = (runs.live_ids, runs.live_rows, runs.live_lengths)
        self._set_live(*(np.concatenate((old[:low], new, old[high:])) for old, new in zip(before, kept, strict=True)))


def _remainders(runs: Runs, low: int, high: int, ranges: Ranges) -> tuple[IntArray, IntArray, IntArray]:
    """Return what is left of the live runs low..high-1 outside ``ranges``."""
    touched = Runs(
        runs.first_rows,
        runs.first_ids,
        runs.live_ids[low:high],
        runs.live_rows[low:high],
        runs.live_lengths[low:high],
    )
    start, end = touched.live_ids[0], touched.live_ids[-1] + touched.live_lengths[-1]
    firsts = np.concatenate(([start], ranges[:, 1]))
    ends = np.concatenate((ranges[:, 0], [end]))
    gaps = np.stack([firsts, ends], axis=1)
    return touched.pieces(gaps[ends > firsts])
