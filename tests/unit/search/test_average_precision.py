from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import ranking_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from hashreel.errors import BadInputError
from search.evaluation import (
    NORMALISERS,
    average_precision_bounds,
    exact_average_precision,
    expected_average_precision,
    expected_average_precisions,
)

THREE_GROUPS = [(1, 0), (3, 2), (2, 1)]
WORKED = [
    (THREE_GROUPS, 2, ("1/3", "1/6", "1/9", "1/6")),
    (THREE_GROUPS, 3, ("17/36", "2/9", "2/9", "2/9")),
    (THREE_GROUPS, 5, ("31/60", "13/30", "13/30", "13/50")),
    (THREE_GROUPS, 6, ("31/60", "31/60", "31/60", "31/120")),
    ([(4, 2)], 2, ("2/3", "5/12", "5/12", "5/12")),
    ([(2, 1), (3, 1)], 4, ("25/36", "41/72", "41/72", "41/144")),
]
WORKED_CASES = [
    (groups, k, normaliser, Fraction(value))
    for groups, k, values in WORKED
    for normaliser, value in zip(NORMALISERS, values, strict=True)
]

group = st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
small_rankings = st.lists(group, min_size=1, max_size=3)


@pytest.mark.parametrize(("groups", "k", "normaliser", "value"), WORKED_CASES)
def test_worked_numbers_in_exact_fractions(groups, k, normaliser, value):
    assert exact_average_precision(groups, k, normaliser) == value
    assert expected_average_precision(groups, k, normaliser) == pytest.approx(float(value), abs=1e-15)


def test_a_real_permutation_of_labelled_items_gives_the_same_mean():
    flags = {"a": 1, "b": 0, "c": 1, "d": 0}
    values = [
        reference.average_precision([flags[item] for item in order], 2, "hits", 2) for order in permutations(flags)
    ]
    assert reference.mean(values) == Fraction(2, 3) == exact_average_precision([(4, 2)], 2, "hits")


@settings(max_examples=1000, deadline=None)
@given(groups=small_rankings, k=st.integers(1, 13), missing=st.integers(0, 3))
def test_closed_forms_agree_with_brute_force_over_all_orders(groups, k, missing):
    total = sum(r for _, r in groups) + missing
    items, relevant = reference.as_rows(groups)
    for normaliser in NORMALISERS:
        values = reference.average_precisions(groups, k, normaliser, total)
        mean = reference.mean(values)
        assert exact_average_precision(groups, k, normaliser, total) == mean
        assert expected_average_precision(groups, k, normaliser, total) == pytest.approx(float(mean), abs=1e-14)
        worst, best = average_precision_bounds(items, relevant, k, normaliser, np.array([total]))
        assert worst[0] == pytest.approx(float(min(values)), abs=1e-14)
        assert best[0] == pytest.approx(float(max(values)), abs=1e-14)


def test_hits_is_not_monotone_so_its_best_order_is_not_relevant_first():
    assert expected_average_precision([(1, 1), (1, 0), (1, 0)], 3, "hits") == 1
    assert expected_average_precision([(1, 1), (1, 0), (1, 1)], 3, "hits") == pytest.approx(5 / 6)
    items, relevant = reference.as_rows([(1, 1), (1, 0), (2, 1)])
    assert average_precision_bounds(items, relevant, 3, "hits")[1] == 1


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("k", [1, 7, 60])
def test_large_groups_keep_their_precision(normaliser, k):
    groups = [(3, 1), (40, 7), (900, 90), (50_000, 5_000)]
    exact = exact_average_precision(groups, k, normaliser)
    assert expected_average_precision(groups, k, normaliser) == pytest.approx(float(exact), rel=1e-11)


def test_a_cut_through_a_group_of_a_million_is_still_a_probability():
    value = expected_average_precision([(1_000_000, 999_999)], 1_000, "hits")
    assert 0.99 < value <= 1


@settings(max_examples=50, deadline=None)
@given(
    rankings=st.lists(st.lists(group, min_size=4, max_size=4), min_size=1, max_size=6),
    cutoffs=st.data(),
    normaliser=st.sampled_from(NORMALISERS),
)
def test_rows_are_scored_alone_each_with_its_own_cutoff(rankings, cutoffs, normaliser):
    k = np.array([cutoffs.draw(st.integers(1, 18)) for _ in rankings])
    matrix = np.array(rankings)
    together = expected_average_precisions(matrix[:, :, 0], matrix[:, :, 1], k, normaliser)
    alone = [expected_average_precision(groups, int(cut), normaliser) for groups, cut in zip(rankings, k, strict=True)]
    assert together == pytest.approx(alone, abs=1e-14)


def test_many_rows_are_scored_in_blocks_as_one(monkeypatch):
    rng = np.random.default_rng(5)
    items = rng.integers(0, 40, size=(300, 9))
    relevant = rng.binomial(items, 0.3)
    whole = [expected_average_precisions(items, relevant, 55, n) for n in NORMALISERS]
    bounds = [average_precision_bounds(items, relevant, 55, n) for n in NORMALISERS]
    monkeypatch.setattr("search.evaluation.groups.MAX_BLOCK_CELLS", 64)
    for normaliser, before, (worst, best) in zip(NORMALISERS, whole, bounds, strict=True):
        assert expected_average_precisions(items, relevant, 55, normaliser) == pytest.approx(before, abs=1e-14)
        again = average_precision_bounds(items, relevant, 55, normaliser)
        assert again[0] == pytest.approx(worst, abs=1e-14)
        assert again[1] == pytest.approx(best, abs=1e-14)
        assert (worst - 1e-12 <= before).all()
        assert (before <= best + 1e-12).all()


def test_empty_groups_change_nothing():
    plain = [(1, 0), (3, 2), (2, 1)]
    padded = [(0, 0), (1, 0), (0, 0), (0, 0), (3, 2), (2, 1), (0, 0)]
    for normaliser in NORMALISERS:
        assert expected_average_precision(padded, 3, normaliser) == expected_average_precision(plain, 3, normaliser)


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("groups", [[], [(0, 0)], [(5, 0)], [(3, 0), (2, 2)]])
def test_a_query_that_finds_nothing_relevant_scores_0(normaliser, groups):
    assert expected_average_precision(groups, 3, normaliser) == 0
    assert exact_average_precision(groups, 3, normaliser) == 0


def test_relevant_items_that_were_not_fetched_count_under_r_and_min_k_r():
    groups = [(1, 1), (1, 0)]
    assert expected_average_precision(groups, 2, "R", 4) == 0.25
    assert expected_average_precision(groups, 2, "minKR", 4) == 0.5
    assert expected_average_precision(groups, 2, "hits", 4) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([(1, 2)], 1, "K"), "0 <= r <= n"),
        (([(1, -1)], 1, "K"), "0 <= r <= n"),
        (([(1, 1)], 0, "K"), "at least 1"),
        (([(1, 1)], 1, "best"), "hits, minKR, R, K"),
        (([(2, 2)], 1, "R", 1), "total_relevant"),
    ],
)
@pytest.mark.parametrize("function", [expected_average_precision, exact_average_precision])
def test_wrong_input_is_refused_in_words(function, arguments, words):
    with pytest.raises(BadInputError, match=words):
        function(*arguments)


@pytest.mark.parametrize(
    ("items", "relevant", "k"),
    [
        (np.zeros((2, 3), int), np.zeros((2, 2), int), 1),
        (np.zeros(3, int), np.zeros(3, int), 1),
        (np.zeros((2, 0), int), np.zeros((2, 0), int), 1),
        (np.ones((1, 2)), np.ones((1, 2)), 1),
        (np.ones((2, 2), int), np.ones((2, 2), int), np.array([1, 2, 3])),
        (np.ones((2, 2), int), np.ones((2, 2), int), 1.5),
    ],
)
def test_malformed_matrices_are_refused(items, relevant, k):
    with pytest.raises(BadInputError):
        expected_average_precisions(items, relevant, k, "K")
