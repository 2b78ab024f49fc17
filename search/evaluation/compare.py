"""Two arms, each one or several training seeds of a model, on the same questions: which is better, how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.bootstrap import Interval, bootstrap_difference, bootstrap_mean
from search.evaluation.groups import FloatArray
from search.evaluation.metric import Metric
from search.evaluation.run import EvaluationRun
from search.evaluation.significance import holm_adjusted, sign_flip_p

__all__ = ["Arm", "Comparison", "compare"]

DEFAULT_RESAMPLES = 10_000


@dataclass(frozen=True)
class Arm:
    """One way to make codes, evaluated once or once for each training seed, always on the same questions.

    Attributes:
        name: what tables call it.
        runs: one a training seed, at least one.
    """

    name: str
    runs: tuple[EvaluationRun, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise BadInputError(f"arm {self.name!r} has no run; expected at least one")
        first = set(self.runs[0].pair_keys())
        for run in self.runs[1:]:
            _check_same_questions(first, set(run.pair_keys()), self.runs[0].name, run.name)

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts that are asked for."""
        return self.runs[0].asked_concepts

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What every run measured."""
        return tuple(m for m in self.runs[0].metrics if all(m in run.scores for run in self.runs))

    def values(self, metric: Metric, concepts: Sequence[str] | None = None) -> list[FloatArray]:
        """Return, for each concept, the scores float64 [seeds, its queries], queries in order of their keys."""
        return [
            np.stack([run.values(metric)[run.rows_of(concept)] for run in self.runs])
            for concept in (self.concepts if concepts is None else concepts)
        ]

    def concept_means(self, metric: Metric, part: str = "values") -> dict[str, float]:
        """Return the mean over queries, then seeds, of each concept; ``part`` as in ``EvaluationRun``."""
        means = [run.concept_means(metric, part) for run in self.runs]
        return {concept: float(np.mean([m[concept] for m in means])) for concept in self.concepts}

    def macro(self, metric: Metric, part: str = "values", concepts: Sequence[str] | None = None) -> float:
        """Return the mean over concepts (all, or those given) of their means."""
        means = self.concept_means(metric, part)
        return float(np.mean([means[c] for c in (self.concepts if concepts is None else concepts)]))

    def micro(self, metric: Metric, part: str = "values") -> float:
        """Return the mean over all (query, concept) pairs and seeds."""
        return float(np.mean([run.micro(metric, part) for run in self.runs]))

    def sharing(self, metric: Metric, part: str = "values") -> float:
        """Return the mean over queries and seeds where relevant is what shares at least one concept."""
        return float(np.mean([run.sharing(metric, part) for run in self.runs]))

    def interval(
        self, metric: Metric, *, resamples: int = DEFAULT_RESAMPLES, level: float = 0.95, seed: int = 0
    ) -> Interval:
        """Return the macro mean with its bootstrap interval over concepts, queries and seeds."""
        return bootstrap_mean(self.values(metric), resamples=resamples, level=level, seed=seed)


@dataclass(frozen=True)
class Comparison:
    """The difference of two arms by one metric: proposed minus baseline.

    Attributes:
        metric: what was measured.
        difference: of the macro means, with its paired bootstrap interval.
        p: two-sided sign-flip test over concepts.
        p_holm: the same after Holm's correction over all metrics that were compared together.
        num_concepts: concepts in the test.
        num_better: concepts whose mean is higher in the proposed arm.
    """

    metric: Metric
    difference: Interval
    p: float
    p_holm: float
    num_concepts: int
    num_better: int


def compare(
    proposed: Arm,
    baseline: Arm,
    metrics: Sequence[Metric],
    *,
    paired_seeds: bool | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> list[Comparison]:
    """Return the differences of two arms, one a metric; the metrics are one family for Holm's correction.

    Args:
        proposed: the arm that is tried.
        baseline: the arm that it is compared with, on the same questions.
        metrics: the metrics that decide, such as MAP@10 and MAP@50.
        paired_seeds: whether run i of both arms share their seed; by default, where they are as many.
        resamples: bootstrap resamples.
        level: coverage of the intervals.
        seed: of the random generator.

    Raises:
        BadInputError: If the arms answered different questions.
    """
    _check_same_questions(
        set(proposed.runs[0].pair_keys()), set(baseline.runs[0].pair_keys()), proposed.name, baseline.name
    )
    paired = len(proposed.runs) == len(baseline.runs) if paired_seeds is None else paired_seeds
    gains = [_gains(proposed, baseline, metric) for metric in metrics]
    p_values = [sign_flip_p(gain, seed=seed) for gain in gains]
    return [
        Comparison(
            metric=metric,
            difference=bootstrap_difference(
                proposed.values(metric),
                baseline.values(metric, proposed.concepts),
                paired_seeds=paired,
                resamples=resamples,
                level=level,
                seed=seed,
            ),
            p=p,
            p_holm=p_holm,
            num_concepts=len(gain),
            num_better=int(np.count_nonzero(gain > 0)),
        )
        for metric, gain, p, p_holm in zip(metrics, gains, p_values, holm_adjusted(p_values), strict=True)
    ]


def _gains(proposed: Arm, baseline: Arm, metric: Metric) -> FloatArray:
    """Return proposed minus baseline of each concept: float64 [concepts]."""
    ours, theirs = proposed.concept_means(metric), baseline.concept_means(metric)
    return np.array([ours[concept] - theirs[concept] for concept in proposed.concepts])


def _check_same_questions(
    first: set[tuple[str, str]], second: set[tuple[str, str]], first_name: str, second_name: str
) -> None:
    if first == second:
        return
    concept, query = sorted(first ^ second)[0]
    raise BadInputError(
        f"{first_name!r} and {second_name!r} answered different questions: {len(first - second)} only the first, "
        f"{len(second - first)} only the second, such as query {query!r} for {concept!r}; evaluate both with the "
        "same ground truth, the same choice of queries and the same seed"
    )
