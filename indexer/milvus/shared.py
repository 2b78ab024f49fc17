"""What a searcher sees of codes that are kept in Milvus and written by another process.

Milvus may be a little ahead of the searcher's columns: rows of a chunk that is not in the columns yet, or of a
video that the log has deleted (even a late write of an applier that lost its lease). Only frames that the columns
hold are shown; where others were found, the search is repeated without them, so that K hits are K.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from hashreel.errors import NotFoundError, UnavailableError
from indexer.chunks import MAX_FRAMES, split_frame_id
from indexer.columns import Columns
from indexer.index import Found, Index
from indexer.milvus.collection import MilvusCollection
from indexer.milvus.index import MilvusIndex
from indexer.ranges import Ranges, all_but, check_ranges, intersect_ranges

__all__ = ["FrameVanishedError", "SharedIndex"]

MOST_ROUNDS = 16


class FrameVanishedError(NotFoundError):
    """A frame was deleted between two looks at it."""


class SharedIndex(Index):
    """An index that others write to: :meth:`add` and :meth:`delete_ranges` only count.

    Args:
        bits: length of a code, in [8, 256].
        columns: which frames the searcher holds.
    """

    kind = "milvus"

    def __init__(self, bits: int, columns: Columns) -> None:
        super().__init__(bits)
        self._columns = columns
        self._frames: Counter[int] = Counter()
        self._count_all = 0
        self._inner: MilvusIndex | None = None
        self.collection = ""

    def turn_to(self, codes: MilvusCollection) -> None:
        """Search another collection from now on."""
        self._inner, self.collection = MilvusIndex.over(codes, self.bits), codes.name

    def add(self, frame_ids: NDArray[Any], codes: NDArray[Any]) -> None:
        self._frames[int(frame_ids[0]) >> 32] += len(frame_ids)
        self._count_all += len(frame_ids)

    def delete_ranges(self, ranges: NDArray[Any]) -> int:
        # The ranges of whole videos, as they come: in normal form neighbours would be one.
        gone = sum(self._frames.pop(int(first) >> 32, 0) for first, _ in ranges.tolist())
        self._count_all -= gone
        return gone

    def __len__(self) -> int:
        return self._count_all

    # Searching

    def _moment(self) -> Any:
        if self._inner is None:
            raise UnavailableError("Milvus has not been loaded yet; see /readyz")
        return self._inner

    def _search(self, moment: Any, queries: Codes, top: int, ranges: Ranges | None) -> Found:
        for _ in range(MOST_ROUNDS):
            distances, ids = moment._search(None, queries, top, ranges)
            strange = self._strange(ids.reshape(-1))
            if not len(strange):
                return distances, ids
            ranges = all_but(strange) if ranges is None else intersect_ranges(ranges, all_but(strange))
        raise UnavailableError("this searcher is far behind Milvus; ask again in a moment")

    def _within(
        self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None, limit: int | None
    ) -> list[Found]:
        for _ in range(MOST_ROUNDS):
            found: list[Found] = moment._within(None, queries, radii, ranges, limit)
            strange = self._strange(np.concatenate([np.empty(0, np.int64), *(ids for _, ids in found)]))
            if not len(strange):
                return found
            ranges = all_but(strange) if ranges is None else intersect_ranges(ranges, all_but(strange))
        raise UnavailableError("this searcher is far behind Milvus; ask again in a moment")

    def _count(self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None) -> NDArray[np.int64]:
        return np.array([len(ids) for _, ids in self._within(moment, queries, radii, ranges, None)], np.int64)

    def tie_bands(
        self, codes: NDArray[Any], distances: NDArray[Any], allowed: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        bands: tuple[NDArray[np.int64], NDArray[np.bool_]] = self._moment().tie_bands(codes, distances, allowed)
        return bands

    def _strange(self, ids: NDArray[np.int64]) -> Ranges:
        """Return ranges around those frames that the columns do not hold: of a whole chunk, or the end of one."""
        ranges = []
        for first in np.unique(ids // MAX_FRAMES * MAX_FRAMES).tolist():
            video, chunk, _ = split_frame_id(first)
            held, end = first + self._columns.count(video, chunk), first + MAX_FRAMES
            if ((ids >= held) & (ids < end)).any():
                ranges.append([held, end])
        return check_ranges(np.array(ranges, np.int64).reshape(-1, 2))

    # Reading

    def items(
        self, allowed: NDArray[Any] | None = None, block: int = 65_536
    ) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        for ids, codes in self._moment().items(allowed, block):
            strange = self._strange(ids)
            inside = ((ids[:, None] >= strange[:, 0]) & (ids[:, None] < strange[:, 1])).any(axis=1)
            yield ids[~inside], codes[~inside]

    def codes_of(self, frame_ids: NDArray[Any]) -> Codes:
        try:
            codes: Codes = self._moment().codes_of(frame_ids)
        except NotFoundError as exc:
            raise FrameVanishedError(str(exc)) from exc
        return codes

    def compact(self) -> None:
        """Do nothing: Milvus drops the rows of deleted frames by itself."""

    def status(self) -> dict[str, Any]:
        return {**self._moment().status(), "frames": len(self)}

    def save(self, folder: str | Path) -> None:
        raise UnavailableError("codes in Milvus are not written into snapshots; back Milvus up, or let it be loaded")

    @classmethod
    def load(cls, folder: str | Path, mapped: bool = True, **options: Any) -> Index:
        raise UnavailableError("codes in Milvus are not read from snapshots")
