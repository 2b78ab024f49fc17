"""Time and memory of an evaluation of 10,000 queries against 50,000 codes, all normalisers, K = 10, 50, 1000.

    python benchmarks/evaluation_speed.py

Pinned to one core, 48-bit codes that cluster by concept so that ties are many, once with
one concept an item and once with several. Counted from the codes in memory to the run's scores, bounds, chance
levels and curves. Exits 1 where it takes 60 s or 2 GB or more.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

import numpy as np

from search.evaluation import Exclusion, Labels, Metric, count_distances, evaluate, metrics_for

LIMIT_S = 60.0
LIMIT_GB = 2.0
CUTOFFS = (10, 50, 1000)
CONCEPTS = tuple(f"concept {i}" for i in range(10))


def clustered(rng: np.random.Generator, matrix: np.ndarray, bits: int, noise: float) -> np.ndarray:
    """Return packed codes of items: the bits of their concepts' centres, each flipped with probability ``noise``."""
    centres = rng.random((matrix.shape[1], bits)) < 0.3
    pure = (matrix.astype(np.float32) @ centres.astype(np.float32)) > 0
    return np.packbits(pure ^ (rng.random(pure.shape, dtype=np.float32) < noise), axis=1, bitorder="little")


def labels_of(rng: np.random.Generator, kind: str, num_items: int) -> Labels:
    """Return labels with one concept an item ("single"), or 3 of 10 on average ("several")."""
    if kind == "single":
        return Labels.from_classes(rng.integers(0, len(CONCEPTS), num_items), CONCEPTS)
    matrix = rng.random((num_items, len(CONCEPTS))) < 0.3
    matrix[:, 0] |= ~matrix.any(axis=1)
    return Labels(CONCEPTS, matrix)


def measure(kind: str, num_queries: int, num_items: int, bits: int, noise: float) -> float:
    """Evaluate once, print what it took, and return the seconds."""
    rng = np.random.default_rng(0)
    labels = labels_of(rng, kind, num_items)
    codes = clustered(rng, labels.matrix, bits, noise)
    rows = rng.choice(num_items, num_queries, replace=False)
    began = time.perf_counter()
    counts = count_distances(
        codes[rows], codes, labels.take(rows), labels, exclusion=Exclusion.of_self(rows, num_items)
    )
    counted = time.perf_counter()
    run = evaluate(counts, CONCEPTS, [str(row) for row in rows], metrics=metrics_for(CUTOFFS, with_map_at_r=True))
    ended = time.perf_counter()
    score = run.macro(Metric("map", CUTOFFS[-1], "minKR"))
    print(
        f"{kind:8} {num_queries} x {num_items}, {bits} bits, noise {noise:g}, {len(counts.pairs)} questions, "
        f"{len(run.metrics)} metrics: counting {counted - began:.1f} s + scoring {ended - counted:.1f} s "
        f"= {ended - began:.1f} s (MAP@{CUTOFFS[-1]} {score:.4f})"
    )
    return ended - began


def main() -> int:
    """Run both kinds and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--bits", type=int, default=48)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sizes = options.queries, options.items, options.bits
    # Noise 0.5 is codes that say nothing: the widest tie groups, which cost "hits" the most.
    slowest = max(measure(kind, *sizes, noise) for kind in ("single", "several") for noise in (0.15, 0.5))
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    met = slowest < LIMIT_S and peak_gb < LIMIT_GB
    print(
        f"slowest {slowest:.1f} s (bar {LIMIT_S:g}), peak memory {peak_gb:.2f} GB (bar {LIMIT_GB:g}): "
        f"{'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
