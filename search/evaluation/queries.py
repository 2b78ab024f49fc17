"""Choosing the queries of an evaluation from the gallery: every concept equally represented."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.groups import IntArray
from search.evaluation.labels import Labels

__all__ = ["DEFAULT_QUERIES_PER_CONCEPT", "QueryChoice", "choose_queries"]

DEFAULT_QUERIES_PER_CONCEPT = 50


@dataclass(frozen=True)
class QueryChoice:
    """The queries of an evaluation.

    Attributes:
        rows: int64 [q], the gallery row of each query, ascending by key.
        pairs: int64 [p, 2], (place in ``rows``, concept): what each query was chosen for.
        warnings: concepts that had fewer items than asked for, in words.
    """

    rows: IntArray
    pairs: IntArray
    warnings: tuple[str, ...]


def choose_queries(
    labels: Labels,
    keys: Sequence[str] | Sequence[int],
    *,
    per_concept: int | None = DEFAULT_QUERIES_PER_CONCEPT,
    seed: int = 0,
) -> QueryChoice:
    """Return the same number of queries for each concept, drawn at random from the items that contain it.

    The choice depends on the keys, not on the order of the gallery, and what is drawn for one concept does
    not depend on which others there are. An item may be drawn for several concepts. A concept with fewer
    items gives all it has, with a warning; one with fewer than two gives none, since nothing relevant would
    be left to find.

    Args:
        labels: the concepts of the gallery's items.
        keys: a name or id of each item, each once.
        per_concept: queries a concept; None takes every item of every concept.
        seed: of the random draw.

    Raises:
        BadInputError: If keys are not one an item and distinct, or per_concept is less than 1.
    """
    if len(keys) != len(labels) or len(set(keys)) != len(keys):
        raise BadInputError(f"there are {len(keys)} keys for {len(labels)} items; expected a distinct one each")
    if per_concept is not None and per_concept < 1:
        raise BadInputError(f"queries per concept is {per_concept}; expected at least 1, or None for all")
    order = np.array(sorted(range(len(keys)), key=lambda i: keys[i]), dtype=np.int64)
    chosen, warnings = [], []
    for concept, name in enumerate(labels.concepts):
        holders = order[labels.matrix[order, concept]]
        if len(holders) < 2:
            warnings.append(f"{name}: items in the gallery: {len(holders)}; no query of it could find another")
            continue
        if per_concept is not None and len(holders) < per_concept:
            warnings.append(
                f"{name}: items in the gallery: {len(holders)}; fewer than the {per_concept} queries asked for"
            )
        elif per_concept is not None:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            holders = rng.choice(holders, size=per_concept, replace=False)
        chosen.append(np.stack((holders, np.full(len(holders), concept)), axis=1))
    if not chosen:
        raise BadInputError("no concept has two items in the gallery; there is nothing to evaluate")
    return _as_choice(np.concatenate(chosen), order, tuple(warnings))


def _as_choice(chosen: IntArray, order: IntArray, warnings: tuple[str, ...]) -> QueryChoice:
    """Return the choice with queries in order of their keys; ``chosen`` is (gallery row, concept) [p, 2]."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    places, queries = np.unique(place[chosen[:, 0]], return_inverse=True)
    pairs = np.stack((queries.ravel(), chosen[:, 1]), axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return QueryChoice(rows=order[places], pairs=pairs.astype(np.int64), warnings=warnings)
