"""The names of scores, and all scores of many queries at once, beside what chance gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.average_precision import NORMALISERS, Normaliser, expected_average_precisions
from search.evaluation.chance import (
    chance_average_precision,
    chance_average_precision_at_r,
    chance_precision,
    chance_recall,
)
from search.evaluation.groups import FloatArray, IntArray
from search.evaluation.metrics import average_precision_at_r, precision_at, recall_at
from search.evaluation.tie_bounds import average_precision_bounds

__all__ = [
    "DEFAULT_CUTOFFS",
    "MAX_CUTOFF",
    "PRIMARY_NORMALISER",
    "Metric",
    "Scores",
    "metrics_for",
    "score_rows",
]

DEFAULT_CUTOFFS = (10, 50)
MAX_CUTOFF = 1_000_000
PRIMARY_NORMALISER: Normaliser = "minKR"

NORMALISER_TITLES: dict[Normaliser, str] = {
    "minKR": "min(K, R)",
    "hits": "hits",
    "R": "R",
    "K": "K",
}


@dataclass(frozen=True, order=True)
class Metric:
    """What is measured.

    Attributes:
        kind: "map" (average precision), "precision", "recall", or "map_at_r".
        k: the cutoff; None for "map_at_r", whose cutoff is each query's number of relevant items.
        normaliser: the denominator of "map"; None for the others.
    """

    kind: Literal["map", "precision", "recall", "map_at_r"]
    k: int | None = None
    normaliser: Normaliser | None = None

    @property
    def key(self) -> str:
        """The name in JSON and CSV: "map@10:minKR", "precision@10", "recall@10", "map@r"."""
        if self.kind == "map_at_r":
            return "map@r"
        return f"{self.kind}@{self.k}" + (f":{self.normaliser}" if self.normaliser else "")

    @property
    def title(self) -> str:
        """The name in tables, such as "MAP@10 / min(K, R)" or "P@10"."""
        if self.kind == "map":
            return f"MAP@{self.k} / {NORMALISER_TITLES[cast('Normaliser', self.normaliser)]}"
        return {"precision": f"P@{self.k}", "recall": f"Recall@{self.k}", "map_at_r": "MAP@R"}[self.kind]

    @classmethod
    def from_key(cls, key: str) -> Metric:
        """Return the metric of a :attr:`key`.

        Raises:
            BadInputError: If there is none.
        """
        if key == "map@r":
            return cls("map_at_r")
        found = re.fullmatch(r"(map|precision|recall)@([1-9][0-9]{0,6})(?::(hits|minKR|R|K))?", key)
        if found is None or (found[1] == "map") != (found[3] is not None):
            raise BadInputError(f"metric is {key!r}; accepted: map@K:NORMALISER, precision@K, recall@K, map@r")
        kind = cast('Literal["map", "precision", "recall"]', found[1])
        return cls(kind, int(found[2]), cast("Normaliser | None", found[3]))


@dataclass(frozen=True)
class Scores:
    """The scores of p questions by one metric, float64 [p] each.

    Attributes:
        values: the expectation over random tie order.
        chance: what a random ranking scores in expectation.
        worst: the lowest that an order of the ties can give; None but for average precision at K.
        best: the highest.
    """

    values: FloatArray
    chance: FloatArray
    worst: FloatArray | None = None
    best: FloatArray | None = None

    def take(self, rows: IntArray) -> Scores:
        """Return the scores of some of the questions, by their rows [m]."""
        worst = None if self.worst is None else self.worst[rows]
        best = None if self.best is None else self.best[rows]
        return Scores(self.values[rows], self.chance[rows], worst, best)


def metrics_for(
    cutoffs: Sequence[int] = DEFAULT_CUTOFFS,
    normalisers: Iterable[Normaliser] = NORMALISERS,
    *,
    with_map_at_r: bool = False,
) -> tuple[Metric, ...]:
    """Return AP@K with every normaliser, precision@K and recall@K for every cutoff, and MAP@R on request.

    Raises:
        BadInputError: If there is no cutoff, or one is outside [1, ``MAX_CUTOFF``].
    """
    if not cutoffs or any(not 1 <= k <= MAX_CUTOFF for k in cutoffs):
        raise BadInputError(f"cutoffs are {list(cutoffs)}; expected numbers from 1 to {MAX_CUTOFF}")
    normalisers = tuple(normalisers)
    metrics: list[Metric] = []
    for k in sorted(set(cutoffs)):
        metrics += [Metric("map", k, normaliser) for normaliser in normalisers]
        metrics += [Metric("precision", k), Metric("recall", k)]
    return (*metrics, Metric("map_at_r")) if with_map_at_r else tuple(metrics)


def score_rows(
    metric: Metric, items: IntArray, relevant: IntArray, total_relevant: IntArray, gallery_size: IntArray
) -> Scores:
    """Return the scores of p rankings by one metric.

    Args:
        metric: what to measure.
        items: integers [p, t], items of each distance group, covering at least the top K.
        relevant: integers [p, t], relevant ones.
        total_relevant: integers [p], relevant items of the whole gallery.
        gallery_size: integers [p], items of the whole gallery.
    """
    if metric.kind == "map_at_r":
        return Scores(
            average_precision_at_r(items, relevant, total_relevant),
            chance_average_precision_at_r(gallery_size, total_relevant),
        )
    k = cast("int", metric.k)
    if metric.kind == "precision":
        return Scores(precision_at(items, relevant, k), chance_precision(gallery_size, total_relevant, k))
    if metric.kind == "recall":
        chance = chance_recall(gallery_size, total_relevant, k)
        return Scores(recall_at(items, relevant, k, total_relevant), chance)
    normaliser = cast("Normaliser", metric.normaliser)
    values = expected_average_precisions(items, relevant, k, normaliser, total_relevant)
    worst, best = average_precision_bounds(items, relevant, k, normaliser, total_relevant)
    chance = chance_average_precision(gallery_size, total_relevant, k, normaliser)
    # Rounding must not let a mean stand outside its own bounds.
    return Scores(np.clip(values, worst, best), chance, worst, best)
