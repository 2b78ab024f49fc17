"""Expected average precision of one ranking in exact fractions: the formula to check faster code against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import comb

from hashreel.errors import BadInputError
from search.evaluation.average_precision import Normaliser, check_normaliser

__all__ = ["exact_average_precision"]

Group = tuple[int, int]


def exact_average_precision(
    groups: Sequence[Group], k: int, normaliser: Normaliser, total_relevant: int | None = None
) -> Fraction:
    """Return the expected AP@K over random order inside distance groups, as an exact fraction.

    The same contract as :func:`search.evaluation.expected_average_precision`: 0 where nothing relevant is
    found; R is ``total_relevant`` or the sum of r. Slow for large K.

    Raises:
        BadInputError: If not 0 <= r <= n, k < 1, R is less than the sum of r, or the normaliser is unknown.

    Example:
        >>> exact_average_precision([(2, 1), (3, 1)], 4, "minKR")
        Fraction(41, 72)
    """
    check_normaliser(normaliser)
    total = _check(groups, k, total_relevant)
    taken = list(_taken_groups(groups, k))
    if normaliser == "hits":
        return _over_hits(taken)
    norm = {"minKR": min(k, total), "R": total, "K": k}[normaliser]
    return sum((_group_sum(*group) for group in taken), Fraction(0)) / norm if norm else Fraction(0)


def _check(groups: Sequence[Group], k: int, total_relevant: int | None) -> int:
    if k < 1:
        raise BadInputError(f"K is {k}; expected at least 1")
    for n, r in groups:
        if not 0 <= r <= n:
            raise BadInputError(f"a group is (n, r) = {(n, r)}; expected 0 <= r <= n")
    seen = sum(r for _, r in groups)
    if total_relevant is not None and total_relevant < seen:
        raise BadInputError(f"total_relevant is {total_relevant}, but the groups hold {seen} relevant items")
    return seen if total_relevant is None else total_relevant


def _taken_groups(groups: Sequence[Group], k: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (n, r, m taken, N items before, R relevant before) of every group that reaches the top K."""
    items_before = relevant_before = 0
    for n, r in groups:
        taken = min(n, k - items_before)
        if taken > 0:
            yield n, r, taken, items_before, relevant_before
        items_before += n
        relevant_before += r


def _group_sum(n: int, r: int, m: int, items_before: int, relevant_before: int) -> Fraction:
    second = Fraction(r - 1, n - 1) if n > 1 else Fraction(0)
    places = ((relevant_before + 1 + (i - 1) * second) / Fraction(items_before + i) for i in range(1, m + 1))
    return Fraction(r, n) * sum(places, Fraction(0))


def _over_hits(taken: Sequence[tuple[int, int, int, int, int]]) -> Fraction:
    if not taken:
        return Fraction(0)
    *whole, (n, r, m, items_before, relevant_before) = taken
    before = sum((_group_sum(*group) for group in whole), Fraction(0))
    result = Fraction(0)
    for h in range(max(0, m - (n - r)), min(m, r) + 1):
        if relevant_before + h:
            # With h of the m taken items relevant, those m are a small tie group of their own.
            inside = _group_sum(m, h, m, items_before, relevant_before)
            probability = Fraction(comb(r, h) * comb(n - r, m - h), comb(n, m))
            result += probability * (before + inside) / (relevant_before + h)
    return result
