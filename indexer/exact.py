"""Our own exact kind: multi-index hashing over a large main part, a scan over what came since.

Writes go to the delta; deletions clear a bit. When the delta has grown or too many rows are dead, a background
thread folds everything into a new main part beside the old one, which answers until the two are swapped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from hashreel.errors import ConflictError, NotFoundError
from indexer.arguments import bytes_of, check_frame_ids, check_new_frames, pad_codes
from indexer.buffers import Column, clear_bits, filled_bitmap
from indexer.index import Found, Index, allowed_ranges
from indexer.kernels.answer import answer, answer_by_scan
from indexer.kernels.parts import Answers, Part, make_answers
from indexer.kernels.rows import count_alive, list_alive
from indexer.kernels.weighted import answer_weighted
from indexer.multi_index import MIN_TABLE_ROWS
from indexer.ranges import MAX_FRAME_ID, Ranges, check_ranges, ranges_of_ids
from indexer.rowstore import RowState, RowStore, no_rows
from indexer.sorted_part import ALL_ALIVE, NO_LOWS, NO_MARKS, SortedPart, empty_part, fold
from indexer.storage import load_arrays, save_arrays
from indexer.weighted import check_weighted

__all__ = ["ExactIndex"]

logger = logging.getLogger(__name__)

_EVERYTHING = np.array([[0, MAX_FRAME_ID + 1]], np.int64)


@dataclass(frozen=True)
class _State:
    """What one search sees: the main part, its live rows, and the delta with the low halves of its codes."""

    main: SortedPart
    alive: NDArray[np.uint64]
    dead: int
    delta: RowState
    lows: NDArray[np.uint32]

    @cached_property
    def count(self) -> int:
        return self.main.num_rows - self.dead + self.delta.count

    @cached_property
    def whole(self) -> Part:
        return self.main.part(self.alive, self.main.row_ranges(None))

    @cached_property
    def recent(self) -> Part:
        delta = self.delta
        alive = ALL_ALIVE if delta.alive is None else delta.alive.view(np.uint64)
        rows = np.array([[0, len(delta.codes)]], np.int64)
        codes, runs = delta.codes.reshape(-1), delta.runs
        return Part(codes, self.lows, alive, runs.first_rows, runs.first_ids, NO_MARKS, delta.is_ascending, rows)

    def most(self, ranges: Ranges | None) -> int:
        """Return how many frames there are at most inside id ranges."""
        if ranges is None:
            return self.count
        rows = self.main.row_ranges(ranges)
        return min(int((rows[:, 1] - rows[:, 0]).sum()) + self.delta.count, self.count)


class ExactIndex(Index):
    """Exact search that touches a few thousand codes of ten million.

    Codes of up to 64 bits are found by multi-index hashing once there are enough of them; longer ones, small
    galleries, and searches that would probe too many buckets are scanned by blocks.

    Args:
        bits: length of a code, in [8, 256].
        delta_rows: fold the delta into the main part when it has more rows than this ...
        delta_share: ... and more than this share of the main part's.
        dead_share: fold when more than this share of all rows is deleted.
        table_rows: build tables only for at least so many rows.
        probe_effort: probe tables while that costs less than this share of a scan.
        background: whether folding starts by itself; else only :meth:`compact` folds.
    """

    kind = "exact"

    def __init__(
        self,
        bits: int,
        delta_rows: int = 65_536,
        delta_share: float = 1 / 64,
        dead_share: float = 0.25,
        table_rows: int = MIN_TABLE_ROWS,
        probe_effort: float = 0.5,
        background: bool = True,
    ) -> None:
        super().__init__(bits)
        self._limits = (delta_rows, delta_share, dead_share)
        self._table_rows = table_rows
        self._effort = probe_effort
        self._background = background
        self._words = (0,) * self.num_words
        self._writing = threading.Lock()
        self._turn = threading.Condition(self._writing)
        self._is_folding = False
        self._waiting = 0
        self._deleted_meanwhile: list[Ranges] | None = None
        self._not_before = 0
        self._folds = 0
        self._begin(empty_part(), ALL_ALIVE, 0, no_rows(self.num_words))

    def _begin(self, main: SortedPart, alive: NDArray[np.uint64], dead: int, delta: RowState) -> None:
        self._delta = RowStore(delta)
        self._lows = Column(self._low_halves(delta.codes))
        self._publish(main, alive, dead)

    def _publish(self, main: SortedPart, alive: NDArray[np.uint64], dead: int) -> None:
        self._state = _State(main, alive, dead, self._delta.state(), self._lows.view())

    def _low_halves(self, codes: NDArray[np.uint64]) -> NDArray[np.uint32]:
        return codes[:, 0].astype(np.uint32) if self.num_words == 1 else NO_LOWS

    # Writing

    def add(self, frame_ids: NDArray[Any], codes: NDArray[Any]) -> None:
        ids, array = check_new_frames(frame_ids, codes, self.bits)
        if not len(ids):
            return
        words = pad_codes(array, self.num_words)
        with self._writing:
            state = self._state
            _check_absent(state, ids)
            self._delta.add(ids, words)
            self._lows.append(self._low_halves(words))
            self._publish(state.main, state.alive, state.dead)
            self._fold_if_due()

    def delete_ranges(self, ranges: NDArray[Any]) -> int:
        wanted = check_ranges(ranges)
        with self._writing:
            state = self._state
            alive, removed = _buried(state.main, state.alive, wanted)
            removed_late = self._delta.remove(wanted)
            if removed + removed_late:
                self._publish(state.main, alive, state.dead + removed)
            if self._deleted_meanwhile is not None:
                self._deleted_meanwhile.append(wanted)
            self._fold_if_due()
        return removed + removed_late

    # Folding

    def _is_due(self) -> bool:
        delta_rows, delta_share, dead_share = self._limits
        state = self._state
        late, rows = len(state.delta.codes), state.main.num_rows + len(state.delta.codes)
        dead = state.dead + state.delta.dead
        grown = late > max(delta_rows, delta_share * state.main.num_rows)
        return rows >= self._not_before and (grown or dead > max(1024, dead_share * rows))

    def _fold_if_due(self) -> None:
        if self._background and not self._is_folding and not self._waiting and self._is_due():
            self._is_folding = True
            threading.Thread(target=self._fold_in_background, name="hashreel-fold", daemon=True).start()

    def _fold_in_background(self) -> None:
        again = True
        while again:
            try:
                self._fold()
            except Exception:
                state = self._state
                rows = state.main.num_rows + len(state.delta.codes)
                self._not_before = 2 * rows
                logger.exception("folding %d rows failed; the index goes on without, and slower", rows)
            with self._writing:
                again = self._is_due() and not self._waiting
                if not again:
                    self._end_turn()

    def _take_turn(self) -> None:
        """Become the one thread that folds: after the fold that runs, not after those that would follow."""
        with self._turn:
            self._waiting += 1
            while self._is_folding:
                self._turn.wait()
            self._waiting -= 1
            self._is_folding = True

    def _end_turn(self) -> None:
        self._is_folding = False
        self._turn.notify_all()

    def _fold(self) -> None:
        """Build the next main part beside the present one, then swap; only one thread at a time comes here."""
        with self._writing:
            state = self._state
            self._deleted_meanwhile = []
        try:
            main = fold(state.main, state.alive, state.dead, state.delta, self.bits, self._table_rows)
            with self._writing:
                self._swap(main, len(state.delta.codes))
        finally:
            self._deleted_meanwhile = None

    def _swap(self, main: SortedPart, folded_rows: int) -> None:
        alive, dead = ALL_ALIVE, 0
        for ranges in self._deleted_meanwhile or ():
            alive, removed = _buried(main, alive, ranges)
            dead += removed
        self._begin(main, alive, dead, self._delta.since(folded_rows))
        self._folds += 1

    def compact(self) -> None:
        self._take_turn()
        try:
            self._fold()
        finally:
            with self._writing:
                self._end_turn()
                self._fold_if_due()

    def close(self) -> None:
        with self._turn:
            while self._is_folding:
                self._turn.wait()

    def frozen(self) -> ExactIndex:
        copied = super().frozen()
        assert isinstance(copied, ExactIndex)
        # Whatever folds, it folds the index that goes on.
        copied._is_folding, copied._background = False, False
        return copied

    # Searching

    def __len__(self) -> int:
        return self._state.count

    def _moment(self) -> _State:
        return self._state

    def _search(self, moment: _State, queries: Codes, top: int, ranges: Ranges | None) -> Found:
        radii = np.empty(len(queries), np.int32)
        radii.fill(self.bits)
        answers = self._answer(moment, queries, radii, top, ranges)
        # Without a radius, every query finds the same number of frames.
        found = int(answers.sizes[0]) if len(queries) else 0
        if found == answers.distances.shape[1]:
            return answers.distances, answers.keys
        return answers.distances[:, :found], answers.keys[:, :found]

    def _within(
        self, moment: _State, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None, limit: int | None
    ) -> list[Found]:
        if limit is not None:
            return _rows_of(self._answer(moment, queries, radii, limit, ranges))
        found = []
        for i in range(len(queries)):
            query, radius = queries[i : i + 1], radii[i : i + 1]
            room = int(self._count(moment, query, radius.copy(), ranges)[0])
            found += _rows_of(self._answer(moment, query, radius, room, ranges))
        return found

    def _count(
        self, moment: _State, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None
    ) -> NDArray[np.int64]:
        return self._run(moment, queries, radii, ranges, is_count=True, room=0).sizes

    def _answer(
        self, state: _State, queries: Codes, radii: NDArray[np.int32], room: int, ranges: Ranges | None
    ) -> Answers:
        room = min(room, state.most(ranges))
        if not room:
            return make_answers(len(queries), 0)
        return self._run(state, queries, radii, ranges, is_count=False, room=room)

    def _run(
        self,
        state: _State,
        queries: Codes,
        radii: NDArray[np.int32],
        ranges: Ranges | None,
        is_count: bool,
        room: int,
    ) -> Answers:
        main = state.whole if ranges is None else state.main.part(state.alive, state.main.row_ranges(ranges))
        padded = np.empty((len(queries), self.num_words), np.uint64)
        query = queries, padded, radii, _EVERYTHING if ranges is None else ranges, is_count
        answers = make_answers(len(queries), room)
        if self.num_words > 1:
            answer_by_scan(self._words, *query, *main, *state.recent, *answers)
        else:
            answer(self._words, self._effort, *query, *main, *state.main.tables, *state.recent, *answers)
        return answers

    def search_weighted(
        self, codes: NDArray[Any], weights: NDArray[Any], top: int, allowed: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        tables, wanted = check_weighted(codes, weights, top, self.bits)
        state = self._state
        ranges = allowed_ranges(allowed)
        main = state.main.part(state.alive, state.main.row_ranges(ranges))
        shape = (len(tables), min(wanted, state.most(ranges)))
        distances, ids = np.empty(shape, np.float32), np.empty(shape, np.int64)
        sizes = np.zeros(len(tables), np.int64)
        if distances.size:
            admitted = _EVERYTHING if ranges is None else ranges
            answer_weighted(self._words, tables, admitted, *main, *state.recent, distances, ids, sizes)
        found = int(sizes[0]) if len(sizes) else 0
        return distances[:, :found], ids[:, :found]

    def warm_up(self) -> None:
        """Compile the kernels that searches need, or take them from the cache, before anyone waits for them."""
        query = np.zeros((1, self.num_bytes), np.uint8)
        self.within(query, 0)
        self.search_weighted(query, np.ones(self.bits, np.float32), 1)
        nothing = np.empty((0, 2), np.int64)
        self.delete_ranges(nothing)
        next(self.items(nothing), None)

    # Reading

    def items(
        self, allowed: NDArray[Any] | None = None, block: int = 65_536
    ) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        blocks = _blocks(self._state, allowed_ranges(allowed), block)
        return ((ids, bytes_of(words, self.num_bytes)) for ids, words in blocks)

    def codes_of(self, frame_ids: NDArray[Any]) -> Codes:
        state, ids = self._state, check_frame_ids(frame_ids)
        words = np.empty((len(ids), self.num_words), np.uint64)
        late = state.delta.runs.rows_of(ids)
        is_late = late >= 0
        words[is_late] = state.delta.codes[late[is_late]]
        words[~is_late] = state.main.codes.reshape(-1, self.num_words)[_main_rows(state, ids[~is_late])]
        return bytes_of(words, self.num_bytes)

    def parts(self) -> tuple[RowState, RowState]:
        """Return the main part and the delta as rows that a scan can work on; nothing is copied."""
        state = self._state
        return state.main.as_rows(state.alive, state.dead, self.num_words), state.delta

    def save(self, folder: str | Path) -> None:
        state = self._state
        arrays = state.main.arrays() | {"main_alive": state.alive}
        arrays |= {f"late_{name}": array for name, array in state.delta.arrays().items()}
        header = {
            "kind": self.kind,
            "bits": self.bits,
            "table_bits": state.main.tables.width,
            "dead": state.dead,
            "late_count": state.delta.count,
            "late_is_ascending": state.delta.is_ascending,
        }
        save_arrays(folder, header, arrays)

    @classmethod
    def load(cls, folder: str | Path, mapped: bool = True, **options: Any) -> ExactIndex:
        header, arrays = load_arrays(folder, cls.kind, mapped)
        index = cls(header["bits"], **options)
        main = SortedPart.from_arrays(arrays, index.num_words, header["table_bits"])
        late = {name.removeprefix("late_"): array for name, array in arrays.items() if name.startswith("late_")}
        delta = RowState.from_arrays(late, header["late_count"], header["late_is_ascending"])
        index._begin(main, arrays["main_alive"], header["dead"], delta)
        return index

    def status(self) -> dict[str, Any]:
        state = self._state
        late = sum(array.nbytes for array in state.delta.arrays().values())
        return {
            "kind": self.kind,
            "bits": self.bits,
            "exact": self.exact,
            "frames": state.count,
            "rows": state.main.num_rows + len(state.delta.codes),
            "tombstones": state.dead + state.delta.dead,
            "bytes": state.main.num_bytes + state.alive.nbytes + state.lows.nbytes + late,
            "delta_rows": len(state.delta.codes),
            "tables": len(state.main.tables.offsets),
            "table_bits": state.main.tables.width,
            "folding": self._is_folding,
            "folds": self._folds,
        }


def _blocks(state: _State, ranges: Ranges | None, block: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Yield live frames in the order of their ids, as (int64 [b], uint64 [b, words])."""
    late_ids, late_rows = state.delta.in_order(ranges)
    rows = _live_rows(state, ranges)
    ids = np.concatenate((state.main.ids_of(rows), late_ids))
    order = np.argsort(ids, kind="stable")
    main_codes = state.main.codes.reshape(-1, state.delta.codes.shape[1])
    for start in range(0, len(order), block):
        chosen = order[start : start + block]
        is_late = chosen >= len(rows)
        words = np.empty((len(chosen), main_codes.shape[1]), np.uint64)
        words[~is_late] = main_codes[rows[chosen[~is_late]]]
        words[is_late] = state.delta.codes[late_rows[chosen[is_late] - len(rows)]]
        yield ids[chosen], words


def _rows_of(answers: Answers) -> list[Found]:
    return [(answers.distances[i, :size], answers.keys[i, :size]) for i, size in enumerate(answers.sizes.tolist())]


def _buried(main: SortedPart, alive: NDArray[np.uint64], ranges: Ranges) -> tuple[NDArray[np.uint64], int]:
    """Return the bitmap without the frames inside id ranges, and how many of them were alive."""
    rows = main.row_ranges(ranges)
    removed = count_alive(alive, rows)
    if not removed:
        return alive, 0
    # Searches that run hold the old bitmap, so it is copied before bits are cleared.
    left = alive.copy() if len(alive) else filled_bitmap(main.num_rows).view(np.uint64)
    clear_bits(left.view(np.uint8), rows)
    return left, int(removed)


def _live_rows(state: _State, ranges: Ranges | None) -> NDArray[np.int64]:
    """Return the live rows of the main part inside id ranges, in order."""
    row_ranges = state.main.row_ranges(ranges)
    rows = np.empty(count_alive(state.alive, row_ranges), np.int64)
    list_alive(state.alive, row_ranges, rows)
    return rows


def _check_absent(state: _State, ids: NDArray[np.int64]) -> None:
    if ids.min() > state.main.last_id:
        return
    rows = _live_rows(state, ranges_of_ids(ids))
    if len(rows):
        taken = state.main.ids_of(rows[:1])[0]
        raise ConflictError(f"frame id {taken} is in the index already; delete it before adding it again")


def _main_rows(state: _State, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    rows, after = state.main.rows_before(ids), state.main.rows_before(ids + 1)
    for row, end, frame_id in zip(rows.tolist(), after.tolist(), ids.tolist(), strict=True):
        if row == end or not count_alive(state.alive, np.array([[row, end]])):
            raise NotFoundError(f"frame id {frame_id} is not in the index")
    return rows
