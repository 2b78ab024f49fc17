"""The reference kind: FAISS's exhaustive search over codes padded to 64-bit words, with ties put right."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from hashreel.errors import NotFoundError
from indexer.arguments import (
    bytes_of,
    check_frame_ids,
    check_new_frames,
    pad_codes,
)
from indexer.buffers import clear_bits, filled_bitmap
from indexer.faiss_tools import flat_view, nearest, rows_within, selector
from indexer.index import Found, Index, allowed_ranges
from indexer.ranges import Ranges, check_ranges, expand
from indexer.rowstore import RowState, RowStore, compacted, no_rows
from indexer.runs import Runs
from indexer.storage import load_arrays, save_arrays
from indexer.ties import first_pairs, settled_pairs

__all__ = ["FlatIndex"]

# A few rows more than asked for: most tie bands end there, which saves the second scan.
_SLACK = 16

# Filters that leave less than this share are answered from a copy of the rows they leave: FAISS asks its
# selector about every single row, which makes a scan more than twice as dear.
_GATHER_SHARE = 0.25


@dataclass(frozen=True)
class _Gallery:
    """A FAISS index, the rows of it that count, and their frame ids.

    ``kept`` holds the memory that FAISS only points at.
    """

    index: Any
    params: Any
    count: int
    runs: Runs
    kept: tuple[Any, ...]


class FlatIndex(Index):
    """Exact search by FAISS ``IndexBinaryFlat``.

    Args:
        bits: length of a code, in [8, 256].
        dead_share: compact when more than this share of the rows is deleted.
    """

    kind = "flat"
    stored_kind = "flat"
    """The kind that its files say they are."""

    def __init__(self, bits: int, dead_share: float = 0.25) -> None:
        super().__init__(bits)
        self._dead_share = dead_share
        self._writing = threading.Lock()
        self._begin(no_rows(self.num_words))

    @classmethod
    def over(cls, bits: int, *parts: RowState) -> FlatIndex:
        """Return an index over rows that lie somewhere already: the first part's codes are not copied."""
        index = cls(bits)
        index._begin(parts[0])
        for part in parts[1:]:
            for ids, words in part.blocks(None, 65_536):
                index._rows.add(ids, words)
        index._state = index._rows.state()
        return index

    def _begin(self, state: RowState) -> None:
        self._rows = RowStore(state)
        self._state = self._rows.state()

    def add(self, frame_ids: NDArray[Any], codes: NDArray[Any]) -> None:
        ids, array = check_new_frames(frame_ids, codes, self.bits)
        with self._writing:
            self._rows.add(ids, pad_codes(array, self.num_words))
            self._state = self._rows.state()
            self._changed()

    def delete_ranges(self, ranges: NDArray[Any]) -> int:
        wanted = check_ranges(ranges)
        with self._writing:
            removed = self._rows.remove(wanted)
            self._state = self._rows.state()
            if self._state.dead > self._dead_share * len(self._state.codes):
                self._begin(compacted(self._state))
                self._changed()
        return removed

    def _changed(self) -> None:
        """Take note of a new state; called with the writer's lock held."""

    def __len__(self) -> int:
        return self._state.count

    def _moment(self) -> Any:
        return self._state

    def _search(self, moment: Any, queries: Codes, top: int, ranges: Ranges | None) -> Found:
        gallery = _gallery(moment, ranges)
        shape = (len(queries), min(top, gallery.count))
        distances, ids = np.empty(shape, np.int32), np.empty(shape, np.int64)
        if distances.size:
            _fill(gallery, self._padded(queries), distances, ids)
        return distances, ids

    def _within(
        self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None, limit: int | None
    ) -> list[Found]:
        gallery, padded = _gallery(moment, ranges), self._padded(queries)
        found = []
        for i, reach in enumerate(radii.tolist()):
            near, rows = rows_within(gallery.index, padded[i : i + 1], reach, gallery.params)
            ids = gallery.runs.ids_of(rows)
            found.append(first_pairs(near, ids, len(ids) if limit is None else min(limit, len(ids))))
        return found

    def _count(self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None) -> NDArray[np.int64]:
        gallery, padded = _gallery(moment, ranges), self._padded(queries)
        counts = [
            len(rows_within(gallery.index, padded[i : i + 1], reach, gallery.params)[1])
            for i, reach in enumerate(radii.tolist())
        ]
        return np.array(counts, np.int64)

    def items(
        self, allowed: NDArray[Any] | None = None, block: int = 65_536
    ) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        blocks = self._state.blocks(allowed_ranges(allowed), block)
        return ((ids, bytes_of(words, self.num_bytes)) for ids, words in blocks)

    def codes_of(self, frame_ids: NDArray[Any]) -> Codes:
        state, ids = self._state, check_frame_ids(frame_ids)
        rows = state.runs.rows_of(ids)
        if (rows < 0).any():
            raise NotFoundError(f"frame id {ids[np.argmax(rows < 0)]} is not in the index")
        return bytes_of(state.codes[rows], self.num_bytes)

    def compact(self) -> None:
        with self._writing:
            self._begin(compacted(self._state))
            self._changed()

    def save(self, folder: str | Path) -> None:
        self._save_state(folder, self._state, {})

    def _save_state(self, folder: str | Path, state: RowState, extra: dict[str, Any]) -> None:
        header = {"kind": self.stored_kind, "bits": self.bits, "count": state.count, "is_ascending": state.is_ascending}
        save_arrays(folder, header | extra, state.arrays())

    @classmethod
    def load(cls, folder: str | Path, mapped: bool = True, **options: Any) -> FlatIndex:
        header, arrays = load_arrays(folder, cls.stored_kind, mapped)
        index = cls(header["bits"], **options)
        index._begin(RowState.from_arrays(arrays, header["count"], header["is_ascending"]))
        return index

    def status(self) -> dict[str, Any]:
        state = self._state
        return {
            "kind": self.kind,
            "bits": self.bits,
            "exact": self.exact,
            "frames": state.count,
            "rows": len(state.codes),
            "tombstones": state.dead,
            "bytes": sum(array.nbytes for array in state.arrays().values()),
        }

    def _padded(self, queries: Codes) -> NDArray[np.uint8]:
        return pad_codes(queries, self.num_words).view(np.uint8)


def _gallery(state: RowState, ranges: Ranges | None) -> _Gallery:
    if ranges is None:
        params = None if state.alive is None else selector(state.alive)
        return _Gallery(flat_view(state.codes), params, state.count, state.runs, (state.codes, state.alive))
    firsts, rows, lengths = state.runs.pieces(ranges)
    if lengths.sum() <= _GATHER_SHARE * len(state.codes):
        return _gathered(state.codes, firsts, rows, lengths)
    return _selected(state, rows, lengths)


def _gathered(
    codes: NDArray[np.uint64], firsts: NDArray[np.int64], rows: NDArray[np.int64], lengths: NDArray[np.int64]
) -> _Gallery:
    """Return a gallery over a copy of the given rows."""
    copied = codes[expand(rows, rows + lengths)]
    first_rows = np.cumsum(lengths) - lengths
    runs = Runs(first_rows, firsts, firsts, first_rows, lengths)
    return _Gallery(flat_view(copied), None, len(copied), runs, (copied,))


def _selected(state: RowState, rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> _Gallery:
    """Return the whole gallery with a bitmap of the given rows."""
    order = np.argsort(rows)
    starts, ends = rows[order], (rows + lengths)[order]
    gaps = np.stack([np.concatenate(([0], ends)), np.concatenate((starts, [len(state.codes)]))], axis=1)
    bitmap = filled_bitmap(len(state.codes))
    clear_bits(bitmap, gaps)
    return _Gallery(flat_view(state.codes), selector(bitmap), int(lengths.sum()), state.runs, (state.codes, bitmap))


def _fill(gallery: _Gallery, queries: NDArray[np.uint8], distances: NDArray[np.int32], ids: NDArray[np.int64]) -> None:
    """Write the k smallest pairs of each query."""
    k = distances.shape[1]
    fetched = min(k + _SLACK, gallery.count)
    raw_distances, raw_rows = nearest(gallery.index, queries, fetched, gallery.params)
    raw_ids = gallery.runs.ids_of(raw_rows.reshape(-1)).reshape(raw_rows.shape)
    settled = settled_pairs(raw_distances, raw_ids, distances, ids, complete=fetched == gallery.count)
    for i in np.flatnonzero(~settled):
        near, rows = rows_within(gallery.index, queries[i : i + 1], int(raw_distances[i, k - 1]), gallery.params)
        distances[i], ids[i] = first_pairs(near, gallery.runs.ids_of(rows), k)
