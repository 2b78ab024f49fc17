"""Which gallery items a query never gets: itself, or everything of its own video."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.groups import IntArray
from search.evaluation.labels import Labels

__all__ = ["NO_GROUP", "Exclusion"]

NO_GROUP = -1
"""The group of a query that excludes nothing."""


@dataclass(frozen=True)
class Exclusion:
    """A query is not compared with the gallery items of its own group.

    Groups are any numbers: gallery rows (each item is its own group: only the query itself is left out) or
    video numbers (its whole video is).

    Attributes:
        queries: int64 [q], the group of each query, or ``NO_GROUP``.
        gallery: int64 [n], the group of each gallery item.
    """

    queries: IntArray
    gallery: IntArray

    def __post_init__(self) -> None:
        for name, array in (("queries", self.queries), ("gallery", self.gallery)):
            if array.ndim != 1 or array.dtype != np.int64:
                raise BadInputError(f"groups of the {name} are {array.dtype} {array.shape}; expected int64 [n]")

    @classmethod
    def nothing(cls, num_queries: int, num_gallery: int) -> Exclusion:
        """Return the exclusion of nothing, for queries that are not of the gallery."""
        return cls(np.full(num_queries, NO_GROUP, dtype=np.int64), np.arange(num_gallery, dtype=np.int64))

    @classmethod
    def of_self(cls, query_rows: IntArray, num_gallery: int) -> Exclusion:
        """Return the exclusion of each query itself; ``query_rows`` are its rows in the gallery or ``NO_GROUP``."""
        return cls(np.asarray(query_rows, dtype=np.int64), np.arange(num_gallery, dtype=np.int64))

    @cached_property
    def _order(self) -> IntArray:
        return np.argsort(self.gallery, kind="stable")

    @cached_property
    def _sorted(self) -> IntArray:
        return self.gallery[self._order]

    def _ranges(self, queries: IntArray | slice) -> tuple[IntArray, IntArray]:
        groups = self.queries[queries]
        first = np.searchsorted(self._sorted, groups, side="left")
        last = np.searchsorted(self._sorted, groups, side="right")
        return first, np.where(groups == NO_GROUP, 0, last - first)

    def num_excluded(self) -> IntArray:
        """Return how many gallery items each query leaves out: int64 [q]."""
        return self._ranges(slice(None))[1]

    def excluded_items(self, queries: IntArray) -> tuple[IntArray, IntArray]:
        """Return what the given queries leave out, as (place in ``queries``, gallery row) pairs: int64 [m] each."""
        first, sizes = self._ranges(queries)
        places = np.repeat(np.arange(len(queries)), sizes)
        steps = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return places, np.asarray(self._order[np.repeat(first, sizes) + steps])

    def num_relevant(self, pairs: IntArray, gallery_labels: Labels) -> IntArray:
        """Return, for each (query, concept) pair, how many allowed gallery items contain the concept: int64 [p]."""
        totals: IntArray = gallery_labels.matrix.sum(axis=0, dtype=np.int64)[pairs[:, 1]]
        for rows in _blocks(len(pairs)):
            places, items = self.excluded_items(pairs[rows, 0])
            has_concept = gallery_labels.matrix[items, pairs[rows, 1][places]]
            totals[rows] -= np.bincount(places[has_concept], minlength=len(totals[rows]))
        return totals


def _blocks(num_rows: int, step: int = 256) -> list[slice]:
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]
