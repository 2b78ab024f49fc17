"""Counts by distance from an index's answers: top K, then everything within each query's K-th distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError
from search.evaluation.distance_counts import DistanceCounts, check_pairs
from search.evaluation.exclusion import NO_GROUP, Exclusion
from search.evaluation.groups import BoolArray, IntArray
from search.evaluation.labels import Labels, all_pairs

__all__ = ["Answer", "AnswerCounter", "AnsweringIndex", "count_answers", "fetch_answers"]

Answer = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The distances, int32 [m], and frame ids, int64 [m], of the hits of one query, in any order."""


class AnsweringIndex(Protocol):
    """What an index must offer to be evaluated."""

    def search(
        self, codes: NDArray[np.uint8], top: int, allowed: IntArray | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the distances and ids of the nearest items, [q, k] each, k = min(top, items allowed)."""

    def within(
        self, codes: NDArray[np.uint8], radius: NDArray[np.int32], allowed: IntArray | None = None
    ) -> Sequence[Answer]:
        """Return, for each query, everything within its radius, boundary included."""


def fetch_answers(
    index: AnsweringIndex,
    codes: NDArray[np.uint8],
    top: IntArray,
    *,
    allowed: IntArray | None = None,
    batch: int = 256,
) -> Iterator[Answer]:
    """Yield, for each query, everything within the distance of its ``top``-th nearest item.

    Whole distance groups come back, so that scores do not depend on how the index cuts a tie.

    Args:
        index: the index to ask.
        codes: uint8 [q, w], packed codes.
        top: int64 [q], how deep each query must see: K plus what it leaves out (its own picture or video;
            ``Exclusion.num_excluded``).
        allowed: int64 [m, 2], half-open ranges of the ids that make up the gallery; all by default.
        batch: queries asked together.
    """
    for start in range(0, len(codes), batch):
        part, depths = codes[start : start + batch], top[start : start + batch]
        distances, _ = index.search(part, int(depths.max()), allowed)
        if distances.shape[1] == 0:
            radius = np.zeros(len(part), dtype=np.int32)
        else:
            last = np.minimum(depths, distances.shape[1]) - 1
            radius = np.take_along_axis(distances, last[:, None], axis=1)[:, 0].astype(np.int32)
        yield from index.within(part, radius, allowed)


class AnswerCounter:
    """Collects answers, one query after the other, into :class:`DistanceCounts`."""

    def __init__(
        self,
        gallery_ids: NDArray[np.int64],
        query_labels: Labels,
        gallery_labels: Labels,
        *,
        bits: int,
        pairs: IntArray | None = None,
        exclusion: Exclusion | None = None,
    ) -> None:
        """Prepare to count.

        Args:
            gallery_ids: int64 [n], the index's id of each gallery item, each once.
            query_labels: the concepts of each query.
            gallery_labels: the concepts of each gallery item.
            bits: the length of the codes; no distance is larger.
            pairs: int64 [p, 2], (query, concept) pairs; by default every concept of every query.
            exclusion: what each query leaves out; nothing by default.

        Raises:
            BadInputError: If the parts do not fit each other or an id stands twice.
        """
        ids = np.asarray(gallery_ids, dtype=np.int64)
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]
        if (np.diff(self._sorted) == 0).any():
            raise BadInputError("an id stands twice among the gallery ids; each item needs its own")
        if len(ids) != len(gallery_labels):
            raise BadInputError(f"there are {len(ids)} gallery ids and {len(gallery_labels)} labels; expected one each")
        if query_labels.concepts != gallery_labels.concepts:
            raise BadInputError("queries and gallery name different concepts; build both labels with the same list")
        self._queries, self._gallery = query_labels.matrix, gallery_labels
        self._exclusion = exclusion or Exclusion.nothing(len(query_labels), len(ids))
        self._pairs = all_pairs(query_labels) if pairs is None else check_pairs(pairs, query_labels)
        self._by_query = np.argsort(self._pairs[:, 0], kind="stable")
        self._bounds = np.searchsorted(self._pairs[self._by_query, 0], np.arange(len(query_labels) + 1))
        self._items = np.zeros((len(query_labels), bits + 1), dtype=np.int64)
        self._sharing = np.zeros_like(self._items)
        self._relevant = np.zeros((len(self._pairs), bits + 1), dtype=np.int64)

    def add(self, query: int, distances: NDArray[np.int32], ids: NDArray[np.int64]) -> None:
        """Count the answer of one query: distances and ids, [m] each, in any order.

        Raises:
            BadInputError: If an id is not of the gallery, or a distance is larger than the number of bits.
        """
        rows = self._rows_of(ids)
        if len(distances) and not 0 <= distances.min() <= distances.max() < self._items.shape[1]:
            raise BadInputError(f"distances run to {distances.max()}; expected 0 to {self._items.shape[1] - 1}")
        group = self._exclusion.queries[query]
        if group != NO_GROUP:
            is_allowed = self._exclusion.gallery[rows] != group
            rows, distances = rows[is_allowed], distances[is_allowed]
        labels = self._gallery.matrix[rows]
        self._items[query] = self._histogram(distances)
        self._sharing[query] = self._histogram(distances[(labels & self._queries[query]).any(axis=1)])
        for pair in self._by_query[self._bounds[query] : self._bounds[query + 1]]:
            self._relevant[pair] = self._histogram(distances[labels[:, self._pairs[pair, 1]]])

    def result(self) -> DistanceCounts:
        """Return the counts; what was not fetched is known by its totals only."""
        sizes = len(self._sorted) - self._exclusion.num_excluded()
        return DistanceCounts(
            pairs=self._pairs,
            items=self._items,
            relevant=self._relevant,
            sharing=self._sharing,
            gallery_size=sizes,
            total_relevant=self._exclusion.num_relevant(self._pairs, self._gallery),
            total_sharing=self._total_sharing(),
            is_complete=bool((self._items.sum(axis=1) == sizes).all()),
        )

    def _rows_of(self, ids: NDArray[np.int64]) -> IntArray:
        places = np.minimum(np.searchsorted(self._sorted, ids), max(0, len(self._sorted) - 1))
        is_unknown = self._sorted[places] != ids if len(self._sorted) else np.ones(len(ids), dtype=np.bool_)
        if is_unknown.any():
            unknown = ids[int(np.argmax(is_unknown))]
            raise BadInputError(
                f"the index answered with id {unknown}, which is not of the gallery; "
                "restrict the search to the gallery or add the item, with its concepts or none"
            )
        return np.asarray(self._order[places])

    def _histogram(self, distances: NDArray[np.int32]) -> IntArray:
        return np.bincount(distances, minlength=self._items.shape[1])

    def _total_sharing(self) -> IntArray:
        sets, which = np.unique(self._queries, axis=0, return_inverse=True)
        totals = np.zeros(len(self._queries), dtype=np.int64)
        for number, wanted in enumerate(sets):
            is_sharing: BoolArray = np.asarray(self._gallery.matrix[:, wanted].any(axis=1))
            queries = np.flatnonzero(which.ravel() == number)
            places, items = self._exclusion.excluded_items(queries)
            left_out = np.bincount(places[is_sharing[items]], minlength=len(queries))
            totals[queries] = np.count_nonzero(is_sharing) - left_out
        return totals


def count_answers(
    answers: Iterator[Answer] | Sequence[Answer],
    gallery_ids: NDArray[np.int64],
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    bits: int,
    pairs: IntArray | None = None,
    exclusion: Exclusion | None = None,
) -> DistanceCounts:
    """Return the counts of answers given in the order of the queries: :class:`AnswerCounter` in one call.

    Raises:
        BadInputError: As :class:`AnswerCounter`, or if there is not one answer a query.
    """
    counter = AnswerCounter(gallery_ids, query_labels, gallery_labels, bits=bits, pairs=pairs, exclusion=exclusion)
    num_answers = 0
    for query, (distances, ids) in enumerate(answers):
        if query < len(query_labels):
            counter.add(query, distances, ids)
        num_answers += 1
    if num_answers != len(query_labels):
        raise BadInputError(f"there are {num_answers} answers for {len(query_labels)} queries; expected one each")
    return counter.result()
