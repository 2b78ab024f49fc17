"""/v1/evaluations: scoring a collection against a ground truth, and the reports."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from hashreel.schemas import EvaluationModel, EvaluationRequest, Evaluations
from search.access.callers import leave_note
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["REPORT_POLICY", "router"]

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"])

EvaluationId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9]{1,100}$", description="The evaluation's id.", examples=["5e1ac7"])
]
ReportFormat = Literal["html", "json", "csv", "markdown"]
MEDIA_TYPES: dict[ReportFormat, str] = {
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "markdown": "text/markdown; charset=utf-8",
}
SUFFIXES: dict[ReportFormat, str] = {"html": "html", "json": "json", "csv": "csv", "markdown": "md"}
# A report holds its style, charts and pictures itself and runs nothing. The sandbox takes it out of our origin, so that
# even a script that slipped into it could ask nothing of the service.
REPORT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "sandbox",
    )
)


@router.post(
    "", status_code=202, responses=problems(400, 403, 404, 409, 413, 422, 503), summary="Evaluate a collection"
)
def evaluate(request: EvaluationRequest, parts: PartsDep) -> EvaluationModel:
    """Check a ground truth (wrong rows are named) and let a worker score the collection's live generation by it."""
    made = parts.queue.evaluations.create(request)
    leave_note(made=made.id, collection=made.collection)
    return made


@router.get("", responses=problems(422, 503), summary="List evaluations, newest first")
def list_evaluations(parts: PartsDep, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Evaluations:
    """Return the newest evaluations."""
    return Evaluations(evaluations=parts.queue.evaluations.newest(limit))


@router.get("/{evaluation_id}", responses=problems(404, 422, 503), summary="One evaluation")
def show_evaluation(evaluation_id: EvaluationId, parts: PartsDep) -> EvaluationModel:
    """Return one evaluation and how far it is."""
    return parts.queue.evaluations.get(evaluation_id)


@router.post("/{evaluation_id}/cancel", responses=problems(403, 404, 422, 503), summary="Cancel an evaluation")
def cancel(evaluation_id: EvaluationId, parts: PartsDep) -> EvaluationModel:
    """Stop an evaluation; one that has ended stays as it is."""
    return parts.queue.evaluations.cancel(evaluation_id)


REPORT = problems(404, 409, 422, 503) | {
    200: {
        "description": "The report, in the format that was asked for",
        "content": {media.partition(";")[0]: {} for media in MEDIA_TYPES.values()},
    }
}


@router.get("/{evaluation_id}/report", response_class=Response, responses=REPORT, summary="The report of an evaluation")
def report(
    evaluation_id: EvaluationId,
    parts: PartsDep,
    format: Annotated[ReportFormat, Query(description="As a page, a document, a table of numbers, or text.")] = "html",
) -> Response:
    """Return the report of a done evaluation."""
    text = parts.queue.evaluations.report(evaluation_id, format)
    headers = {
        "Content-Type": MEDIA_TYPES[format],
        "Content-Disposition": f'inline; filename="evaluation-{evaluation_id}.{SUFFIXES[format]}"',
        "Content-Security-Policy": REPORT_POLICY,
        # It never changes, but it expires and may show what not everybody may see.
        "Cache-Control": "private, no-cache",
    }
    return Response(text.encode(), headers=headers)
