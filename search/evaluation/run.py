"""The scores of one model on one set of questions, and their means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.calibration import CalibratedRadius
from search.evaluation.groups import BoolArray, FloatArray, IntArray
from search.evaluation.metric import Metric, Scores
from search.evaluation.metrics import RadiusCurve

__all__ = ["ConceptCurves", "EvaluationRun", "TopCurve"]

Setting = str | int | float | bool | None


@dataclass(frozen=True)
class TopCurve:
    """Macro precision and recall of the top K for growing K: int64 [c], then float64 [c] each."""

    cutoffs: IntArray
    precision: FloatArray
    recall: FloatArray


@dataclass(frozen=True)
class ConceptCurves:
    """What is known of a concept, or of all concepts equally weighted, for growing radius.

    Attributes:
        by_radius: precision and recall for radius 0, 1, ...
        calibrated: the radius for a target precision; None for the mean over concepts.
    """

    by_radius: RadiusCurve
    calibrated: CalibratedRadius | None = None


@dataclass(frozen=True)
class EvaluationRun:
    """The scores of one model (or one training seed of it) on one set of questions.

    A question is a pair (query, concept that it contains); relevant is what contains the concept.

    Attributes:
        name: what tables call it.
        concepts: the C concept names.
        query_keys: a name of each of the q queries.
        pairs: int64 [p, 2], (query, concept).
        scores: for every metric, the scores of the p pairs.
        sharing_scores: for every metric, the scores of the q queries where relevant is what shares at least
            one concept with the query.
        total_relevant: int64 [p], relevant items in the gallery.
        gallery_size: items in the gallery, before any are left out for a query.
        curves: by concept name; empty where the counts do not cover enough.
        macro_curve: the mean of ``curves`` over concepts, or None.
        top_curve: precision and recall by K, or None.
        settings: how the scores came about (bits, fingerprint, exclusion, ...), for the reader.
        warnings: what the reader must know.
    """

    name: str
    concepts: tuple[str, ...]
    query_keys: tuple[str, ...]
    pairs: IntArray
    scores: Mapping[Metric, Scores]
    sharing_scores: Mapping[Metric, Scores]
    total_relevant: IntArray
    gallery_size: int
    curves: Mapping[str, ConceptCurves] = field(default_factory=dict)
    macro_curve: RadiusCurve | None = None
    top_curve: TopCurve | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What was measured."""
        return tuple(self.scores)

    @property
    def asked_concepts(self) -> tuple[str, ...]:
        """The concepts with at least one query, in order: those that macro means are over."""
        return tuple(self.concepts[c] for c in np.unique(self.pairs[:, 1]))

    def rows_of(self, concept: str) -> IntArray:
        """Return which pairs ask for a concept, in order of their query keys: int64 [m]."""
        if concept not in self.concepts:
            raise BadInputError(f"there is no concept {concept!r}; there are {', '.join(self.concepts)}")
        rows = np.flatnonzero(self.pairs[:, 1] == self.concepts.index(concept))
        return np.array(sorted(rows, key=lambda i: self.query_keys[self.pairs[i, 0]]), dtype=np.int64)

    def values(self, metric: Metric) -> FloatArray:
        """Return the score of each pair: float64 [p].

        Raises:
            BadInputError: If the metric was not measured.
        """
        return self._scores(metric).values

    def concept_means(self, metric: Metric, part: str = "values") -> dict[str, float]:
        """Return the mean over the queries of each asked concept.

        Args:
            metric: a measured metric.
            part: "values" (expected over ties), "chance", "worst" or "best".
        """
        column = self._part(metric, part)
        sums = np.bincount(self.pairs[:, 1], column, minlength=len(self.concepts))
        sizes = np.bincount(self.pairs[:, 1], minlength=len(self.concepts))
        return {self.concepts[c]: float(sums[c] / sizes[c]) for c in np.flatnonzero(sizes)}

    def macro(self, metric: Metric, part: str = "values") -> float:
        """Return the mean over concepts of the mean over their queries: every concept weighs the same."""
        return float(np.mean(list(self.concept_means(metric, part).values())))

    def micro(self, metric: Metric, part: str = "values") -> float:
        """Return the mean over all (query, concept) pairs: every question weighs the same."""
        return float(self._part(metric, part).mean())

    def sharing(self, metric: Metric, part: str = "values") -> float:
        """Return the mean over the asked queries where relevant is what shares at least one of their concepts."""
        column = getattr(self.sharing_scores[metric], part)
        if column is None:
            raise BadInputError(f"{metric.title} has no {part}; only average precision at K has bounds")
        return float(column[np.unique(self.pairs[:, 0])].mean())

    def pair_keys(self) -> list[tuple[str, str]]:
        """Return (concept, query key) of each pair: what runs are paired by."""
        return [(self.concepts[c], self.query_keys[q]) for q, c in self.pairs]

    def subset(self, pairs: IntArray | BoolArray, name: str | None = None) -> EvaluationRun:
        """Return the run of some of its pairs, such as those whose object is small; curves are left out.

        Args:
            pairs: which rows of ``pairs``, as indices [m] or bool [p].
            name: what tables call it; the same by default.

        Raises:
            BadInputError: If no pair is left.
        """
        rows = np.arange(len(self.pairs))[pairs]
        if not len(rows):
            raise BadInputError(f"no question of run {self.name!r} is in the subset; choose at least one")
        return dataclasses.replace(
            self,
            name=self.name if name is None else name,
            pairs=self.pairs[rows],
            scores={metric: scores.take(rows) for metric, scores in self.scores.items()},
            total_relevant=self.total_relevant[rows],
            curves={},
            macro_curve=None,
            top_curve=None,
        )

    def _scores(self, metric: Metric) -> Scores:
        if metric not in self.scores:
            measured = ", ".join(m.key for m in self.scores)
            raise BadInputError(f"{metric.key} was not measured in run {self.name!r}; it has {measured}")
        return self.scores[metric]

    def _part(self, metric: Metric, part: str) -> FloatArray:
        column = getattr(self._scores(metric), part)
        if column is None:
            raise BadInputError(f"{metric.title} has no {part}; only average precision at K has bounds")
        return np.asarray(column)
