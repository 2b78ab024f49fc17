"""Bootstrap intervals, sign-flip test, Holm's correction."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hashreel.errors import BadInputError
from search.evaluation import bootstrap_difference, bootstrap_mean, holm_adjusted, sign_flip_p

# Top-10 and Top-50, proposed and baseline, in percent: Table III of the paper.
TABLE_3 = """36.66 4.00 28.30 3.88|5.47 15.61 8.87 13.81|72.29 82.88 47.32 58.27|28.41 26.66 30.54 23.66
34.24 45.10 27.52 26.00|39.43 15.00 33.72 14.78|43.58 11.19 42.02 11.67|35.56 28.19 25.37 20.37
89.71 75.75 78.43 73.27|44.50 41.16 39.27 22.74|56.33 39.60 42.62 19.68|92.62 85.74 84.09 73.49
61.19 55.20 22.98 37.29|42.93 42.66 32.10 37.81|48.10 55.73 39.19 42.50"""


def test_the_papers_gain_on_local_concepts_is_not_significant_at_10():
    table = np.array([row.split() for row in TABLE_3.replace("\n", "|").split("|")], dtype=float)
    assert round(sign_flip_p(table[:, 0] - table[:, 1]), 2) == 0.08
    assert round(sign_flip_p(table[:, 2] - table[:, 3]), 2) == 0.07


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_sign_flip_equals_trying_every_sign(differences):
    observed = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in _signs(len(differences))]
    assert sign_flip_p([float(d) for d in differences]) == np.mean([s >= observed for s in sums])


def _signs(count: int) -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=count))


def test_sign_flip_agrees_with_scipy():
    values = np.random.default_rng(0).normal(0.4, 1, 11)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(values) == pytest.approx(theirs.pvalue)


def test_sign_flip_of_many_concepts_is_sampled_near_the_exact_value_and_never_0():
    rng = np.random.default_rng(1)
    values = rng.normal(0.3, 1, 40)
    spread = np.sqrt((values**2).sum())
    normal = 2 * stats.norm.sf(abs(values.sum()) / spread)
    assert sign_flip_p(values) == pytest.approx(normal, abs=0.01)
    assert 0 < sign_flip_p(np.ones(40)) < 1e-4
    assert sign_flip_p(values) == sign_flip_p(values)


@pytest.mark.parametrize("differences", [[], [np.nan], [[0.1]]])
def test_sign_flip_refuses_what_is_no_list_of_numbers(differences):
    with pytest.raises(BadInputError):
        sign_flip_p(differences)


def test_holm_steps_down_and_keeps_the_order():
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.9, 0.8]) == [1, 1]
    assert holm_adjusted([]) == []
    with pytest.raises(BadInputError):
        holm_adjusted([1.1])


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    alpha, rejected = 0.05, set()
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[i] * (len(p_values) - rank) > alpha:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm_adjusted(p_values)) if p <= alpha} == rejected


def test_an_interval_of_constant_scores_is_a_point():
    values = [np.full((2, 5), 0.25), np.full((2, 9), 0.25)]
    interval = bootstrap_mean(values, resamples=200)
    assert (interval.estimate, interval.lower, interval.upper) == (0.25, 0.25, 0.25)


def test_the_estimate_is_the_macro_mean_whatever_the_number_of_queries():
    values = [np.array([[0.0, 1.0]]), np.full((1, 50), 0.3)]
    assert bootstrap_mean(values, resamples=10).estimate == pytest.approx(0.4)
    assert bootstrap_difference(values, [v * 0 for v in values], resamples=10).estimate == pytest.approx(0.4)


def test_the_spread_is_that_of_the_slow_nested_loop():
    rng = np.random.default_rng(3)
    values = [rng.random((3, n)) * (c + 1) for c, n in enumerate((4, 7, 12))]
    slow = []
    for _ in range(6000):
        seeds = rng.integers(0, 3, 3)
        drawn = [values[c] for c in rng.integers(0, 3, 3)]
        slow.append(np.mean([v[seeds][:, rng.integers(0, v.shape[1], v.shape[1])].mean() for v in drawn]))
    interval = bootstrap_mean(values, resamples=20_000)
    assert (interval.lower, interval.upper) == pytest.approx(tuple(np.quantile(slow, (0.025, 0.975))), rel=0.04)


def test_pairing_makes_the_interval_of_a_constant_gain_a_point():
    rng = np.random.default_rng(4)
    base = [rng.random((2, 20)) for _ in range(5)]
    better = [v + 0.1 for v in base]
    paired = bootstrap_difference(better, base, resamples=500)
    assert (paired.lower, paired.upper) == pytest.approx((0.1, 0.1))
    shifted = [v + np.array([[0.3], [-0.3]]) for v in base]
    alone = bootstrap_difference(shifted, shifted, paired_seeds=False, resamples=500)
    assert alone.upper > 0.2
    together = bootstrap_difference(shifted, shifted, paired_seeds=True, resamples=500)
    assert (together.lower, together.upper) == pytest.approx((0, 0), abs=1e-15)


def test_arms_may_have_different_numbers_of_seeds_unless_they_are_paired():
    rng = np.random.default_rng(5)
    first, second = [rng.random((5, 8))], [rng.random((1, 8))]
    assert bootstrap_difference(first, second, paired_seeds=False, resamples=10).estimate == pytest.approx(
        first[0].mean() - second[0].mean()
    )
    with pytest.raises(BadInputError, match="as many in both arms"):
        bootstrap_difference(first, second, resamples=10)


def test_equal_input_and_seed_give_equal_intervals():
    values = [np.random.default_rng(6).random((2, 30)) for _ in range(3)]
    assert bootstrap_mean(values, resamples=300) == bootstrap_mean(values, resamples=300)
    assert bootstrap_mean(values, resamples=300, seed=1) != bootstrap_mean(values, resamples=300)


def test_blocks_of_draws_change_nothing(monkeypatch):
    values = [np.random.default_rng(7).random((2, 30)) for _ in range(3)]
    whole = bootstrap_mean(values, resamples=300)
    monkeypatch.setattr("search.evaluation.bootstrap.DRAWS_PER_BLOCK", 100)
    assert bootstrap_mean(values, resamples=300) == whole


@pytest.mark.parametrize(
    "values",
    [[], [np.zeros((1, 0))], [np.zeros(3)], [np.zeros((1, 2)), np.zeros((2, 2))]],
)
def test_scores_of_another_shape_are_refused(values):
    with pytest.raises(BadInputError):
        bootstrap_mean(values, resamples=10)


def test_arms_with_other_queries_cannot_be_paired():
    with pytest.raises(BadInputError, match="different concepts or queries"):
        bootstrap_difference([np.zeros((1, 3))], [np.zeros((1, 4))], resamples=10)
    with pytest.raises(BadInputError):
        bootstrap_mean([np.zeros((1, 3))], resamples=0)
