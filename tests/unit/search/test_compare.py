from __future__ import annotations

import dataclasses

import evaluation_cases as cases
import numpy as np
import pytest

from hashreel.errors import BadInputError
from search.evaluation import Arm, EvaluationRun, Metric, compare, holm_adjusted, sign_flip_p

MAP10, MAP50 = Metric("map", 10, "minKR"), Metric("map", 50, "minKR")


def reordered(run: EvaluationRun) -> EvaluationRun:
    """Return the same run with its queries and pairs in another order."""
    queries = np.random.default_rng(0).permutation(len(run.query_keys))
    place = np.argsort(queries)
    pairs = np.random.default_rng(1).permutation(len(run.pairs))
    moved = {
        m: dataclasses.replace(s, values=s.values[pairs], chance=s.chance[pairs], worst=None, best=None)
        for m, s in run.scores.items()
    }
    return dataclasses.replace(
        run,
        query_keys=tuple(run.query_keys[i] for i in queries),
        pairs=np.stack((place[run.pairs[pairs, 0]], run.pairs[pairs, 1]), axis=1),
        scores=moved,
    )


def test_the_difference_is_that_of_the_macro_means_with_tests_over_concepts():
    good = Arm("good", tuple(cases.random_run(f"g{s}", s, noise=0.1) for s in range(3)))
    bad = Arm("bad", tuple(cases.random_run(f"b{s}", s, noise=0.4) for s in range(3)))
    found = compare(good, bad, [MAP10, MAP50], resamples=500)
    for comparison in found:
        metric = comparison.metric
        assert comparison.difference.estimate == pytest.approx(good.macro(metric) - bad.macro(metric))
        assert 0 < comparison.difference.lower < comparison.difference.upper
        assert (comparison.num_better, comparison.num_concepts) == (3, 3)
        gains = [good.concept_means(metric)[c] - bad.concept_means(metric)[c] for c in cases.CONCEPTS]
        assert comparison.p == sign_flip_p(gains) == 0.25
    assert [c.p_holm for c in found] == holm_adjusted([c.p for c in found])


def test_runs_are_paired_by_query_and_concept_whatever_their_order():
    run = cases.random_run()
    (found,) = compare(Arm("a", (run,)), Arm("b", (reordered(run),)), [MAP10], resamples=200)
    assert found.difference.estimate == pytest.approx(0, abs=1e-15)
    assert (found.difference.lower, found.difference.upper) == pytest.approx((0, 0), abs=1e-15)


def test_arms_of_several_seeds_average_them():
    runs = tuple(cases.random_run(f"r{s}", s) for s in range(2))
    arm = Arm("a", runs)
    assert arm.macro(MAP10) == pytest.approx(np.mean([r.macro(MAP10) for r in runs]))
    assert arm.micro(MAP10) == pytest.approx(np.mean([r.micro(MAP10) for r in runs]))
    assert arm.sharing(MAP10) == pytest.approx(np.mean([r.sharing(MAP10) for r in runs]))
    assert arm.macro(MAP10, concepts=["dog"]) == pytest.approx(arm.concept_means(MAP10)["dog"])
    assert [v.shape[0] for v in arm.values(MAP10)] == [2, 2, 2]
    interval = arm.interval(MAP10, resamples=200)
    assert interval.lower < interval.estimate < interval.upper
    assert interval.estimate == pytest.approx(arm.macro(MAP10))


def test_unequal_numbers_of_seeds_are_drawn_independently():
    runs = tuple(cases.random_run(f"r{s}", s) for s in range(2))
    (found,) = compare(Arm("a", runs), Arm("b", runs[:1]), [MAP10], resamples=100)
    assert found.difference.lower <= found.difference.estimate <= found.difference.upper


def test_other_questions_are_refused_with_an_example():
    run = cases.random_run()
    other = dataclasses.replace(run, query_keys=("other", *run.query_keys[1:]))
    with pytest.raises(BadInputError, match="answered different questions: 1 only the first, 1 only the second"):
        compare(Arm("a", (run,)), Arm("b", (other,)), [MAP10])
    with pytest.raises(BadInputError, match="answered different questions"):
        Arm("a", (run, other))
    with pytest.raises(BadInputError, match="no run"):
        Arm("a", ())
