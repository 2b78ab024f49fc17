"""Feedback against Rocchio's formula by loops, and its direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.feedback import ALPHA, BETA, GAMMA, refine

BITS = 12


def codes(numbers: list[int]) -> NDArray[np.uint8]:
    return np.array(numbers, "<u2").view(np.uint8).reshape(-1, 2)


def weighted(code: NDArray[np.uint8], weights: NDArray[np.float32], other: int) -> float:
    own = int(code.view("<u2")[0])
    return sum(float(weights[bit]) for bit in range(BITS) if (own ^ other) >> bit & 1)


def profile(query: int | None, more: list[int], less: list[int]) -> list[float]:
    def sign(number: int, bit: int) -> int:
        return 1 if number >> bit & 1 else -1

    return [
        (ALPHA * sign(query, bit) if query is not None else 0)
        + (BETA * sum(sign(n, bit) for n in more) / len(more) if more else 0)
        - (GAMMA * sum(sign(n, bit) for n in less) / len(less) if less else 0)
        for bit in range(BITS)
    ]


numbers = st.integers(0, 2**BITS - 1)
marks = st.lists(numbers, max_size=4)


@given(query=numbers, more=marks, less=marks, gallery=st.lists(numbers, min_size=2, max_size=12))
def test_the_order_is_that_of_the_inner_product(
    query: int, more: list[int], less: list[int], gallery: list[int]
) -> None:
    code, weights = refine(codes([query])[0], codes(more), codes(less), BITS)
    p = profile(query, more, less)
    products = [sum(p[bit] * (1 if n >> bit & 1 else -1) for bit in range(BITS)) for n in gallery]
    distances = [weighted(code, weights, n) for n in gallery]
    for i in range(len(gallery)):
        for j in range(len(gallery)):
            if products[i] > products[j] + 1e-3:
                assert distances[i] < distances[j]
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(BITS, rel=1e-5)


def test_without_marks_it_is_the_hamming_distance() -> None:
    code, weights = refine(codes([0b101])[0], codes([]), codes([]), BITS)
    assert weights.tolist() == [1.0] * BITS
    assert code.tolist() == codes([0b101])[0].tolist()


@given(query=numbers, mark=numbers, other=numbers)
def test_a_mark_pulls_and_pushes_in_its_direction(query: int, mark: int, other: int) -> None:
    """Against any other frame, a frame gains by "more" and loses by "less"."""
    one = codes([query])[0]
    plain = (query ^ mark).bit_count() - (query ^ other).bit_count()
    nearer = refine(one, codes([mark]), codes([]), BITS)
    farther = refine(one, codes([]), codes([mark]), BITS)
    assert weighted(*nearer, mark) - weighted(*nearer, other) <= max(plain, 0) + 1e-3
    if plain >= 0:
        assert weighted(*farther, mark) - weighted(*farther, other) >= -1e-3


def test_marks_alone_are_a_query() -> None:
    code, weights = refine(None, codes([0b1100, 0b0110]), codes([]), BITS)
    assert int(code.view("<u2")[0]) == 0b0100
    assert weights[1] == weights[3] == 0
    assert (weights[[0, 2, 4]] > 0).all()
