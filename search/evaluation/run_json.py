"""Runs as JSON: stored by a job, read again to compare another run with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hashreel.errors import BadInputError
from search.evaluation.calibration import CalibratedRadius
from search.evaluation.metric import Metric, Scores
from search.evaluation.metrics import RadiusCurve
from search.evaluation.run import ConceptCurves, EvaluationRun, TopCurve

__all__ = ["RUN_FORMAT", "RUN_VERSION", "run_from_dict", "run_to_dict"]

RUN_FORMAT = "hashreel-evaluation-run"
RUN_VERSION = 1

Json = dict[str, Any]


def run_to_dict(run: EvaluationRun) -> Json:
    """Return a run as a JSON document: lists for arrays, null for what is not defined."""
    return {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "name": run.name,
        "concepts": list(run.concepts),
        "queries": list(run.query_keys),
        "pairs": run.pairs.tolist(),
        "total_relevant": run.total_relevant.tolist(),
        "gallery_size": run.gallery_size,
        "scores": {metric.key: _plain(scores) for metric, scores in run.scores.items()},
        "sharing_scores": {metric.key: _plain(scores) for metric, scores in run.sharing_scores.items()},
        "curves": {concept: _plain(curves) for concept, curves in run.curves.items()},
        "macro_curve": _plain(run.macro_curve),
        "top_curve": _plain(run.top_curve),
        "settings": dict(run.settings),
        "warnings": list(run.warnings),
    }


def run_from_dict(document: Mapping[str, Any]) -> EvaluationRun:
    """Return the run that :func:`run_to_dict` wrote.

    Raises:
        BadInputError: If the document is something else, of another version, or its parts contradict.
    """
    if not isinstance(document, Mapping) or document.get("format") != RUN_FORMAT:
        raise BadInputError(f"this is not an evaluation run; expected a JSON object with format {RUN_FORMAT!r}")
    if document.get("version") != RUN_VERSION:
        raise BadInputError(f"the run has version {document.get('version')!r}; this program reads {RUN_VERSION}")
    try:
        run = _run(document)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadInputError(f"the evaluation run is damaged ({type(exc).__name__}: {exc})") from exc
    _check(run)
    return run


def _run(document: Mapping[str, Any]) -> EvaluationRun:
    return EvaluationRun(
        name=str(document["name"]),
        concepts=tuple(document["concepts"]),
        query_keys=tuple(document["queries"]),
        pairs=np.array(document["pairs"], dtype=np.int64).reshape(-1, 2),
        scores={Metric.from_key(key): _scores(value) for key, value in document["scores"].items()},
        sharing_scores={Metric.from_key(key): _scores(value) for key, value in document["sharing_scores"].items()},
        total_relevant=np.array(document["total_relevant"], dtype=np.int64),
        gallery_size=int(document["gallery_size"]),
        curves={concept: _concept_curves(value) for concept, value in document["curves"].items()},
        macro_curve=_radius_curve(document["macro_curve"]) if document["macro_curve"] else None,
        top_curve=_top_curve(document["top_curve"]) if document["top_curve"] else None,
        settings=dict(document["settings"]),
        warnings=tuple(document["warnings"]),
    )


def _check(run: EvaluationRun) -> None:
    num_pairs, num_queries = len(run.pairs), len(run.query_keys)
    is_inside = (run.pairs >= 0).all() and (run.pairs < (num_queries, len(run.concepts))).all()
    columns = [(s, num_pairs) for s in run.scores.values()] + [(s, num_queries) for s in run.sharing_scores.values()]
    sizes_fit = all(
        part is None or part.shape == (size,)
        for scores, size in columns
        for part in (scores.values, scores.chance, scores.worst, scores.best)
    )
    if not num_pairs or not is_inside or not sizes_fit or len(run.total_relevant) != num_pairs:
        raise BadInputError(f"the evaluation run {run.name!r} is damaged: its lists do not fit each other")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return [_plain(x) for x in value.tolist()]
    # NaN is no JSON.
    return None if isinstance(value, float) and math.isnan(value) else value


def _scores(value: Mapping[str, Any]) -> Scores:
    parts = {name: None if value[name] is None else np.array(value[name], dtype=np.float64) for name in value}
    if parts["values"] is None or parts["chance"] is None:
        raise BadInputError("the evaluation run is damaged: a score has no values or no chance level")
    return Scores(parts["values"], parts["chance"], parts["worst"], parts["best"])


def _concept_curves(value: Mapping[str, Any]) -> ConceptCurves:
    calibrated = value["calibrated"]
    return ConceptCurves(
        _radius_curve(value["by_radius"]), None if calibrated is None else CalibratedRadius(**calibrated)
    )


def _radius_curve(value: Mapping[str, Any]) -> RadiusCurve:
    return RadiusCurve(**{name: np.array(column, dtype=np.float64) for name, column in value.items()})


def _top_curve(value: Mapping[str, Any]) -> TopCurve:
    return TopCurve(
        np.array(value["cutoffs"], dtype=np.int64),
        np.array(value["precision"], dtype=np.float64),
        np.array(value["recall"], dtype=np.float64),
    )
