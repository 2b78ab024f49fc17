"""From stored scores to differences with intervals, and to the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim.arms import PRIMARIES, PROPOSED
from search.evaluation import Interval, Metric, bootstrap_difference, bootstrap_mean, holm_adjusted, sign_flip_p

__all__ = ["Difference", "Scoreboard", "Verdict", "decide"]

RESAMPLES = 5000
SIGNIFICANT = 0.05
LEAST_PAIRS = 5
"""A concept with fewer pairs in a slice by area or count is left out of the slice."""

Values = list[NDArray[np.float64]]
Chooser = Callable[[Mapping[str, Any]], NDArray[np.bool_]]


@dataclass(frozen=True)
class Difference:
    """An arm minus another: the interval of the macro difference, the sign-flip p over concepts, who won where."""

    interval: Interval
    p: float
    concepts: int
    better: int


@dataclass(frozen=True)
class Verdict:
    """The two primaries and whether both hold: interval above 0 and p after Holm below ``SIGNIFICANT``."""

    differences: Mapping[str, Difference]
    p_holm: Mapping[str, float]

    def holds(self, baseline: str) -> bool:
        """Return whether the proposed arm beats this one."""
        return self.differences[baseline].interval.lower > 0 and self.p_holm[baseline] < SIGNIFICANT

    def answer(self, baseline: str) -> str:
        """Return what is known of "the proposed arm beats this one"."""
        if self.holds(baseline):
            return "holds"
        is_worse = self.differences[baseline].interval.upper < 0 and self.p_holm[baseline] < SIGNIFICANT
        return "is refuted" if is_worse else "is not shown"

    @property
    def claim_holds(self) -> bool:
        """Whether it beats all of them."""
        return all(self.holds(baseline) for baseline in self.differences)


class Scoreboard:
    """Scores of one track by arm, collection and concept.

    Args:
        questions: of the campaign.
        results: of one track, with the same seeds for every arm.
    """

    def __init__(self, questions: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
        self.questions = questions
        self.arms = {arm: [r for r in results if r["arm"] == arm] for arm in dict.fromkeys(r["arm"] for r in results)}
        self.deciding = [name for name, q in questions.items() if q["decides"]]

    def concepts(self, collections: Sequence[str]) -> list[tuple[str, str]]:
        """Return the (collection, concept) pairs that are asked, in a fixed order."""
        return [
            (name, self.questions[name]["concepts"][number])
            for name in collections
            for number in sorted({concept for _, concept in self.questions[name]["pairs"]})
        ]

    def values(
        self, arm: str, metric: Metric, collections: Sequence[str], choose: Chooser | None = None, least: int = 1
    ) -> Values:
        """Return scores, one float64 [seeds, pairs] a concept; ``choose`` keeps some pairs of a collection."""
        found = []
        for name in collections:
            scores = np.array([run["scores"][name][metric.key] for run in self.arms[arm]])
            found += self._by_concept(name, scores, choose, least)
        return found

    def chance(
        self, metric: Metric, collections: Sequence[str], choose: Chooser | None = None, least: int = 1
    ) -> float:
        """Return the macro mean of a random ranking."""
        found = []
        for name in collections:
            found += self._by_concept(name, np.array([self.questions[name]["chance"][metric.key]]), choose, least)
        return float(np.mean([v.mean() for v in found]))

    def mean(self, arm: str, metric: Metric, collections: Sequence[str]) -> float:
        """Return the macro mean of an arm."""
        return float(np.mean([v.mean() for v in self.values(arm, metric, collections)]))

    def interval(self, arm: str, metric: Metric, collections: Sequence[str]) -> Interval:
        """Return the macro mean with its interval over concepts, queries and seeds."""
        return bootstrap_mean(self.values(arm, metric, collections), resamples=RESAMPLES)

    def difference(
        self,
        arm: str,
        baseline: str,
        metric: Metric,
        collections: Sequence[str],
        choose: Chooser | None = None,
        least: int = 1,
    ) -> Difference:
        """Return an arm minus another."""
        ours, theirs = (self.values(name, metric, collections, choose, least) for name in (arm, baseline))
        gains = np.array([a.mean() - b.mean() for a, b in zip(ours, theirs, strict=True)])
        interval = bootstrap_difference(ours, theirs, resamples=RESAMPLES)
        return Difference(interval, sign_flip_p(gains), len(gains), int(np.count_nonzero(gains > 0)))

    def _by_concept(self, name: str, scores: NDArray[np.float64], choose: Chooser | None, least: int) -> Values:
        concepts = np.array(self.questions[name]["pairs"])[:, 1]
        kept = np.ones(len(concepts), dtype=np.bool_) if choose is None else choose(self.questions[name])
        columns = [np.flatnonzero(kept & (concepts == number)) for number in np.unique(concepts)]
        return [scores[:, rows] for rows in columns if len(rows) >= least]


def decide(board: Scoreboard, metric: Metric) -> Verdict:
    """Return the verdict over the concepts of all collections that decide."""
    differences = {b: board.difference(PROPOSED, b, metric, board.deciding) for b in PRIMARIES}
    adjusted = holm_adjusted([difference.p for difference in differences.values()])
    return Verdict(differences, dict(zip(differences, adjusted, strict=True)))
