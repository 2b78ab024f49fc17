"""POST /v1/search/clip: a short video in; the stretches of indexed videos that it matches out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from hashreel.schemas import ClipAnswer
from search.http.clip_files import CLIP_EXTRA, clip_options, received_clip
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/search", tags=["search"])


@router.post(
    "/clip",
    responses=problems(400, 403, 404, 409, 413, 422, 503),
    openapi_extra=CLIP_EXTRA,
    summary="Search by a clip, aligned in time",
)
async def search_clip(request: Request, parts: PartsDep) -> ClipAnswer:
    """Return which stretch of which video matches which stretch of the clip, with offset and rate.

    Send a form with one file, as in `curl -F clip=@clip.mp4 'http://127.0.0.1:8000/v1/search/clip?top=5'`, or the bytes
    themselves. The clip may be up to 13 % faster or slower than the video. It is not kept.
    """
    options = clip_options(request)
    async with received_clip(request, parts.settings.data / "cache" / "clips") as path:
        return await run_in_threadpool(parts.engine.search_clip, path, options)
