"""A small evaluation made by hand, and a random one, for tests of runs and reports."""

from __future__ import annotations

import numpy as np

from search.evaluation import DistanceCounts, EvaluationRun, Exclusion, Labels, count_distances, evaluate, metrics_for

CONCEPTS = ("cat", "dog", "sky")


def random_counts(seed: int = 0, *, noise: float = 0.2, num_items: int = 240) -> tuple[DistanceCounts, list[str]]:
    """Return the counts of a gallery whose codes resemble their concepts but for noisy bits, and query keys."""
    rng = np.random.default_rng(1)
    labels = Labels(CONCEPTS, rng.random((num_items, 3)) < (0.5, 0.3, 0.2))
    centres = rng.random((3, 16)) < 0.5
    pure = (labels.matrix @ centres) > 0
    flips = np.random.default_rng(seed).random(pure.shape) < noise
    codes = np.packbits(pure ^ flips, axis=1, bitorder="little")
    rows = np.flatnonzero(labels.matrix.any(axis=1))[:90]
    counts = count_distances(
        codes[rows], codes, labels.take(rows), labels, exclusion=Exclusion.of_self(rows, num_items)
    )
    return counts, [f"q{row:03}" for row in rows]


def random_run(name: str = "proposed", seed: int = 0, *, noise: float = 0.2) -> EvaluationRun:
    """Return the scores of :func:`random_counts` with every metric."""
    counts, keys = random_counts(seed, noise=noise)
    return evaluate(
        counts, CONCEPTS, keys, name=name, metrics=metrics_for(with_map_at_r=True), settings={"bits": 16, "seed": seed}
    )
