"""Which concepts each picture or key-frame contains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError
from search.evaluation.groups import BoolArray, IntArray

__all__ = ["Labels", "all_pairs"]


@dataclass(frozen=True)
class Labels:
    """The concepts of n items.

    Attributes:
        concepts: the names of C concepts, each once.
        matrix: bool [n, C], item i contains concept j.
    """

    concepts: tuple[str, ...]
    matrix: BoolArray

    def __post_init__(self) -> None:
        if self.matrix.dtype != np.bool_ or self.matrix.ndim != 2:
            raise BadInputError(f"labels are {self.matrix.dtype} {self.matrix.shape}; expected bool [n, concepts]")
        if len(self.concepts) != self.matrix.shape[1]:
            raise BadInputError(f"{len(self.concepts)} concept names for {self.matrix.shape[1]} columns of labels")
        if len(set(self.concepts)) != len(self.concepts):
            raise BadInputError("a concept name stands twice; each concept needs a name of its own")

    def __len__(self) -> int:
        return len(self.matrix)

    @classmethod
    def from_sets(cls, sets: Sequence[Collection[str]], concepts: Iterable[str] | None = None) -> Labels:
        """Return the labels of items given as sets of concept names.

        Args:
            sets: the concepts of each item; an item may have none.
            concepts: the names and order of the columns; all names that occur, sorted, by default.

        Raises:
            BadInputError: If an item has a concept that ``concepts`` lacks.
        """
        names = tuple(sorted({name for item in sets for name in item})) if concepts is None else tuple(concepts)
        column = {name: j for j, name in enumerate(names)}
        matrix = np.zeros((len(sets), len(names)), dtype=np.bool_)
        for i, item in enumerate(sets):
            for name in item:
                if name not in column:
                    raise BadInputError(f"item {i} has concept {name!r}; accepted: {', '.join(names)}")
                matrix[i, column[name]] = True
        return cls(names, matrix)

    @classmethod
    def from_classes(cls, classes: NDArray[Any], concepts: Sequence[str]) -> Labels:
        """Return the labels of items of exactly one concept each, given as its number, integers [n].

        Raises:
            BadInputError: If a number is outside [0, number of concepts).
        """
        numbers = np.asarray(classes)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise BadInputError(f"classes are {numbers.dtype} {numbers.shape}; expected integers [n]")
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(concepts):
            raise BadInputError(
                f"classes run from {numbers.min()} to {numbers.max()}; expected 0 to {len(concepts) - 1}"
            )
        return cls(tuple(concepts), numbers[:, None] == np.arange(len(concepts)))

    def take(self, rows: IntArray | slice) -> Labels:
        """Return the labels of some of the items, in the given order."""
        return Labels(self.concepts, self.matrix[rows])


def all_pairs(labels: Labels) -> IntArray:
    """Return every (query, concept it contains) pair, int64 [p, 2], in order of query, then concept."""
    return np.argwhere(labels.matrix).astype(np.int64)
