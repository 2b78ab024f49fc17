from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import ranking_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from search.evaluation import (
    average_precision_at_r,
    expected_average_precisions,
    precision_at,
    radius_curve,
    recall_at,
)

group = st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=200, deadline=None)
@given(groups=st.lists(group, min_size=1, max_size=3), k=st.integers(1, 13), missing=st.integers(0, 2))
def test_precision_recall_and_map_at_r_are_means_over_all_orders(groups, k, missing):
    items, relevant = reference.as_rows(groups)
    seen = sum(r for _, r in groups)
    total = np.array([seen + missing])
    found = reference.mean([Fraction(sum(order[:k])) for order in reference.orders(groups)])
    assert precision_at(items, relevant, k)[0] == pytest.approx(float(found / k), abs=1e-14)
    recall = float(found / total[0]) if total[0] else 0
    assert recall_at(items, relevant, k, total)[0] == pytest.approx(recall, abs=1e-14)
    at_r = reference.mean(reference.average_precisions(groups, max(seen, 1), "R", seen))
    assert average_precision_at_r(items, relevant)[0] == pytest.approx(float(at_r), abs=1e-14)


def _untied(rng: np.random.Generator, num_items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distances without ties, relevance flags, and the ranking's relevance as one row of groups of one."""
    distances, flags = rng.permutation(num_items), rng.random(num_items) < 0.3
    flags[0] = True
    return distances, flags, flags[np.argsort(distances)][None].astype(np.int64)


def test_scikit_learn_agrees_where_there_are_no_ties():
    rng = np.random.default_rng(1)
    for _ in range(20):
        distances, flags, row = _untied(rng, 50)
        ours = expected_average_precisions(np.ones_like(row), row, 50, "R")[0]
        assert ours == pytest.approx(average_precision_score(flags, -distances), abs=1e-12)


def test_torchmetrics_agrees_where_there_are_no_ties():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.retrieval", reason="torchmetrics is in [dev]")
    rng = np.random.default_rng(2)
    for k in (1, 5, 10, 40):
        distances, flags, row = _untied(rng, 40)
        # Its predictions must be positive: it drops those that are not.
        scores, target, ones = torch.tensor(41.0 - distances), torch.tensor(flags), np.ones_like(row)
        theirs = functional.retrieval_average_precision(scores, target, top_k=k).item()
        assert expected_average_precisions(ones, row, k, "hits")[0] == pytest.approx(theirs, abs=1e-6)
        theirs = functional.retrieval_precision(scores, target, top_k=k).item()
        assert precision_at(ones, row, k)[0] == pytest.approx(theirs, abs=1e-6)
        theirs = functional.retrieval_recall(scores, target, top_k=k).item()
        assert recall_at(ones, row, k)[0] == pytest.approx(theirs, abs=1e-6)


def test_precision_and_recall_by_radius_agree_with_scikit_learn_ties_included():
    rng = np.random.default_rng(3)
    distances, flags = rng.integers(0, 9, 200), rng.random(200) < 0.4
    items = np.bincount(distances, minlength=9)[None]
    relevant = np.bincount(distances[flags], minlength=9)[None]
    curve = radius_curve(items, relevant)
    precision, recall, _ = precision_recall_curve(flags, -distances)
    assert curve.precision == pytest.approx(precision[-2::-1])
    assert curve.recall == pytest.approx(recall[-2::-1])
    assert curve.returned.tolist() == np.cumsum(items[0]).tolist()


def test_radius_curve_says_what_queries_without_hits_do():
    items = np.array([[0, 2, 2], [1, 0, 3]])
    relevant = np.array([[0, 1, 1], [0, 0, 3]])
    curve = radius_curve(items, relevant, np.array([2, 6]))
    assert curve.empty.tolist() == [0.5, 0, 0]
    assert curve.precision.tolist() == [0, 0.25, (0.5 + 0.75) / 2]
    assert curve.pooled_precision.tolist() == [0, 1 / 3, 5 / 8]
    assert curve.recall.tolist() == [0, 0.25, (1 + 0.5) / 2]
    assert np.isnan(radius_curve(items[:1], relevant[:1]).pooled_precision[0])


def test_precision_divides_by_k_even_where_the_ranking_is_shorter():
    assert precision_at(np.array([[2]]), np.array([[2]]), 4).tolist() == [0.5]
