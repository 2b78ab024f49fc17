"""From items to a run: the whole evaluation, in parts that can be counted and stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.distance_counts import DistanceCounts
from search.evaluation.evaluate import evaluate
from search.evaluation.examples import Example, ExampleHit, choose_examples, nearest_items
from search.evaluation.exclusion import Exclusion
from search.evaluation.exhaustive import count_distances
from search.evaluation.items import Items, Questions
from search.evaluation.metric import DEFAULT_CUTOFFS, Metric, metrics_for
from search.evaluation.run import EvaluationRun, Setting

__all__ = ["count_questions", "evaluate_items", "show_examples"]

QUERIES_PER_PART = 512

Tell = Callable[[int, int], None]


def evaluate_items(
    items: Items,
    questions: Questions,
    *,
    name: str,
    cutoffs: Sequence[int] = DEFAULT_CUTOFFS,
    settings: Mapping[str, Setting] | None = None,
    max_questions: int | None = None,
    tell: Tell | None = None,
) -> EvaluationRun:
    """Return the scores of the questions: every query against the whole gallery.

    Args:
        items: what there is.
        questions: from :func:`ask`.
        name: what tables call the run.
        cutoffs: the K of AP@K, precision and recall.
        settings: how the codes came about, for the reader.
        max_questions: refuse more (query, concept) pairs than that.
        tell: called with (queries done, queries) before each part; what it raises ends the evaluation.

    Raises:
        BadInputError: If there are too many questions, or a cutoff is not acceptable.
    """
    metrics = metrics_for(cutoffs, with_map_at_r=True)
    if max_questions is not None and len(questions.pairs) > max_questions:
        raise BadInputError(
            f"there are {len(questions.pairs)} questions (a query and a concept that it contains); at most "
            f"{max_questions} are evaluated at once: ask fewer queries a concept"
        )
    return evaluate(
        count_questions(items, questions, tell=tell),
        items.labels.concepts,
        [items.keys[row] for row in questions.query_rows.tolist()],
        name=name,
        metrics=metrics,
        gallery_size=len(questions.gallery_rows),
        settings=settings,
        warnings=questions.warnings,
    )


def count_questions(items: Items, questions: Questions, *, tell: Tell | None = None) -> DistanceCounts:
    """Return the histograms of the whole gallery over the distance from each query, some queries at a time."""
    gallery_codes = items.codes[questions.gallery_rows]
    gallery_labels = items.labels.take(questions.gallery_rows)
    total = len(questions.query_rows)
    parts = []
    for start in range(0, total, QUERIES_PER_PART):
        if tell is not None:
            tell(start, total)
        stop = min(start + QUERIES_PER_PART, total)
        rows = questions.query_rows[start:stop]
        first, last = np.searchsorted(questions.pairs[:, 0], (start, stop))
        part = count_distances(
            items.codes[rows],
            gallery_codes,
            items.labels.take(rows),
            gallery_labels,
            pairs=questions.pairs[first:last] - (start, 0),
            exclusion=Exclusion(questions.exclusion.queries[start:stop], questions.exclusion.gallery),
        )
        parts.append(dataclasses.replace(part, pairs=questions.pairs[first:last]))
    return _joined(parts)


def _joined(parts: Sequence[DistanceCounts]) -> DistanceCounts:
    columns = (field.name for field in dataclasses.fields(DistanceCounts) if field.name != "is_complete")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
    return DistanceCounts(**arrays, is_complete=True)


def show_examples(
    run: EvaluationRun, items: Items, questions: Questions, metric: Metric, *, hits: int = 5, limit: int = 40
) -> list[Example]:
    """Return the best and worst queries of each concept with their nearest items.

    Args:
        run: the scores of the questions.
        items: what there is.
        questions: the run's.
        metric: what best and worst mean.
        hits: items to show for each query.
        limit: examples in all; with many concepts the first ones get theirs.
    """
    per_concept = 2 if 4 * len(run.asked_concepts) <= limit else 1
    gallery_codes = items.codes[questions.gallery_rows]
    ids = np.arange(len(gallery_codes), dtype=np.int64)
    column = {concept: number for number, concept in enumerate(items.labels.concepts)}
    examples = []
    for choice in choose_examples(run, metric, per_concept)[:limit]:
        code = items.codes[questions.query_rows[choice.query]]
        distances, found = nearest_items(
            code, gallery_codes, ids, hits, exclusion=questions.exclusion, query=choice.query
        )
        rows = questions.gallery_rows[found]
        is_relevant = items.labels.matrix[rows, column[choice.concept]]
        shown = tuple(
            ExampleHit(items.keys[row], distance, relevant)
            for row, distance, relevant in zip(rows.tolist(), distances.tolist(), is_relevant.tolist(), strict=True)
        )
        query_key = run.query_keys[choice.query]
        examples.append(Example(choice.concept, query_key, choice.kind, choice.score, shown))
    return examples
