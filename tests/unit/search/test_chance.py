from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import ranking_reference as reference

from search.evaluation import (
    NORMALISERS,
    Exclusion,
    Labels,
    Metric,
    chance_average_precision,
    chance_average_precision_at_r,
    chance_precision,
    chance_recall,
    count_distances,
    evaluate,
    metrics_for,
)


def one(value: int) -> np.ndarray:
    return np.array([value])


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_chance_is_the_mean_over_all_rankings(normaliser):
    for num_items, num_relevant, k in product((1, 5, 8), (0, 1, 3), (1, 4, 9)):
        if num_relevant <= num_items:
            values = reference.average_precisions([(num_items, num_relevant)], k, normaliser, num_relevant)
            ours = chance_average_precision(one(num_items), one(num_relevant), k, normaliser)
            assert ours[0] == pytest.approx(float(reference.mean(values)), abs=1e-14)


def test_chance_under_hits_is_high_at_a_base_rate_of_a_tenth():
    # The limit of a large gallery at K = 10: every one of the 2^10 patterns with its own probability.
    limit = sum(
        0.1 ** sum(pattern) * 0.9 ** (10 - sum(pattern)) * float(reference.average_precision(pattern, 10, "hits", 10))
        for pattern in product((0, 1), repeat=10)
    )
    large = chance_average_precision(one(10_000_000), one(1_000_000), 10, "hits")[0]
    assert large == pytest.approx(limit, abs=1e-6)
    assert round(large, 3) == 0.218
    assert round(chance_average_precision(one(10_000_000), one(1_000_000), 50, "hits")[0], 3) == 0.164


def test_closed_forms_of_precision_recall_and_map_at_r():
    assert chance_precision(one(40), one(10), 8).tolist() == [0.25]
    assert chance_precision(one(4), one(1), 8).tolist() == [0.125]
    assert chance_recall(one(40), one(10), 8) == pytest.approx([0.2])
    assert chance_recall(one(40), one(0), 8).tolist() == [0]
    values = reference.average_precisions([(7, 3)], 3, "R", 3)
    assert chance_average_precision_at_r(one(7), one(3))[0] == pytest.approx(float(reference.mean(values)))


def test_random_codes_score_their_printed_chance_level():
    rng = np.random.default_rng(8)
    num_queries, num_items = 600, 900
    gallery = rng.integers(0, 256, (num_items, 6), dtype=np.uint8)
    labels = Labels.from_classes(rng.choice(3, num_items, p=(0.6, 0.3, 0.1)), ("a", "b", "c"))
    rows = rng.choice(num_items, num_queries, replace=False)
    counts = count_distances(
        gallery[rows], gallery, labels.take(rows), labels, exclusion=Exclusion.of_self(rows, num_items)
    )
    run = evaluate(counts, labels.concepts, [str(r) for r in rows], metrics=metrics_for((10, 50), with_map_at_r=True))
    for metric in run.metrics:
        surplus = run.scores[metric].values - run.scores[metric].chance
        # Queries share a gallery, so they are not quite independent: 4.5 standard errors leave room for it.
        assert abs(surplus.mean()) < 4.5 * surplus.std() / np.sqrt(num_queries), metric.key
    assert run.micro(Metric("map", 10, "hits"), "chance") > 0.4
