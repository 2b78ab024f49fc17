"""What is evaluated: items with codes and concepts, and the questions that are asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError
from search.evaluation.exclusion import Exclusion
from search.evaluation.groups import BoolArray, IntArray
from search.evaluation.labels import Labels, all_pairs
from search.evaluation.queries import DEFAULT_QUERIES_PER_CONCEPT, choose_queries
from search.evaluation.truth import Truth

__all__ = ["EXCLUDES", "Exclude", "Items", "Questions", "ask", "frame_items", "picture_items"]

Exclude = Literal["self", "video"]
EXCLUDES: tuple[Exclude, ...] = get_args(Exclude)


@dataclass(frozen=True)
class Items:
    """The n items that a ground truth speaks of.

    Attributes:
        keys: a distinct name of each, the same whatever model made the codes.
        codes: uint8 [n, w], packed codes.
        labels: the concepts of each.
        groups: int64 [n], the number of the video that an item is of (of itself, for a picture).
        is_gallery: bool [n], whether it may be returned.
        is_query: bool [n], whether the truth lists it as a query; None where queries are chosen by rule.
    """

    keys: tuple[str, ...]
    codes: NDArray[np.uint8]
    labels: Labels
    groups: IntArray
    is_gallery: BoolArray
    is_query: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Questions:
    """Who is asked what.

    Attributes:
        query_rows: int64 [q], the item that each query is.
        gallery_rows: int64 [g], the items that may be returned, ascending.
        pairs: int64 [p, 2], (query, concept), in order of query, then concept.
        exclusion: what each query leaves out of the gallery.
        warnings: what the reader must know about the choice.
    """

    query_rows: IntArray
    gallery_rows: IntArray
    pairs: IntArray
    exclusion: Exclusion
    warnings: tuple[str, ...]


def frame_items(
    truth: Truth, videos: Sequence[str], times_ms: IntArray, codes: NDArray[np.uint8], groups: IntArray
) -> tuple[Items, IntArray]:
    """Return the key-frames that a stretch of the truth covers, and which of the given ones they are.

    Frames that no stretch covers are not judged: they are neither asked nor returned.

    Args:
        truth: the ground truth.
        videos: the video of each frame, [n], named as in the truth.
        times_ms: int64 [n], the time of each frame in milliseconds.
        codes: uint8 [n, w].
        groups: int64 [n], a number of each frame's video.

    Returns:
        The items, and their rows among the given frames: int64 [m], ascending.

    Raises:
        BadInputError: If no frame is covered.
    """
    labels, is_covered = truth.label_frames(videos, times_ms)
    rows = np.flatnonzero(is_covered)
    if not len(rows):
        raise BadInputError(f"none of the {len(videos)} key-frames lies in a stretch of the ground truth")
    is_gallery, is_query = is_covered, None
    if truth.has_listed_queries:
        is_gallery = truth.label_frames(videos, times_ms, truth.gallery)[1]
        is_query = truth.label_frames(videos, times_ms, truth.queries)[1]
    keys = _distinct([f"{videos[row]} @ {times_ms[row] / 1000:.3f} s" for row in rows.tolist()])
    items = Items(
        keys=keys,
        codes=codes[rows],
        labels=labels.take(rows),
        groups=groups[rows],
        is_gallery=is_gallery[rows],
        is_query=None if is_query is None else is_query[rows],
    )
    return items, rows


def picture_items(truth: Truth, codes: NDArray[np.uint8]) -> Items:
    """Return the pictures of a truth as items; ``codes`` are theirs, uint8 [n, w], in order."""
    records = truth.pictures
    listed = truth.has_listed_queries
    return Items(
        keys=tuple(str(record.picture) for record in records),
        codes=codes,
        labels=truth.labels_of(records),
        groups=np.arange(len(records), dtype=np.int64),
        is_gallery=np.array([record.role != "query" for record in records], dtype=np.bool_),
        is_query=np.array([record.role != "gallery" for record in records], dtype=np.bool_) if listed else None,
    )


def ask(
    items: Items,
    *,
    per_concept: int | None = DEFAULT_QUERIES_PER_CONCEPT,
    exclude: Exclude = "self",
    seed: int = 0,
) -> Questions:
    """Return the questions: the listed queries with all of their concepts, or as many as wanted for each concept.

    Args:
        items: what there is.
        per_concept: queries a concept where none are listed; None takes all.
        exclude: what a query never gets: itself, or everything of its video.
        seed: of the choice.

    Raises:
        BadInputError: If nothing can be asked.
    """
    if exclude not in EXCLUDES:
        raise BadInputError(f"exclude is {exclude!r}; accepted: {', '.join(EXCLUDES)}")
    gallery_rows = np.flatnonzero(items.is_gallery)
    if not len(gallery_rows):
        raise BadInputError("the gallery is empty: every row of the ground truth is only a query")
    query_rows, pairs, warnings = (
        _chosen(items, gallery_rows, per_concept, seed) if items.is_query is None else _listed(items, items.is_query)
    )
    exclusion = _exclusion(items, query_rows, gallery_rows, exclude)
    return Questions(query_rows, gallery_rows, pairs, exclusion, warnings)


def _chosen(
    items: Items, gallery_rows: IntArray, per_concept: int | None, seed: int
) -> tuple[IntArray, IntArray, tuple[str, ...]]:
    keys = [items.keys[row] for row in gallery_rows.tolist()]
    choice = choose_queries(items.labels.take(gallery_rows), keys, per_concept=per_concept, seed=seed)
    return gallery_rows[choice.rows], choice.pairs, choice.warnings


def _listed(items: Items, is_query: BoolArray) -> tuple[IntArray, IntArray, tuple[str, ...]]:
    has_concept = items.labels.matrix.any(axis=1)
    query_rows = np.flatnonzero(is_query & has_concept)
    silent = int(np.count_nonzero(is_query & ~has_concept))
    if not len(query_rows):
        raise BadInputError("no listed query contains a concept; there is nothing to evaluate")
    warnings = (f"{silent} listed queries contain no concept and are not asked",) if silent else ()
    return query_rows, all_pairs(items.labels.take(query_rows)), warnings


def _exclusion(items: Items, query_rows: IntArray, gallery_rows: IntArray, exclude: Exclude) -> Exclusion:
    if exclude == "video":
        return Exclusion(items.groups[query_rows], items.groups[gallery_rows])
    # NO_GROUP, for queries that are not of the gallery.
    place = np.full(len(items), -1, dtype=np.int64)
    place[gallery_rows] = np.arange(len(gallery_rows))
    return Exclusion.of_self(place[query_rows], len(gallery_rows))


def _distinct(keys: list[str]) -> tuple[str, ...]:
    """Return the keys, those that stood before with a number; time stamps of damaged videos may repeat."""
    seen: dict[str, int] = {}
    found = []
    for key in keys:
        count = seen[key] = seen.get(key, 0) + 1
        found.append(key if count == 1 else f"{key} #{count}")
    return tuple(found)
