"""The index kind that keeps its codes in Milvus, with ties put right on our side.

Milvus returns at most 16,384 rows, cuts ties as it likes, and ignores grouping of Hamming searches without a word.
So a list whose end lies inside a tie band is completed by asking for the band itself, by ranges of ids if it is
longer than Milvus lists, and groups are formed by searching again without those that were found.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, check_codes
from hashreel.errors import BadInputError, ConflictError, NotFoundError
from indexer.arguments import check_frame_ids, check_new_frames, check_radius
from indexer.index import Found, Index, allowed_ranges
from indexer.milvus.collection import MOST_FETCHED, Connection, MilvusCollection
from indexer.milvus.filters import MAX_RANGES, expression_of, expressions_of
from indexer.ranges import MAX_FRAME_ID, Ranges, check_ranges, intersect_ranges
from indexer.storage import load_arrays, save_arrays
from indexer.ties import first_pairs, sorted_pairs

__all__ = ["DEFAULT_URI", "MilvusIndex"]

DEFAULT_URI = "http://127.0.0.1:19530"

# A few rows more than asked for: most tie bands end there, which saves the second search.
_SLACK = 16

MOST_CALLS = 256
"""Searches that one list may take; one that needs more is refused."""


class MilvusIndex(Index):
    """Exhaustive search (BIN_FLAT) by a Milvus server.

    Distances are exact always. Ids are the smallest of the band of frames at the last distance unless it is
    longer than ``most_calls`` lists can tell; a band that is longer than one list is not counted to its end (see
    :meth:`tie_bands`) and is called truncated.

    Args:
        bits: length of a code, in [8, 256].
        uri: the server, or a file of Milvus Lite (``...db``).
        token: ``user:password`` or an API key.
        collection: name of the Milvus collection, kept when the index is closed; empty for one of its own, which
            :meth:`close` removes.
        timeout_s: longest wait for one call.
        most_fetched: rows that are asked for at once, 2 to 16,384.
        most_calls: searches that one list may take.
    """

    kind = "milvus"
    exact = True

    def __init__(
        self,
        bits: int,
        uri: str = DEFAULT_URI,
        token: str = "",
        collection: str = "",
        timeout_s: float = 30.0,
        most_fetched: int = MOST_FETCHED,
        most_calls: int = MOST_CALLS,
    ) -> None:
        super().__init__(bits)
        if not 2 <= most_fetched <= MOST_FETCHED:
            raise BadInputError(f"most_fetched is {most_fetched}; accepted: 2 to {MOST_FETCHED}")
        self._most, self._most_calls = most_fetched, most_calls
        self._is_own = not collection
        self._connection = Connection(uri, token, timeout_s)
        self._codes = self._connection.create(collection or f"hashreel_{secrets.token_hex(8)}", bits)
        self._writing = threading.Lock()

    @classmethod
    def over(cls, codes: MilvusCollection, bits: int) -> MilvusIndex:
        """Return an index over a collection that is there already."""
        index = cls.__new__(cls)
        Index.__init__(index, bits)
        index._most, index._most_calls, index._is_own = MOST_FETCHED, MOST_CALLS, False
        index._connection, index._codes = codes.connection, codes
        index._writing = threading.Lock()
        return index

    # Writing

    def add(self, frame_ids: NDArray[Any], codes: NDArray[Any]) -> None:
        ids, array = check_new_frames(frame_ids, codes, self.bits)
        with self._writing:
            if taken := self._codes.present(ids):
                raise ConflictError(f"frame id {taken[0]} is in the index already")
            self._codes.insert(ids, array)

    def delete_ranges(self, ranges: NDArray[Any]) -> int:
        wanted = check_ranges(ranges)
        with self._writing:
            alive = self._codes.count(wanted)
            if alive:
                self._codes.delete(wanted)
        return alive

    def compact(self) -> None:
        """Do nothing: Milvus drops the rows of deleted frames by itself."""

    # Searching

    def __len__(self) -> int:
        return self._codes.count()

    def _moment(self) -> Any:
        return None

    def _search(self, moment: Any, queries: Codes, top: int, ranges: Ranges | None) -> Found:
        if not top or not len(queries):
            return np.empty((len(queries), 0), np.int32), np.empty((len(queries), 0), np.int64)
        found = self._nearest(queries, top, ranges)
        # All of them see the same rows, so all lists are of one length.
        length = min((len(ids) for _, ids in found), default=0)
        distances = np.stack([pairs[0][:length] for pairs in found])
        return distances, np.stack([pairs[1][:length] for pairs in found])

    def _nearest(self, queries: Codes, k: int, ranges: Ranges | None) -> list[Found]:
        """Return the k smallest pairs of each query."""
        fetched = min(k + _SLACK, self._most)
        parts = [self._codes.nearest(queries, fetched, expression) for expression in expressions_of(ranges)]
        answers = []
        for i in range(len(queries)):
            ends = [part[i][0][-1] for part in parts if len(part[i][0]) == fetched]
            distances = np.concatenate([np.empty(0, np.int32), *(part[i][0] for part in parts)])
            ids = np.concatenate([np.empty(0, np.int64), *(part[i][1] for part in parts)])
            answers.append(self._completed(queries[i : i + 1], k, ranges, (distances, ids), ends))
        return answers

    def _completed(self, query: Codes, k: int, ranges: Ranges | None, found: Found, ends: list[np.int32]) -> Found:
        """Return the k smallest pairs, given lists that hold every row nearer than their ends."""
        distances, ids = found
        if not ends:
            return first_pairs(distances, ids, min(k, len(ids)))
        level = int(min(ends))
        sure = distances < level
        distances, ids = distances[sure], ids[sure]
        while len(ids) < k and level <= self.bits:
            band = self._listed(query, (level, level), ranges, k - len(ids))
            distances, ids = np.concatenate((distances, band[0])), np.concatenate((ids, band[1]))
            level += 1
        return first_pairs(distances, ids, min(k, len(ids)))

    def _listed(
        self, query: Codes, between: tuple[int, int], ranges: Ranges | None, wanted: int | None = None
    ) -> Found:
        """Return all pairs at distances in a closed interval, in no order; of one distance the ``wanted`` smallest.

        A list that Milvus would cut is asked for again in two halves of the ids, up to a number of calls.

        Raises:
            BadInputError: If that number is not enough for all that is wanted.
        """
        whole = np.array([[0, MAX_FRAME_ID + 1]], np.int64) if ranges is None else ranges
        todo = [whole[start : start + MAX_RANGES] for start in reversed(range(0, len(whole), MAX_RANGES))]
        found: list[Found] = [(np.empty(0, np.int32), np.empty(0, np.int64))]
        missing, calls = wanted, 0
        while todo and (missing is None or missing > 0):
            part, calls = todo.pop(), calls + 1
            pairs = self._codes.nearest(query, self._most, expression_of(part), between)[0]
            is_whole = len(pairs[1]) < self._most
            if not is_whole and calls < self._most_calls:
                todo.extend(_halves(part, int(np.median(pairs[1]))))
                continue
            if not is_whole and (missing is None or missing > self._most):
                raise BadInputError(
                    f"more than {calls // 2 * self._most:,} frames lie at distance {between[0]} to {between[1]}, too "
                    "many to list from Milvus; ask for fewer: a limit, a smaller radius or a filter"
                )
            # What is cut all the same is of the right distance, and any of the band; it is called truncated.
            found.append(pairs)
            missing = None if missing is None else missing - len(pairs[1])
        distances, ids = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return sorted_pairs(distances, ids) if wanted is None else first_pairs(distances, ids, min(wanted, len(ids)))

    def _within(
        self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None, limit: int | None
    ) -> list[Found]:
        if limit is None:
            return [self._listed(queries[i : i + 1], (0, reach), ranges) for i, reach in enumerate(radii.tolist())]
        if not limit or not len(queries):
            return [(np.empty(0, np.int32), np.empty(0, np.int64)) for _ in queries]
        found = self._nearest(queries, limit, ranges)
        near = [pairs[0] <= reach for pairs, reach in zip(found, radii.tolist(), strict=True)]
        return [(pairs[0][mask], pairs[1][mask]) for pairs, mask in zip(found, near, strict=True)]

    def _count(self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None) -> NDArray[np.int64]:
        return np.array([len(ids) for _, ids in self._within(moment, queries, radii, ranges, None)], np.int64)

    def tie_bands(
        self, codes: NDArray[Any], distances: NDArray[Any], allowed: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        queries, ranges = check_codes(codes, self.bits), allowed_ranges(allowed)
        at = check_radius(distances, len(queries), self.bits).tolist()
        counts = np.zeros(len(queries), np.int64)
        for expression in expressions_of(ranges):
            for i, distance in enumerate(at):
                (pairs,) = self._codes.nearest(queries[i : i + 1], self._most, expression, (distance, distance))
                counts[i] += len(pairs[1])
        return counts, counts >= self._most

    def tie_band(
        self, codes: NDArray[Any], distances: NDArray[Any], allowed: NDArray[Any] | None = None
    ) -> NDArray[np.int64]:
        return self.tie_bands(codes, distances, allowed)[0]

    # Reading and keeping

    def items(
        self, allowed: NDArray[Any] | None = None, block: int = 65_536
    ) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        return self._codes.items(allowed_ranges(allowed), block)

    def codes_of(self, frame_ids: NDArray[Any]) -> Codes:
        ids = check_frame_ids(frame_ids)
        found = self._codes.codes_of(np.unique(ids))
        try:
            joined = b"".join(found[frame] for frame in ids.tolist())
        except KeyError as exc:
            raise NotFoundError(f"frame id {exc.args[0]} is not in the index") from exc
        return np.frombuffer(joined, np.uint8).reshape(len(ids), self.num_bytes)

    def status(self) -> dict[str, Any]:
        frames = len(self)
        return {
            "kind": self.kind,
            "bits": self.bits,
            "exact": self.exact,
            "frames": frames,
            "rows": frames,
            "tombstones": 0,
            "bytes": frames * (self.num_bytes + 8),
            "uri": self._connection.uri,
            "collection": self._codes.name,
        }

    def save(self, folder: str | Path) -> None:
        """Write where the codes are; they stay in Milvus."""
        header = {"kind": self.kind, "bits": self.bits, "count": len(self), "collection": self._codes.name}
        save_arrays(folder, header, {})

    @classmethod
    def load(cls, folder: str | Path, mapped: bool = True, **options: Any) -> MilvusIndex:
        header, _ = load_arrays(folder, cls.kind, mapped)
        return cls(header["bits"], **{"collection": header["collection"], **options})

    def close(self) -> None:
        if self._is_own:
            self._connection.drop(self._codes.name)
            self._connection.close()
            self._is_own = False


def _halves(ranges: Ranges, middle: int) -> list[Ranges]:
    """Return the ids from ``middle`` on, and those before it."""
    upper = np.array([[middle, MAX_FRAME_ID + 1]], np.int64)
    return [intersect_ranges(ranges, upper), intersect_ranges(ranges, np.array([[0, middle]], np.int64))]
