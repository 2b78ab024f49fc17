"""How sure a score, or the difference of two, is: a hierarchical bootstrap over concepts, queries and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError
from search.evaluation.groups import FloatArray, IntArray

__all__ = ["Interval", "bootstrap_difference", "bootstrap_mean"]

DRAWS_PER_BLOCK = 1 << 20


@dataclass(frozen=True)
class Interval:
    """A macro mean (or difference of two) with its percentile interval.

    Attributes:
        estimate: the value on the data itself.
        lower: the lower end.
        upper: the upper end.
        level: the coverage that is aimed at, such as 0.95.
    """

    estimate: float
    lower: float
    upper: float
    level: float = 0.95


def bootstrap_mean(
    values: Sequence[FloatArray], *, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the macro mean of scores with its interval.

    One resample draws concepts with replacement, then for each drawn concept its queries with replacement,
    and training seeds once for all (every trained model answers all queries). The statistic is the mean over
    seeds and queries, then over concepts. A query that contains several concepts is drawn for each of them
    separately. With few concepts a percentile interval is somewhat too narrow.

    Args:
        values: for each concept, float64 [seeds, its queries]; the same number of seeds everywhere.
        resamples: bootstrap resamples.
        level: coverage of the interval, in (0, 1).
        seed: of the random generator; equal input and seed give an equal interval.

    Raises:
        BadInputError: If there is no concept, one without queries, or the seeds differ in number.
    """
    return _bootstrap(values, None, True, resamples, level, seed)


def bootstrap_difference(
    first: Sequence[FloatArray],
    second: Sequence[FloatArray],
    *,
    paired_seeds: bool = True,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the macro mean of ``first`` minus that of ``second`` with its interval, paired.

    Both are scores of the same queries of the same concepts, and each resample draws the same ones for both.

    Args:
        first: for each concept, float64 [seeds, its queries].
        second: likewise; the number of seeds may differ unless they are paired.
        paired_seeds: whether seed i of both arms is drawn together; false draws them independently.
        resamples: bootstrap resamples.
        level: coverage of the interval, in (0, 1).
        seed: of the random generator.

    Raises:
        BadInputError: If the shapes do not fit each other.
    """
    return _bootstrap(first, second, paired_seeds, resamples, level, seed)


def _bootstrap(
    first: Sequence[FloatArray],
    second: Sequence[FloatArray] | None,
    paired_seeds: bool,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    if resamples < 1 or not 0 < level < 1:
        raise BadInputError(f"resamples is {resamples}, level {level}; expected at least 1 and one in (0, 1)")
    num_first = _check(first)
    num_second = 0 if second is None else _check(second)
    stacked = list(first) if second is None else _stack(first, second)
    if second is not None and paired_seeds and num_first != num_second:
        raise BadInputError(f"paired seeds need as many in both arms, received {num_first} and {num_second}")
    rng = np.random.default_rng(seed)
    weights = _seed_weights(rng, num_first, num_second, paired_seeds, resamples)
    signs = np.concatenate((np.full(num_first, 1 / num_first), np.full(num_second, -1 / max(num_second, 1))))
    estimate = float(np.mean([(v.mean(axis=1) * signs).sum() for v in stacked]))
    resampled = _resample(rng, stacked, weights * signs)
    lower, upper = np.quantile(resampled, ((1 - level) / 2, (1 + level) / 2))
    return Interval(estimate, float(lower), float(upper), level)


def _check(values: Sequence[FloatArray]) -> int:
    """Return the number of seeds."""
    if not values:
        raise BadInputError("there is no concept to resample; expected at least one with a query")
    shapes = {v.shape[:1] for v in values if v.ndim == 2 and v.shape[0] and v.shape[1]}
    if len(shapes) != 1 or any(v.ndim != 2 or not v.size for v in values):
        raise BadInputError(f"scores have shapes {[v.shape for v in values]}; expected [seeds, queries >= 1] each")
    return int(values[0].shape[0])


def _stack(first: Sequence[FloatArray], second: Sequence[FloatArray]) -> list[FloatArray]:
    if len(first) != len(second) or any(a.shape[1] != b.shape[1] for a, b in zip(first, second, strict=True)):
        raise BadInputError("the two arms were evaluated on different concepts or queries; pair them first")
    return [np.concatenate((a, b)) for a, b in zip(first, second, strict=True)]


def _seed_weights(
    rng: np.random.Generator, num_first: int, num_second: int, paired: bool, resamples: int
) -> FloatArray:
    """Return how often each seed of both arms is drawn: float64 [resamples, num_first + num_second]."""
    a = rng.multinomial(num_first, np.full(num_first, 1 / num_first), size=resamples)
    if not num_second:
        return a.astype(np.float64)
    b = a if paired else rng.multinomial(num_second, np.full(num_second, 1 / num_second), size=resamples)
    return np.concatenate((a, b), axis=1).astype(np.float64)


def _resample(rng: np.random.Generator, values: Sequence[FloatArray], weights: FloatArray) -> FloatArray:
    """Return the statistic of each resample: float64 [resamples]."""
    drawn: NDArray[np.int64] = rng.integers(0, len(values), size=(len(weights), len(values)))
    sums = np.zeros(len(weights))
    for concept, scores in enumerate(values):
        # A concept that is drawn twice in a resample gets two independent draws of its queries.
        times = np.count_nonzero(drawn == concept, axis=1)
        owners = np.repeat(np.arange(len(weights)), times)
        means = _query_means(rng, scores, len(owners))
        sums += np.bincount(owners, (means * weights[owners]).sum(axis=1), minlength=len(weights))
    return sums / len(values)


def _query_means(rng: np.random.Generator, scores: FloatArray, num_draws: int) -> FloatArray:
    """Return the mean over as many queries drawn with replacement: float64 [num_draws, seeds]."""
    num_queries = scores.shape[1]
    means = np.empty((num_draws, len(scores)))
    step = max(1, DRAWS_PER_BLOCK // num_queries)
    for start in range(0, num_draws, step):
        size = min(step, num_draws - start)
        rows: IntArray = rng.integers(0, num_queries, size=(size, num_queries))
        for seed, line in enumerate(scores):
            means[start : start + size, seed] = line[rows].mean(axis=1)
    return means
