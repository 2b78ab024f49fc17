"""From counts by distance to the scores of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.calibration import DEFAULT_TARGET_PRECISION, calibrate_radius
from search.evaluation.distance_counts import DistanceCounts
from search.evaluation.groups import FloatArray, IntArray
from search.evaluation.metric import Metric, Scores, metrics_for, score_rows
from search.evaluation.metrics import RadiusCurve, precision_at, radius_curve, recall_at
from search.evaluation.run import ConceptCurves, EvaluationRun, Setting, TopCurve

__all__ = ["evaluate"]


def evaluate(
    counts: DistanceCounts,
    concepts: Sequence[str],
    query_keys: Sequence[str],
    *,
    name: str = "proposed",
    metrics: Sequence[Metric] | None = None,
    target_precision: float = DEFAULT_TARGET_PRECISION,
    gallery_size: int | None = None,
    settings: Mapping[str, Setting] | None = None,
    warnings: Sequence[str] = (),
) -> EvaluationRun:
    """Return the scores of all (query, concept) pairs of the counts.

    Queries with nothing relevant in the gallery score 0 and are counted in a warning.

    Args:
        counts: from :func:`count_distances` or :func:`count_answers`.
        concepts: the names of the concepts that ``counts.pairs`` number.
        query_keys: a distinct name for each query.
        name: what tables call the run.
        metrics: what to measure; by default AP with every normaliser, precision and recall at 10 and 50, and
            MAP@R where the counts cover the gallery.
        target_precision: for the calibrated radius of each concept.
        gallery_size: items of the gallery before exclusions; the largest that a query may see by default.
        settings: how the codes and the ground truth came about, for the reader of the report.
        warnings: what the reader must know.

    Raises:
        BadInputError: If there is no pair, keys do not fit, or the counts are too shallow for a metric.
    """
    if len(query_keys) != len(counts.items) or len(set(query_keys)) != len(query_keys):
        raise BadInputError(f"{len(query_keys)} query keys for {len(counts.items)} queries; expected distinct ones")
    if not len(counts.pairs):
        raise BadInputError("there is no (query, concept) pair to evaluate; give queries that contain a concept")
    measured = tuple(metrics_for(with_map_at_r=counts.is_complete) if metrics is None else metrics)
    _check_depth(counts, measured)
    curves = _concept_curves(counts, concepts, target_precision)
    return EvaluationRun(
        name=name,
        concepts=tuple(concepts),
        query_keys=tuple(query_keys),
        pairs=counts.pairs,
        scores={m: _pair_scores(m, counts) for m in measured},
        sharing_scores={m: _sharing_scores(m, counts) for m in measured},
        total_relevant=counts.total_relevant,
        gallery_size=int(counts.gallery_size.max()) if gallery_size is None else gallery_size,
        curves=curves,
        macro_curve=_mean_curve([c.by_radius for c in curves.values()]) if curves else None,
        top_curve=_top_curve(counts, measured),
        settings=dict(settings or {}),
        warnings=(*warnings, *_own_warnings(counts)),
    )


def _check_depth(counts: DistanceCounts, metrics: Sequence[Metric]) -> None:
    if any(m.kind == "map_at_r" for m in metrics):
        # Also for what shares a concept, which is at least as much as what contains one.
        depths = np.maximum(counts.total_sharing, 1)
        if (counts.items.sum(axis=1) < np.minimum(depths, counts.gallery_size)).any():
            raise BadInputError("MAP@R needs each query's nearest R items; count the whole gallery instead")
    counts.check_covers(max((m.k for m in metrics if m.k is not None), default=1))


def _pair_scores(metric: Metric, counts: DistanceCounts) -> Scores:
    return score_rows(
        metric, counts.items_of_pairs, counts.relevant, counts.total_relevant, counts.gallery_size_of_pairs
    )


def _sharing_scores(metric: Metric, counts: DistanceCounts) -> Scores:
    return score_rows(metric, counts.items, counts.sharing, counts.total_sharing, counts.gallery_size)


def _concept_curves(
    counts: DistanceCounts, concepts: Sequence[str], target_precision: float
) -> dict[str, ConceptCurves]:
    """Return the curves of each asked concept, up to the largest radius that the counts cover."""
    levels = _covered_levels(counts)
    items = counts.items_of_pairs[:, :levels]
    curves = {}
    for concept in np.unique(counts.pairs[:, 1]):
        rows = counts.pairs[:, 1] == concept
        row_counts = items[rows], counts.relevant[rows, :levels], counts.total_relevant[rows]
        calibrated = calibrate_radius(*row_counts, target_precision) if counts.is_complete else None
        curves[concepts[concept]] = ConceptCurves(radius_curve(*row_counts), calibrated)
    return curves


def _covered_levels(counts: DistanceCounts) -> int:
    """Return how many distances are fully counted for every query: all, or up to the shallowest answer's last."""
    if counts.is_complete:
        return int(counts.items.shape[1])
    last: IntArray = counts.items.shape[1] - np.argmax(counts.items[:, ::-1] > 0, axis=1)
    return int(np.where(counts.items.any(axis=1), last, 1).min())


def _mean_curve(curves: Sequence[RadiusCurve]) -> RadiusCurve:
    """Return the mean over concepts; pooled precision over those that return anything."""
    pooled = np.stack([c.pooled_precision for c in curves])
    known = ~np.isnan(pooled)
    sums, sizes = np.where(known, pooled, 0).sum(axis=0), known.sum(axis=0)
    return RadiusCurve(
        returned=np.mean([c.returned for c in curves], axis=0),
        precision=np.mean([c.precision for c in curves], axis=0),
        pooled_precision=np.divide(sums, sizes, out=np.full(len(sums), np.nan), where=sizes > 0),
        recall=np.mean([c.recall for c in curves], axis=0),
        empty=np.mean([c.empty for c in curves], axis=0),
    )


def _top_curve(counts: DistanceCounts, metrics: Sequence[Metric]) -> TopCurve:
    """Return macro precision and recall at 1, 2, 5, 10, ... up to the largest cutoff."""
    largest = max((m.k for m in metrics if m.k is not None), default=10)
    steps = [m * 10**e for e in range(7) for m in (1, 2, 5)]
    cutoffs = np.array(sorted({k for k in steps if k < largest} | {largest}), dtype=np.int64)
    concepts = counts.pairs[:, 1]
    weights = 1 / np.bincount(concepts)[concepts] / len(np.unique(concepts))
    items = counts.items_of_pairs

    def macro(values: FloatArray) -> float:
        return float((values * weights).sum())

    return TopCurve(
        cutoffs=cutoffs,
        precision=np.array([macro(precision_at(items, counts.relevant, int(k))) for k in cutoffs]),
        recall=np.array([macro(recall_at(items, counts.relevant, int(k), counts.total_relevant)) for k in cutoffs]),
    )


def _own_warnings(counts: DistanceCounts) -> list[str]:
    alone = int(np.count_nonzero(counts.total_relevant == 0))
    if not alone:
        return []
    return [f"{alone} of {len(counts.pairs)} questions have nothing relevant in the gallery and score 0"]
