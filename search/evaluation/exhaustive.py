"""Counts by distance from packed codes: every query against every gallery item, in blocks that stay in cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError
from search.evaluation.distance_counts import DistanceCounts, check_pairs
from search.evaluation.exclusion import Exclusion
from search.evaluation.groups import BoolArray, IntArray
from search.evaluation.labels import Labels, all_pairs

__all__ = ["block_distances", "check_evaluation_codes", "count_distances"]

QUERIES_PER_BLOCK = 32
ITEMS_PER_BLOCK = 16_384
"""A block's distances (0.5 MB) and histogram indices (4 MB) fit the cache of one core."""

MAX_CODE_BYTES = 32

Codes = NDArray[np.uint8]


def count_distances(
    query_codes: Codes,
    gallery_codes: Codes,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    pairs: IntArray | None = None,
    exclusion: Exclusion | None = None,
) -> DistanceCounts:
    """Return the histograms of the whole gallery over the Hamming distance from each query.

    Memory beside the result, (2 q + p) x (8 w + 1) numbers, does not grow with queries or gallery.

    Args:
        query_codes: uint8 [q, w], packed codes; unused bits 0.
        gallery_codes: uint8 [n, w].
        query_labels: the concepts of each query.
        gallery_labels: the concepts of each gallery item, the same names in the same order.
        pairs: int64 [p, 2], the (query, concept) pairs to evaluate; by default every concept of every query.
        exclusion: what each query leaves out; nothing by default.

    Raises:
        BadInputError: If shapes, concepts or pairs do not fit each other.
    """
    queries, gallery = (
        check_evaluation_codes(query_codes, query_labels),
        check_evaluation_codes(gallery_codes, gallery_labels),
    )
    if queries.shape[1] != gallery.shape[1]:
        raise BadInputError(f"query codes have {queries.shape[1]} bytes and gallery codes {gallery.shape[1]}")
    if query_labels.concepts != gallery_labels.concepts:
        raise BadInputError("queries and gallery name different concepts; build both labels with the same list")
    pairs = all_pairs(query_labels) if pairs is None else check_pairs(pairs, query_labels)
    exclusion = exclusion or Exclusion.nothing(len(queries), len(gallery))
    if (len(exclusion.queries), len(exclusion.gallery)) != (len(queries), len(gallery)):
        raise BadInputError("the exclusion was made for another number of queries or gallery items")
    counter = _Counter(_words(queries), query_labels, pairs, exclusion, 8 * queries.shape[1] + 1)
    for start in range(0, len(gallery), ITEMS_PER_BLOCK):
        columns = slice(start, min(start + ITEMS_PER_BLOCK, len(gallery)))
        counter.add(_words(gallery[columns]), gallery_labels.matrix[columns], start)
    return counter.result(len(gallery))


def check_evaluation_codes(codes: Codes, labels: Labels) -> Codes:
    """Return packed codes uint8 [n, w] after checking their form and that there are as many labels.

    Raises:
        BadInputError: On another dtype or shape, more than 256 bits, or another number of labels.
    """
    array = np.asarray(codes)
    if array.dtype != np.uint8 or array.ndim != 2 or not 1 <= array.shape[1] <= MAX_CODE_BYTES:
        raise BadInputError(f"codes are {array.dtype} {array.shape}; expected uint8 [n, 1 to {MAX_CODE_BYTES}]")
    if len(array) != len(labels):
        raise BadInputError(f"there are {len(array)} codes and {len(labels)} labels; expected one each")
    return array


def block_distances(queries: Codes, gallery: Codes) -> NDArray[np.uint16]:
    """Return Hamming distances, uint16 [q, n], of few queries uint8 [q, w] to a gallery uint8 [n, w]."""
    query_words, gallery_words = _words(queries), _words(gallery)
    distances = np.zeros((len(queries), len(gallery)), dtype=np.uint16)
    for word in range(query_words.shape[1]):
        distances += np.bitwise_count(query_words[:, word, None] ^ gallery_words[:, word])
    return distances


def _words(codes: Codes) -> NDArray[np.uint64]:
    """Return packed codes as 64-bit words [n, ceil(w / 8)], padded with zeros."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view(np.uint64)


@dataclass(frozen=True)
class _Block:
    """Queries that are counted together: their indices, concept sets, and the pairs that ask about them."""

    queries: IntArray
    signatures: list[tuple[IntArray, IntArray]]
    """(places in the block, the concepts that they contain)"""
    pairs: list[tuple[int, IntArray, IntArray]]
    """(concept, places in the block, rows of the pairs)"""


class _Counter:
    """Adds gallery blocks to the histograms of all queries."""

    def __init__(
        self,
        query_words: NDArray[np.uint64],
        query_labels: Labels,
        pairs: IntArray,
        exclusion: Exclusion,
        num_levels: int,
    ) -> None:
        self.words = query_words
        self.pairs = pairs
        self.exclusion = exclusion
        # The level after the last distance collects what is excluded and is dropped in the end.
        self.num_levels = num_levels + 1
        self.items = np.zeros((len(query_words), self.num_levels), dtype=np.int64)
        self.sharing = np.zeros_like(self.items)
        self.relevant = np.zeros((len(pairs), self.num_levels), dtype=np.int64)
        self.blocks = list(_make_blocks(query_labels, pairs))
        self.concepts = np.unique(pairs[:, 1])
        cells = QUERIES_PER_BLOCK * ITEMS_PER_BLOCK
        self._xor = np.empty(cells, dtype=np.uint64)
        self._count = np.empty(cells, dtype=np.uint8)
        self._distances = np.empty(cells, dtype=np.uint8 if num_levels < 256 else np.uint16)
        self._index = np.empty(cells, dtype=np.int64)

    def add(self, words: NDArray[np.uint64], matrix: BoolArray, start: int) -> None:
        """Count a block of the gallery: its words [g, w], labels [g, C] and the gallery row it starts at."""
        holders = {int(c): np.flatnonzero(matrix[:, c]) for c in self.concepts}
        for block in self.blocks:
            distances = self._block_distances(self.words[block.queries], words)
            places, items = self.exclusion.excluded_items(block.queries)
            is_here = (items >= start) & (items < start + len(words))
            distances[places[is_here], items[is_here] - start] = self.num_levels - 1
            self.items[block.queries] += self._histogram(distances)
            for places, concepts in block.signatures:
                columns = np.flatnonzero(matrix[:, concepts].any(axis=1))
                self.sharing[block.queries[places]] += self._histogram(distances[places].take(columns, axis=1))
            for concept, places, rows in block.pairs:
                columns = holders[concept]
                self.relevant[rows] += self._histogram(distances[places].take(columns, axis=1))

    def result(self, num_gallery: int) -> DistanceCounts:
        items, relevant, sharing = (m[:, :-1].copy() for m in (self.items, self.relevant, self.sharing))
        return DistanceCounts(
            pairs=self.pairs,
            items=items,
            relevant=relevant,
            sharing=sharing,
            gallery_size=items.sum(axis=1),
            total_relevant=relevant.sum(axis=1),
            total_sharing=sharing.sum(axis=1),
            is_complete=True,
        )

    def _block_distances(self, queries: NDArray[np.uint64], gallery: NDArray[np.uint64]) -> NDArray[Any]:
        shape = len(queries), len(gallery)
        xor, count, distances = (
            buffer[: shape[0] * shape[1]].reshape(shape) for buffer in (self._xor, self._count, self._distances)
        )
        for word in range(queries.shape[1]):
            np.bitwise_xor(queries[:, word, None], gallery[:, word], out=xor)
            if word == 0:
                np.bitwise_count(xor, out=distances, casting="same_kind")
            else:
                np.add(distances, np.bitwise_count(xor, out=count), out=distances)
        return distances

    def _histogram(self, distances: NDArray[Any]) -> IntArray:
        """Return how often each level occurs in each row of distances [b, g]: int64 [b, levels]."""
        num_rows, size = len(distances), distances.size
        index = self._index[:size].reshape(distances.shape)
        np.add(distances, np.arange(num_rows)[:, None] * self.num_levels, out=index)
        counts = np.bincount(index.ravel(), minlength=num_rows * self.num_levels)
        return counts.reshape(num_rows, self.num_levels)


def _make_blocks(labels: Labels, pairs: IntArray) -> Iterator[_Block]:
    """Yield blocks of queries, those with equal concept sets side by side, since they share their columns."""
    sets, which = np.unique(labels.matrix, axis=0, return_inverse=True)
    which = which.ravel()
    order = np.argsort(which, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    by_place = np.argsort(place[pairs[:, 0]], kind="stable")
    sorted_places = place[pairs[by_place, 0]]
    for start in range(0, len(order), QUERIES_PER_BLOCK):
        queries = order[start : start + QUERIES_PER_BLOCK]
        first, last = np.searchsorted(sorted_places, (start, start + QUERIES_PER_BLOCK))
        rows = by_place[first:last]
        concepts, places = pairs[rows, 1], sorted_places[first:last] - start
        yield _Block(
            queries=queries,
            signatures=[
                (np.flatnonzero(which[queries] == s), np.flatnonzero(sets[s])) for s in np.unique(which[queries])
            ],
            pairs=[(int(c), places[concepts == c], rows[concepts == c]) for c in np.unique(concepts)],
        )
