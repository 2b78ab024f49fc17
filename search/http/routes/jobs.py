"""/v1/jobs: requests to index sources, and how far they are."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from hashreel.schemas import EnqueueRequest, JobModel, Jobs, JobState, JobVideos
from search.access.callers import leave_note
from search.http.job_events import job_events
from search.http.parts import JobId, PartsDep
from search.http.problems import problems, request_id_of

__all__ = ["router"]

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

KeepPartial = Annotated[bool, Query(description="Keep what unfinished videos have committed already.")]


@router.post(
    "", status_code=202, responses=problems(400, 403, 404, 409, 413, 422, 503), summary="Enqueue sources to index"
)
def enqueue(request: EnqueueRequest, http: Request, parts: PartsDep) -> JobModel:
    """Register files, folders and globs of the server's source roots and start their work."""
    job = parts.queue.enqueue(request)
    leave_note(made=job.id, sources=job.counts.total)
    parts.metrics.enqueued.inc()
    # Workers log the job; this line leads from there to the request.
    facts = {"job": job.id, "request_id": request_id_of(http.scope), "sources": job.counts.total}
    logger.info("job enqueued", extra={"action": "enqueue", **facts})
    return job


@router.get("", responses=problems(422, 503), summary="List jobs, newest first")
def list_jobs(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
) -> Jobs:
    """Return the newest jobs, without the numbers of their videos."""
    return Jobs(jobs=parts.queue.jobs(limit, state))


@router.get("/{job_id}", responses=problems(404, 422, 503), summary="One job")
def show_job(job_id: JobId, parts: PartsDep) -> JobModel:
    """Return one job with the counts of its sources, its progress, and the numbers of its first 1000 videos."""
    return parts.queue.job(job_id)


@router.get("/{job_id}/videos", responses=problems(404, 422, 503), summary="The videos of a job")
def list_videos(
    job_id: JobId,
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000,
    offset: Annotated[int, Query(ge=0, le=2**31, description="So many of the first are left out.")] = 0,
) -> JobVideos:
    """Return the numbers of a job's videos, in order of the sources."""
    return parts.queue.job_videos(job_id, limit=limit, offset=offset)


@router.delete("/{job_id}", responses=problems(403, 404, 409, 413, 422, 503), summary="Forget a job that has ended")
def delete(job_id: JobId, parts: PartsDep) -> JobModel:
    """Forget a job and return what it was; its videos stay. One that goes on has to be cancelled first."""
    return parts.queue.delete(job_id)


@router.post("/{job_id}/cancel", responses=problems(403, 404, 409, 413, 422, 503), summary="Cancel a job")
def cancel(job_id: JobId, parts: PartsDep, keep_partial: KeepPartial = False) -> JobModel:
    """Stop what is not finished."""
    return parts.queue.cancel(job_id, keep_partial=keep_partial)


@router.post("/{job_id}/retry", responses=problems(403, 404, 409, 413, 422, 503), summary="Try failed sources again")
def retry(job_id: JobId, parts: PartsDep) -> JobModel:
    """Queue the job's failed sources once more."""
    return parts.queue.retry(job_id)


EVENTS = problems(404, 422, 503) | {
    200: {
        "description": "Events `job` (data: the job as JSON) until it has ended; `problem` if it cannot be followed",
        "content": {"text/event-stream": {}},
    }
}


@router.get("/{job_id}/events", response_class=StreamingResponse, responses=EVENTS, summary="Follow a job live")
async def events(job_id: JobId, parts: PartsDep) -> StreamingResponse:
    """Send the job as server-sent events, one for each change, and end with it."""
    first = await run_in_threadpool(parts.queue.job, job_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(job_events(parts.queue, first), media_type="text/event-stream", headers=headers)
