"""How many items, and how many relevant ones, lie at each distance of each query: all that scores need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.groups import BoolArray, IntArray
from search.evaluation.labels import Labels

__all__ = ["DistanceCounts", "check_pairs"]


@dataclass(frozen=True)
class DistanceCounts:
    """Histograms of a gallery over the distance from each query, t = largest distance + 1 columns.

    What is relevant depends on the question: for the pair (query, concept) it is what contains the concept,
    for the query as a whole what shares at least one concept with it.

    Attributes:
        pairs: int64 [p, 2], (query, concept) for each row of ``relevant``.
        items: int64 [q, t], items at each distance.
        relevant: int64 [p, t], items that contain the pair's concept.
        sharing: int64 [q, t], items that share at least one concept with the query.
        gallery_size: int64 [q], items that may be returned to the query (exclusions are taken off).
        total_relevant: int64 [p], how many of them contain the pair's concept.
        total_sharing: int64 [q], how many of them share at least one concept with the query.
        is_complete: whether the histograms cover the gallery, or only the nearest part of it.
    """

    pairs: IntArray
    items: IntArray
    relevant: IntArray
    sharing: IntArray
    gallery_size: IntArray
    total_relevant: IntArray
    total_sharing: IntArray
    is_complete: bool

    @property
    def items_of_pairs(self) -> IntArray:
        """The row of ``items`` for each pair: int64 [p, t]."""
        return self.items[self.pairs[:, 0]]

    @property
    def gallery_size_of_pairs(self) -> IntArray:
        """The gallery size for each pair: int64 [p]."""
        return self.gallery_size[self.pairs[:, 0]]

    def check_covers(self, k: int) -> None:
        """Raise BadInputError unless every query's top K, or all of the gallery, is counted."""
        counted = self.items.sum(axis=1)
        is_short = counted < np.minimum(k, self.gallery_size)
        if is_short.any():
            query = int(np.argmax(is_short))
            raise BadInputError(
                f"the answers of query {query} hold {counted[query]} items of {self.gallery_size[query]}, too few "
                f"for K = {k}; fetch K more than the query's excluded items, then everything within that distance"
            )


def check_pairs(pairs: IntArray, labels: Labels) -> IntArray:
    """Return ``pairs`` as int64 [p, 2] after checking that each query contains the concept of its pair.

    Raises:
        BadInputError: On another shape, an index out of range, or a query that lacks the concept.
    """
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise BadInputError(f"pairs are {array.dtype} {array.shape}; expected integers [p, 2], (query, concept)")
    array = array.astype(np.int64)
    queries, concepts = array.T
    bounds = labels.matrix.shape
    if array.size and (array.min() < 0 or queries.max() >= bounds[0] or concepts.max() >= bounds[1]):
        raise BadInputError(f"a pair is out of range; there are {bounds[0]} queries and {bounds[1]} concepts")
    lacks: BoolArray = ~labels.matrix[queries, concepts]
    if lacks.any():
        query, concept = array[int(np.argmax(lacks))]
        raise BadInputError(f"query {query} does not contain {labels.concepts[concept]!r}, but a pair asks for it")
    return array
