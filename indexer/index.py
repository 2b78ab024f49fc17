"""The one interface to every gallery index, and the factory that makes one.

Threading rule, the same for every kind: any number of threads may search at any time; writers (``add``,
``delete``, ``delete_ranges``, ``compact``) exclude each other by a lock inside the index. A search works on the
state that was current when it began and never sees half a write.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, check_bits, check_codes, num_code_bytes
from hashreel.errors import BadInputError
from indexer.arguments import check_frame_ids, check_radius, check_top
from indexer.ranges import Ranges, all_but, check_ranges, intersect_ranges, ranges_of_ids
from indexer.storage import load_header

__all__ = ["KINDS", "Found", "Index", "load_index", "make_index"]

Found = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Distances and frame ids of hits, ordered by (distance, frame id)."""


class Index(ABC):
    """A gallery of codes: frame ids and packed codes in, nearest frames out.

    Args:
        bits: length of a code, in [8, 256].

    Attributes:
        kind: the name that :func:`make_index` knows it by.
        exact: whether answers are equal to brute force: the K *smallest* (distance, frame id) pairs.
    """

    kind: str
    exact: bool = True

    def __init__(self, bits: int) -> None:
        self.bits = check_bits(bits)
        self.num_bytes = num_code_bytes(bits)
        self.num_words = (bits + 63) // 64

    @abstractmethod
    def add(self, frame_ids: NDArray[Any], codes: NDArray[Any]) -> None:
        """Add frames; all of them or, on an error, none.

        Args:
            frame_ids: int64 [n], each in [0, 2**63 - 2] and not alive. An id may come back after its deletion.
            codes: uint8 [n, ceil(bits / 8)].

        Raises:
            ConflictError: If an id is alive already, or comes twice.
            BadInputError: If an argument is of a wrong form.
        """

    @abstractmethod
    def delete_ranges(self, ranges: NDArray[Any]) -> int:
        """Delete every live frame inside ``ranges``, int64 [m, 2] half-open; return how many there were."""

    def delete(self, frame_ids: NDArray[Any]) -> int:
        """Delete frames and return how many of them were alive.

        Ids that are not alive are passed over, so that replaying a log twice changes nothing.

        Args:
            frame_ids: int64 [n], in any order.
        """
        return self.delete_ranges(ranges_of_ids(check_frame_ids(frame_ids)))

    def delete_range(self, first: int, end: int) -> int:
        """Delete every live frame with ``first <= id < end`` (a video is one such range); return the count."""
        return self.delete_ranges(np.array([[first, end]], np.int64))

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of live frames."""

    def search(
        self, codes: NDArray[Any], top: int, allowed: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the nearest frames of each query.

        Args:
            codes: uint8 [q, ceil(bits / 8)], the queries.
            top: K, at least 0.
            allowed: int64 [m, 2], half-open ranges of the only frame ids to consider; None means all.

        Returns:
            Distances, int32 [q, k], and frame ids, int64 [q, k], with k = min(top, frames alive and allowed);
            rows ordered by (distance, frame id). They are the k smallest such pairs where ``exact`` is true.

        Raises:
            BadInputError: If an argument is of a wrong form.
        """
        queries = check_codes(codes, self.bits)
        return self._search(self._moment(), queries, check_top(top), allowed_ranges(allowed))

    def within(
        self,
        codes: NDArray[Any],
        radius: int | NDArray[Any],
        allowed: NDArray[Any] | None = None,
        limit: int | None = None,
    ) -> list[Found]:
        """Return, for each query, every frame at a distance of at most its radius.

        Args:
            codes: uint8 [q, ceil(bits / 8)].
            radius: largest distance, inclusive: one integer, or int32 [q].
            allowed: as in :meth:`search`.
            limit: keep only so many of the smallest (distance, frame id) pairs of each query.

        Returns:
            One (distances int32 [m], frame ids int64 [m]) a query, ordered by (distance, frame id).
        """
        queries = check_codes(codes, self.bits)
        radii = check_radius(radius, len(queries), self.bits)
        most = None if limit is None else check_top(limit)
        return self._within(self._moment(), queries, radii, allowed_ranges(allowed), most)

    def count_within(
        self, codes: NDArray[Any], radius: int | NDArray[Any], allowed: NDArray[Any] | None = None
    ) -> NDArray[np.int64]:
        """Return how many frames lie within the radius of each query, int64 [q], without listing them."""
        queries = check_codes(codes, self.bits)
        radii = check_radius(radius, len(queries), self.bits)
        return self._count(self._moment(), queries, radii, allowed_ranges(allowed))

    # What a kind implements: the same on checked arguments, at a given moment.

    @abstractmethod
    def _moment(self) -> Any:
        """Return what searches work on now; it never changes, so that several searches can share it."""

    @abstractmethod
    def _search(self, moment: Any, queries: Codes, top: int, ranges: Ranges | None) -> Found: ...

    @abstractmethod
    def _within(
        self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None, limit: int | None
    ) -> list[Found]: ...

    @abstractmethod
    def _count(
        self, moment: Any, queries: Codes, radii: NDArray[np.int32], ranges: Ranges | None
    ) -> NDArray[np.int64]: ...

    @abstractmethod
    def items(
        self, allowed: NDArray[Any] | None = None, block: int = 65_536
    ) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        """Yield all live frames in the order of their ids, as blocks of (int64 [b], uint8 [b, w])."""

    @abstractmethod
    def codes_of(self, frame_ids: NDArray[Any]) -> Codes:
        """Return the codes of live frames, uint8 [n, ceil(bits / 8)].

        Raises:
            NotFoundError: If an id is not alive.
        """

    @abstractmethod
    def compact(self) -> None:
        """Drop the rows of deleted frames and fold everything into the fastest form; returns when done."""

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """Return kind, bits, exact, frames, rows, tombstones and bytes, and what the kind adds to them."""

    def frozen(self) -> Index:
        """Return a copy of this moment that shares memory with the index; it is for reading only.

        Call it where no writer is at work. It works by the rule of every kind that state is replaced and never
        changed.
        """
        return copy.copy(self)

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write the present state into a folder as plain files; searches and writes go on meanwhile.

        Nothing is synced or renamed: the caller does that for a whole snapshot.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: str | Path, mapped: bool = True, **options: Any) -> Index:
        """Return an index from what :meth:`save` wrote; see :func:`load_index`."""

    def warm_up(self) -> None:  # noqa: B027  most kinds have nothing to prepare
        """Prepare what the first search would otherwise wait for."""

    def close(self) -> None:  # noqa: B027  most kinds hold no threads
        """Wait for background work to end; the index stays readable."""

    def tie_band(
        self, codes: NDArray[Any], distances: NDArray[Any], allowed: NDArray[Any] | None = None
    ) -> NDArray[np.int64]:
        """Return how many frames stand at exactly the given distance of each query, int64 [q].

        Args:
            codes: uint8 [q, w].
            distances: int32 [q], such as the last column of a search.
            allowed: as in :meth:`search`.
        """
        queries, ranges, moment = check_codes(codes, self.bits), allowed_ranges(allowed), self._moment()
        at = check_radius(distances, len(queries), self.bits)
        nearer = self._count(moment, queries, np.maximum(at - 1, 0), ranges)
        return self._count(moment, queries, at.copy(), ranges) - np.where(at > 0, nearer, 0)

    def tie_bands(
        self, codes: NDArray[Any], distances: NDArray[Any], allowed: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return what :meth:`tie_band` does, and where the count is only a lower bound, bool [q].

        Kinds that run in this process count to the end; an engine elsewhere may list only so many rows.
        """
        counts = self.tie_band(codes, distances, allowed)
        return counts, np.zeros(len(counts), np.bool_)

    def search_groups(
        self, codes: NDArray[Any], top: int, allowed: NDArray[Any] | None = None, shift: int = 32
    ) -> list[Found]:
        """Return, for each query, the best frame of each of the ``top`` nearest groups.

        A group is all frames with the same ``id >> shift``; with 32, a video. Grouping acts before truncation.

        Args:
            codes: uint8 [q, ceil(bits / 8)].
            top: K, the number of groups, at least 0.
            allowed: as in :meth:`search`.
            shift: how many low bits of an id are left out of its group.

        Returns:
            One (distances int32 [g], frame ids int64 [g]) a query, ordered by (distance, frame id), with
            g = min(top, groups alive and allowed).
        """
        queries, wanted = check_codes(codes, self.bits), check_top(top)
        moment, ranges = self._moment(), allowed_ranges(allowed)
        return [self._groups_of_one(moment, queries[i : i + 1], wanted, ranges, shift) for i in range(len(queries))]

    def _groups_of_one(self, moment: Any, query: Codes, top: int, ranges: Ranges | None, shift: int) -> Found:
        """Search, keep the best frame of each group seen, leave those groups out, and search again."""
        distances: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        ids: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        missing = top
        while missing > 0:
            found_distances, found_ids = self._search(moment, query, 16 * missing + 64, ranges)
            if not found_ids.shape[1]:
                break
            groups, first = np.unique(found_ids[0] >> shift, return_index=True)
            best = np.sort(first)[:missing]
            distances.append(found_distances[0][best])
            ids.append(found_ids[0][best])
            missing -= len(best)
            if missing:
                others = all_but(np.stack([groups << shift, (groups + 1) << shift], axis=1))
                ranges = others if ranges is None else intersect_ranges(ranges, others)
        return np.concatenate(distances), np.concatenate(ids)

    def search_weighted(
        self, codes: NDArray[Any], weights: NDArray[Any], top: int, allowed: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the nearest frames by bit-weighted distance, by a full scan.

        The distance is the sum of the weights of the bits that differ, added byte by byte in float32. With
        ``weights = abs(2 * outputs - 1)`` and the outputs' own code it is the asymmetric distance of a query's
        real-valued outputs.

        Args:
            codes: uint8 [q, ceil(bits / 8)].
            weights: float32 [bits], or [q, bits]; finite.
            top: K, at least 0.
            allowed: as in :meth:`search`.

        Returns:
            Distances, float32 [q, k], and frame ids, int64 [q, k], ordered by (distance, frame id).
        """
        from indexer.weighted import scan_weighted

        return scan_weighted(self, codes, weights, top, allowed)


def allowed_ranges(allowed: NDArray[Any] | None) -> Ranges | None:
    """Return ``allowed`` in normal form, or None where everything is allowed."""
    return None if allowed is None else check_ranges(allowed)


KINDS: dict[str, str] = {
    "auto": "indexer.auto:AutoIndex",
    "flat": "indexer.flat:FlatIndex",
    "exact": "indexer.exact:ExactIndex",
    "ivf": "indexer.approximate:IvfIndex",
    "hnsw": "indexer.approximate:HnswIndex",
    "gpu": "indexer.gpu:GpuIndex",
    "milvus": "indexer.milvus.index:MilvusIndex",
}
"""Every kind that :func:`make_index` knows, and the class that is it; imported only when asked for."""


def _class_of(kind: str) -> type[Index]:
    if kind not in KINDS:
        raise BadInputError(f"index kind {kind!r} is unknown; available: {', '.join(KINDS)}")
    module, name = KINDS[kind].split(":")
    found: type[Index] = getattr(import_module(module), name)
    return found


def make_index(kind: str, bits: int, **options: Any) -> Index:
    """Return an empty index.

    Args:
        kind: a key of :data:`KINDS`.
        bits: length of a code, in [8, 256].
        options: keyword arguments of that kind's class.

    Raises:
        BadInputError: If the kind is unknown or bits is out of range.
        MissingExtraError: If a library that the kind needs is not installed.
        UnavailableError: If the kind needs hardware that is not here.

    Example:
        >>> index = make_index("flat", 16)
        >>> index.add(np.array([5, 9]), np.array([[0, 0], [255, 0]], np.uint8))
        >>> index.search(np.array([[1, 0]], np.uint8), top=1)[1].tolist()
        [[5]]
    """
    return _class_of(kind)(check_bits(bits), **options)


def load_index(folder: str | Path, kind: str | None = None, mapped: bool = True, **options: Any) -> Index:
    """Return the index that was saved into a folder.

    Args:
        folder: where :meth:`Index.save` wrote it. While it is mapped, its files must stay as they are.
        kind: None for the kind that was saved; "auto" takes any kind that it could have become.
        mapped: map the files into memory, which takes no time at all, instead of reading them.
        options: keyword arguments of that kind's class.

    Raises:
        BadInputError: If the folder holds no index, one of another kind, or one of a newer format.
    """
    saved = load_header(folder)["kind"]
    return _class_of(kind or saved).load(folder, mapped, **options)
