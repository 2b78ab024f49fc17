"""Kinds that put another FAISS index over a flat gallery, to find candidates sooner.

The engine is built over the rows that there are and never changed: rows that came later are searched flat, and
the engine is built again in the background when there are many of them. So engines need neither add nor delete,
and no lock between searches and writes. The flat gallery stays underneath for everything an engine cannot do:
filters, radius, counts, weights, and answers that an engine leaves open.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from indexer.faiss_tools import faiss_threads, flat_view, nearest, read_binary, write_binary
from indexer.flat import FlatIndex
from indexer.index import Found
from indexer.ranges import Ranges
from indexer.rowstore import RowState
from indexer.storage import load_header

__all__ = ["Engine", "EngineIndex"]

logger = logging.getLogger(__name__)

_ENGINE_FILE = "engine.faiss"

# A few rows more than asked for: some will be dead, or of a tie band that must be seen to its end.
_SLACK = 16

_FAR = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Engine:
    """A FAISS index over the first rows of a gallery.

    Attributes:
        index: what FAISS made.
        lineage: of the rows it was made from, as in :class:`~indexer.rowstore.RowState`.
        rows: how many rows it holds.
        measured: what was found out about it, for the status.
    """

    index: Any
    lineage: int
    rows: int
    measured: dict[str, Any]

    def fits(self, state: RowState) -> bool:
        """Return whether its rows are the first rows of ``state``."""
        return self.lineage == state.lineage and self.rows <= len(state.codes)


class EngineIndex(FlatIndex):
    """A flat gallery with an engine over most of it.

    Args:
        bits: length of a code, in [8, 256].
        dead_share: compact when more than this share of the rows is deleted.
        engine_rows: build an engine when there are at least so many rows.
        late_share: build it again when more than this share of the rows came after it.
    """

    exact = False
    most_fetched = 1 << 30
    """The largest k that an engine can be asked for."""

    def __init__(self, bits: int, dead_share: float = 0.25, engine_rows: int = 10_000, late_share: float = 0.2) -> None:
        self._engine: Engine | None = None
        self._builder: threading.Thread | None = None
        self._has_failed = False
        self._engine_rows = engine_rows
        self._late_share = late_share
        super().__init__(bits, dead_share)

    @abstractmethod
    def _build(self, codes: NDArray[np.uint64]) -> tuple[Any, dict[str, Any]]:
        """Return a FAISS index over padded codes, uint64 [n, words], and what was measured of it."""

    def _ask(self, engine: Engine, queries: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return distances, int32 [q, k], and rows, int64 [q, k], -1 where there are fewer."""
        return nearest(engine.index, queries, k)

    # Building

    def _changed(self) -> None:
        if self._builder is None and not self._has_failed and self._is_due():
            self._builder = threading.Thread(target=self._build_engine, name="hashreel-engine", daemon=True)
            self._builder.start()

    def _is_due(self) -> bool:
        state, engine = self._state, self._engine
        held = engine.rows if engine is not None and engine.fits(state) else 0
        rows = len(state.codes)
        return rows >= self._engine_rows and rows - held > self._late_share * rows

    def _build_engine(self) -> None:
        again = True
        while again:
            state = self._state
            try:
                # One thread: building is work for the background, and searches need the other cores.
                with faiss_threads():
                    index, measured = self._build(state.codes)
                self._engine = Engine(index, state.lineage, len(state.codes), measured)
            except Exception:
                logger.exception("the %s engine could not be built; the flat gallery goes on answering", self.kind)
                self._has_failed = True
            with self._writing:
                again = self._is_due() and not self._has_failed
                if not again:
                    self._builder = None

    def close(self) -> None:
        builder = self._builder
        if builder is not None:
            builder.join()

    def compact(self) -> None:
        super().compact()
        self.close()

    # Searching

    def _moment(self) -> tuple[RowState, Engine | None]:
        state, engine = self._state, self._engine
        return state, engine if engine is not None and engine.fits(state) else None

    def _search(self, moment: Any, queries: Codes, top: int, ranges: Ranges | None) -> Found:
        state, engine = moment
        k = min(top, state.count)
        if engine is None or ranges is not None or not k or not len(queries) or k + _SLACK > self.most_fetched:
            return super()._search(state, queries, top, ranges)
        distances, ids, is_open = self._combine(state, engine, self._padded(queries), k)
        if is_open.any():
            distances[is_open], ids[is_open] = super()._search(state, queries[is_open], top, ranges)
        return distances, ids

    def _within(
        self,
        moment: Any,
        queries: Codes,
        radii: NDArray[np.int32],
        ranges: Ranges | None,
        limit: int | None,
    ) -> list[Found]:
        return super()._within(moment[0], queries, radii, ranges, limit)

    def _count(
        self,
        moment: Any,
        queries: Codes,
        radii: NDArray[np.int32],
        ranges: Ranges | None,
    ) -> NDArray[np.int64]:
        return super()._count(moment[0], queries, radii, ranges)

    def _combine(
        self, state: RowState, engine: Engine, queries: NDArray[np.uint8], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
        """Return the k smallest pairs of both parts, and which queries they leave open."""
        late = len(state.codes) - engine.rows
        early_distances, early_rows = self._ask(engine, queries, min(k + _SLACK, engine.rows))
        late_distances, late_rows = nearest(
            flat_view(state.codes[engine.rows :]), queries, max(1, min(k + _SLACK, late))
        )
        late_rows = np.where(late_rows >= 0, late_rows + engine.rows, -1)
        distances = np.concatenate((early_distances, late_distances), axis=1)
        rows = np.concatenate((early_rows, late_rows), axis=1)
        distances = np.where(self._lives(state, rows), distances, _FAR)
        ids = state.runs.ids_of(np.maximum(rows, 0).reshape(-1)).reshape(rows.shape)
        order = np.lexsort((ids, distances), axis=1)[:, :k]
        best = np.take_along_axis(distances, order, axis=1)
        ends = [_end(early_distances, engine.rows), _end(late_distances, late)]
        is_open = best[:, -1] == _FAR
        if self.exact:
            # Rows that an engine cut off are at least as far as the last it gave.
            is_open |= best[:, -1] >= np.minimum(*ends)
        return best.astype(np.int32), np.take_along_axis(ids, order, axis=1), is_open

    @staticmethod
    def _lives(state: RowState, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        there = rows >= 0
        if state.alive is None:
            return there
        at = np.maximum(rows, 0)
        bits = state.alive[at >> 3] >> (at & 7).astype(np.uint8) & 1
        return there & np.asarray(bits, np.bool_)

    # Keeping

    def save(self, folder: str | Path) -> None:
        state, engine = self._state, self._engine
        kept = engine if engine is not None and engine.fits(state) and self._is_kept else None
        if kept is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_binary(kept.index, Path(folder) / _ENGINE_FILE)
        extra = {} if kept is None else {"engine_rows": kept.rows, "measured": kept.measured}
        self._save_state(folder, state, extra)

    _is_kept = True
    """Whether FAISS can write the engine to a file."""

    @classmethod
    def load(cls, folder: str | Path, mapped: bool = True, **options: Any) -> EngineIndex:
        index = super().load(folder, mapped, **options)
        assert isinstance(index, EngineIndex)
        header = load_header(folder)
        if "engine_rows" in header:
            engine = read_binary(Path(folder) / _ENGINE_FILE)
            index._engine = Engine(engine, index._state.lineage, header["engine_rows"], header["measured"])
        with index._writing:
            index._changed()
        return index

    def status(self) -> dict[str, Any]:
        status, engine = super().status(), self._engine
        usable = engine is not None and engine.fits(self._state)
        measured = engine.measured if engine is not None else {}
        rows = engine.rows if engine is not None and usable else 0
        return {
            **status,
            **measured,
            "engine_rows": rows,
            "building": self._builder is not None,
            "engine_failed": self._has_failed,
        }


def _end(distances: NDArray[np.int32], available: int) -> NDArray[np.int32]:
    """Return the distance from which on a list may have left rows out; none where it holds every row there is."""
    if distances.shape[1] >= available:
        return np.full(len(distances), _FAR, np.int32)
    return distances[:, -1]
