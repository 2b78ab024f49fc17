"""Slow, obvious versions of ranking scores: every order of the ties, in exact fractions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np

Group = tuple[int, int]


def orders_of_group(n: int, r: int) -> list[tuple[int, ...]]:
    """Return all distinct orders of r relevant among n items; permutations make each of them equally often."""
    return [tuple(int(i in places) for i in range(n)) for places in combinations(range(n), r)]


def orders(groups: Sequence[Group]) -> Iterator[list[int]]:
    """Yield every order of a ranking that its distance groups allow."""
    for parts in product(*(orders_of_group(n, r) for n, r in groups)):
        yield [flag for part in parts for flag in part]


def average_precision(ranking: Sequence[int], k: int, normaliser: str, total_relevant: int) -> Fraction:
    """Return AP@K of a ranking without ties, straight from the definition."""
    found, total = 0, Fraction(0)
    for place, is_relevant in enumerate(ranking[:k], start=1):
        if is_relevant:
            found += 1
            total += Fraction(found, place)
    norm = {"hits": found, "minKR": min(k, total_relevant), "R": total_relevant, "K": k}[normaliser]
    return total / norm if norm else Fraction(0)


def average_precisions(groups: Sequence[Group], k: int, normaliser: str, total_relevant: int) -> list[Fraction]:
    """Return AP@K of every order of the ties, all equally likely."""
    return [average_precision(order, k, normaliser, total_relevant) for order in orders(groups)]


def mean(values: Sequence[Fraction]) -> Fraction:
    """Return the exact mean."""
    return sum(values, Fraction(0)) / len(values)


def as_rows(groups: Sequence[Group]) -> tuple[np.ndarray, np.ndarray]:
    """Return groups as the two matrices, one row each, that the vectorised functions take."""
    pairs = np.array(groups, dtype=np.int64).reshape(1, -1, 2)
    return pairs[:, :, 0], pairs[:, :, 1]
