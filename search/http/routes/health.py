"""/healthz, /readyz and /metrics: for probes, load balancers and Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from hashreel.schemas import Health, NotReady
from search.http.parts import PartsDep
from search.http.problems import PROBLEM_JSON, ProblemResponse, problems, request_id_of

__all__ = ["router"]

router = APIRouter(tags=["health"])

NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "description": "Queries cannot be answered yet, or the index is behind",
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/NotReady"}}},
    }
}


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", responses=problems(), summary="Whether the process is alive")
async def healthz() -> dict[str, str]:
    """Answer as long as the process can answer at all."""
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=Health, responses=problems() | NOT_READY, summary="Whether queries are answered")
def readyz(request: Request, parts: PartsDep) -> Response:
    """Answer 200 once the index is loaded and not behind, 503 until then; both say what is known."""
    health = parts.engine.health()
    if health.ready:
        return Response(health.model_dump_json(), media_type="application/json")
    detail = health.detail or "the index is being loaded"
    problem = NotReady(
        type="urn:hashreel:unavailable",
        title="The service is not ready",
        status=503,
        detail=detail,
        request_id=request_id_of(request.scope),
        health=health,
    )
    return ProblemResponse(problem)


METRICS = problems() | {200: {"description": "Prometheus text", "content": {"text/plain": {}}}}


@router.get("/metrics", response_class=Response, responses=METRICS, summary="Metrics for Prometheus")
def metrics(parts: PartsDep) -> Response:
    """Return counters, histograms of the stages of a query, and the state of the gallery."""
    return Response(parts.metrics.render(parts.engine, parts.queue), media_type=CONTENT_TYPE_LATEST)
