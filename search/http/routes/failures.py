"""/v1/failures: every source, or part of one, that could not be indexed, with the reason."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from hashreel.schemas import MAX_VIDEO, Failures
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/failures", tags=["failures"])


@router.get("", responses=problems(404, 422, 503), summary="List failures, newest first")
def list_failures(
    parts: PartsDep,
    job: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.-]{1,100}$", description="Only those of this job.")] = None,
    video: Annotated[int | None, Query(ge=0, le=MAX_VIDEO, description="Only those of this video.")] = None,
    collection: Annotated[
        str | None, Query(max_length=200, description="Whose, without a job or a video; default: the service's own.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Failures:
    """Return recorded failures, partial ones included."""
    return parts.queue.failures(job=job, video=video, collection=collection, limit=limit, offset=offset)
