"""The queries of each concept that went best and worst, and what came back for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError
from search.evaluation.exclusion import Exclusion
from search.evaluation.exhaustive import block_distances
from search.evaluation.groups import IntArray
from search.evaluation.metric import Metric
from search.evaluation.run import EvaluationRun

__all__ = ["Example", "ExampleChoice", "ExampleHit", "choose_examples", "nearest_items"]


@dataclass(frozen=True)
class ExampleChoice:
    """A question worth showing.

    Attributes:
        pair: its row in the run's pairs.
        concept: the concept asked for.
        query: the place of the query in the run's query keys.
        kind: whether it is among the best or the worst of its concept.
        score: its score by the metric that it was chosen by.
    """

    pair: int
    concept: str
    query: int
    kind: Literal["best", "worst"]
    score: float


@dataclass(frozen=True)
class ExampleHit:
    """A hit: the key of its picture, its Hamming distance, whether it contains the concept, and a caption."""

    key: str
    distance: int
    is_relevant: bool
    caption: str = ""


@dataclass(frozen=True)
class Example:
    """A query with what came back for it, nearest first."""

    concept: str
    query_key: str
    kind: Literal["best", "worst"]
    score: float
    hits: tuple[ExampleHit, ...]


def choose_examples(run: EvaluationRun, metric: Metric, per_concept: int = 2) -> list[ExampleChoice]:
    """Return the best and the worst queries of each concept, no query twice for the same concept.

    Equal scores are taken in order of their query keys.

    Args:
        run: the run to show.
        metric: what best and worst mean.
        per_concept: how many best ones, and how many worst ones, at most.
    """
    if per_concept < 0:
        raise BadInputError(f"examples per concept is {per_concept}; expected at least 0")
    values = run.values(metric)
    choices = []
    for concept in run.asked_concepts:
        rows = run.rows_of(concept)
        ranked = rows[np.argsort(-values[rows], kind="stable")]
        best = ranked[: min(per_concept, (len(ranked) + 1) // 2)]
        worst = ranked[::-1][: min(per_concept, len(ranked) - len(best))]
        kinds: list[tuple[Literal["best", "worst"], IntArray]] = [("best", best), ("worst", worst)]
        choices += [
            ExampleChoice(int(i), concept, int(run.pairs[i, 0]), kind, float(values[i]))
            for kind, chosen in kinds
            for i in chosen
        ]
    return choices


def nearest_items(
    query_code: NDArray[np.uint8],
    gallery_codes: NDArray[np.uint8],
    gallery_ids: IntArray | Sequence[int],
    top: int,
    *,
    exclusion: Exclusion | None = None,
    query: int = 0,
) -> tuple[IntArray, IntArray]:
    """Return the (distance, gallery row) of the ``top`` nearest items, ordered by (distance, id): int64 [k] each.

    Args:
        query_code: uint8 [w], one packed code.
        gallery_codes: uint8 [n, w].
        gallery_ids: integers [n], the ids that break ties.
        top: hits to return; fewer where there are not as many.
        exclusion: what the query leaves out; nothing by default.
        query: the query's place in ``exclusion``.
    """
    distances = block_distances(query_code[None], gallery_codes)[0].astype(np.int64)
    order = np.lexsort((np.asarray(gallery_ids), distances))
    if exclusion is not None:
        _, left_out = exclusion.excluded_items(np.array([query]))
        order = order[~np.isin(order, left_out)]
    rows = order[:top]
    return distances[rows], rows
