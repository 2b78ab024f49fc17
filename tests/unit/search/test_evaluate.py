"""Runs: means over concepts, pairs and queries; calibrated radius; what is refused; JSON."""

from __future__ import annotations

import dataclasses
import json

import evaluation_cases as cases
import numpy as np
import pytest

from hashreel.errors import BadInputError
from search.evaluation import (
    DistanceCounts,
    Labels,
    Metric,
    calibrate_radius,
    count_distances,
    evaluate,
    metrics_for,
    run_from_dict,
    run_to_dict,
)

P1 = Metric("precision", 1)


def hand_made_run():
    """Two cats, one dog and one that is both; codes of one byte, so that ranks can be told by eye."""
    gallery = Labels.from_sets([{"cat"}, {"dog"}, {"cat", "dog"}, set()], ("cat", "dog"))
    queries = Labels.from_sets([{"cat"}, {"cat", "dog"}], ("cat", "dog"))
    codes = np.array([[0b0], [0b1], [0b11], [0b1111]], dtype=np.uint8)
    counts = count_distances(np.array([[0b0], [0b1]], dtype=np.uint8), codes, queries, gallery)
    return evaluate(counts, gallery.concepts, ["x", "y"], metrics=[P1, Metric("recall", 2)])


def test_macro_micro_and_sharing_means_by_hand():
    run = hand_made_run()
    # x finds the cat first; y finds the dog first, so its cat question scores 0 and its dog question 1.
    assert run.values(P1).tolist() == [1, 0, 1]
    assert run.concept_means(P1) == {"cat": 0.5, "dog": 1}
    assert run.macro(P1) == 0.75
    assert run.micro(P1) == pytest.approx(2 / 3)
    assert run.sharing(P1) == 1
    # y: distance 0 the dog, distance 1 the cat and the one that is both, of which one stands in the top 2.
    assert run.values(Metric("recall", 2)).tolist() == [0.5, 0.5, 0.75]
    assert run.asked_concepts == ("cat", "dog")
    assert run.gallery_size == 4


def test_chance_worst_and_best_have_means_of_their_own():
    run = cases.random_run()
    for metric in run.metrics:
        if metric.kind == "map" and metric.k is not None:
            assert run.macro(metric, "worst") <= run.macro(metric) <= run.macro(metric, "best")
            assert run.sharing(metric, "worst") <= run.sharing(metric)
        assert run.macro(metric, "chance") < run.macro(metric)
    with pytest.raises(BadInputError, match="has no worst"):
        run.macro(P10, "worst")
    with pytest.raises(BadInputError, match="was not measured"):
        run.values(Metric("precision", 3))


P10 = Metric("precision", 10)


def test_a_concept_without_queries_is_not_in_the_macro_mean():
    counts, keys = cases.random_counts()
    rows = counts.pairs[:, 1] != 1
    some = dataclasses.replace(
        counts,
        pairs=counts.pairs[rows],
        relevant=counts.relevant[rows],
        total_relevant=counts.total_relevant[rows],
    )
    run, whole = evaluate(some, cases.CONCEPTS, keys), cases.random_run()
    assert run.asked_concepts == ("cat", "sky")
    assert run.macro(P10) == pytest.approx(np.mean([whole.concept_means(P10)[c] for c in ("cat", "sky")]))


def test_queries_with_nothing_relevant_score_0_and_are_counted_in_a_warning():
    gallery = Labels.from_sets([{"cat"}, {"cat"}], ("cat", "dog"))
    queries = Labels.from_sets([{"cat"}, {"dog"}], ("cat", "dog"))
    codes = np.zeros((2, 1), dtype=np.uint8)
    run = evaluate(count_distances(codes, codes, queries, gallery), gallery.concepts, ["x", "y"])
    assert run.concept_means(Metric("map", 10, "R")) == {"cat": 1, "dog": 0}
    assert run.warnings == ("1 of 2 questions have nothing relevant in the gallery and score 0",)


def test_curves_stop_where_the_counts_do():
    counts, keys = cases.random_counts()
    covered = 6
    is_seen = np.arange(counts.items.shape[1]) <= covered
    truncated = dataclasses.replace(
        counts,
        items=counts.items * is_seen,
        relevant=counts.relevant * is_seen,
        sharing=counts.sharing * is_seen,
        is_complete=False,
    )
    metrics = metrics_for((1,))
    run, whole = (evaluate(c, cases.CONCEPTS, keys, metrics=metrics) for c in (truncated, counts))
    last = len(run.macro_curve.recall)
    assert 1 <= last <= covered + 1
    assert np.array_equal(run.macro_curve.recall, whole.macro_curve.recall[:last])
    assert all(curves.calibrated is None for curves in run.curves.values())
    with pytest.raises(BadInputError, match="MAP@R needs"):
        evaluate(truncated, cases.CONCEPTS, keys, metrics=[Metric("map_at_r")])
    with pytest.raises(BadInputError, match="too few for K = 200"):
        evaluate(truncated, cases.CONCEPTS, keys, metrics=[Metric("recall", 200)])


def test_top_curve_is_the_macro_precision_and_recall_at_each_k():
    run = cases.random_run()
    assert run.top_curve.cutoffs.tolist() == [1, 2, 5, 10, 20, 50]
    for kind in ("precision", "recall"):
        at = dict(zip(run.top_curve.cutoffs.tolist(), getattr(run.top_curve, kind), strict=True))
        assert at[10] == pytest.approx(run.macro(Metric(kind, 10)))
        assert at[50] == pytest.approx(run.macro(Metric(kind, 50)))


def test_nothing_to_evaluate_and_wrong_keys_are_refused():
    counts, keys = cases.random_counts()
    with pytest.raises(BadInputError, match="distinct"):
        evaluate(counts, cases.CONCEPTS, ["same"] * len(keys))
    empty = np.zeros((0, counts.items.shape[1]), dtype=np.int64)
    none = dataclasses.replace(
        counts, pairs=np.zeros((0, 2), np.int64), relevant=empty, total_relevant=np.zeros(0, np.int64)
    )
    with pytest.raises(BadInputError, match="no \\(query, concept\\) pair"):
        evaluate(none, cases.CONCEPTS, keys)


@pytest.mark.parametrize("metric", metrics_for((1, 10, 1_000_000), with_map_at_r=True))
def test_a_metrics_key_names_it(metric):
    assert Metric.from_key(metric.key) == metric


@pytest.mark.parametrize("key", ["map@10", "precision@10:hits", "map@0:hits", "recall", "map@10:max", "map@r:R", ""])
def test_other_keys_are_refused(key):
    with pytest.raises(BadInputError, match="accepted: map@K:NORMALISER"):
        Metric.from_key(key)


@pytest.mark.parametrize("cutoffs", [(), (0,), (1_000_001,)])
def test_cutoffs_out_of_range_are_refused(cutoffs):
    with pytest.raises(BadInputError, match="cutoffs"):
        metrics_for(cutoffs)


def test_the_calibrated_radius_is_the_largest_with_enough_precision_and_hits():
    items = np.array([[5, 10, 10, 50]] * 4)
    relevant = np.array([[5, 10, 6, 5]] * 4)
    total = np.array([40] * 4)
    found = calibrate_radius(items, relevant, total, 0.9)
    assert (found.radius, found.precision, found.returned, found.num_queries) == (1, 1.0, 15.0, 4)
    assert found.recall == pytest.approx(15 / 40)
    assert found.held_out_precision == 1
    assert calibrate_radius(items, relevant, total, 0.84).radius == 2
    assert calibrate_radius(items, relevant, total, 26 / 75).radius == 3


def test_no_radius_rests_on_a_few_lucky_hits():
    found = calibrate_radius(np.array([[1, 60], [1, 60]]), np.array([[1, 6], [1, 6]]), np.array([9, 9]), 0.9)
    assert found.radius is None
    assert found.precision is None


def test_a_radius_beyond_the_last_hit_is_not_claimed():
    found = calibrate_radius(np.array([[30, 0, 0]]), np.array([[30, 0, 0]]), np.array([30]), 0.9)
    assert found.radius == 0
    assert found.held_out_precision is None


def test_held_out_precision_shows_what_the_choice_of_a_radius_flatters():
    items = np.array([[40, 40], [40, 40]])
    relevant = np.array([[40, 40], [40, 0]])
    # One half takes radius 1, where the other is right half of the time; the other takes 0, where both are right.
    found = calibrate_radius(items, relevant, np.array([80, 40]), 0.7)
    assert (found.radius, found.precision) == (1, 0.75)
    assert found.held_out_precision == pytest.approx((40 + 40) / (80 + 40))


@pytest.mark.parametrize("target", [0, 1.1])
def test_targets_outside_0_to_1_are_refused(target):
    with pytest.raises(BadInputError, match="target precision"):
        calibrate_radius(np.array([[1]]), np.array([[1]]), np.array([1]), target)


def test_a_run_survives_json():
    run = cases.random_run()
    text = json.dumps(run_to_dict(run), allow_nan=False)
    again = run_from_dict(json.loads(text))
    assert run_to_dict(again) == run_to_dict(run)
    assert again.macro(P10) == run.macro(P10)
    assert again.curves["cat"].calibrated == run.curves["cat"].calibrated


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not an evaluation run"),
        ({"version": 2}, "has version 2; this program reads 1"),
        ({"pairs": [[0, 99]]}, "do not fit"),
        ({"pairs": "x"}, "damaged"),
        ({"total_relevant": []}, "do not fit"),
        ({"scores": {"best": {}}}, "damaged"),
        ({"scores": {"precision@1": {"values": None, "chance": None}}}, "damaged"),
        ({"curves": None}, "damaged"),
    ],
)
def test_a_damaged_run_is_refused(change, words):
    document = run_to_dict(cases.random_run()) | change
    with pytest.raises(BadInputError, match=words):
        run_from_dict(document)


def test_something_else_is_no_run():
    with pytest.raises(BadInputError, match="not an evaluation run"):
        run_from_dict([])


def test_a_subset_has_the_scores_of_its_pairs():
    run = cases.random_run()
    is_dog = run.pairs[:, 1] == 1
    dogs = run.subset(is_dog, "dogs")
    assert dogs.name == "dogs"
    assert dogs.asked_concepts == ("dog",)
    for metric in run.metrics:
        assert dogs.macro(metric) == run.concept_means(metric)["dog"]
        assert dogs.macro(metric, "chance") == run.concept_means(metric, "chance")["dog"]
    reversed_rows = run.subset(np.flatnonzero(is_dog)[::-1])
    assert reversed_rows.macro(P10) == pytest.approx(dogs.macro(P10))
    assert run_to_dict(run_from_dict(run_to_dict(dogs))) == run_to_dict(dogs)
    with pytest.raises(BadInputError, match="no question"):
        run.subset(np.zeros(len(run.pairs), dtype=bool))


def test_counts_name_the_sizes_of_their_pairs():
    counts, _ = cases.random_counts()
    assert isinstance(counts, DistanceCounts)
    assert np.array_equal(counts.items_of_pairs[5], counts.items[counts.pairs[5, 0]])
    assert (counts.gallery_size_of_pairs == 239).all()
