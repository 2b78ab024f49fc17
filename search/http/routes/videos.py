"""/v1/videos: what the gallery holds, and the files it was made from."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import StringConstraints
from starlette.responses import Response

from hashreel.errors import NotFoundError
from hashreel.schemas import MAX_VIDEO, RelocateRequest, Relocations, TagsRequest, VideoModel, Videos, VideoState
from search.access.callers import leave_note
from search.http.byte_ranges import SourceResponse
from search.http.form_options import TAG, split_tag
from search.http.parts import PartsDep, VideoNumber
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/videos", tags=["videos"])

TagFilter = Annotated[
    list[Annotated[str, StringConstraints(pattern=TAG)]],
    Query(description="key=value; may come repeatedly, and all must hold.", max_length=64),
]


@router.get("", responses=problems(404, 422, 503), summary="List videos, newest first")
def list_videos(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=0, le=MAX_VIDEO, description="`next` of the page before.")] = None,
    state: VideoState | None = None,
    tag: TagFilter = [],  # noqa: B006 - FastAPI copies it
    collection: Annotated[str | None, Query(max_length=200)] = None,
) -> Videos:
    """Return a page of videos."""
    tags = dict(split_tag(text) for text in tag) or None
    return parts.engine.videos(limit=limit, before=before, state=state, tags=tags, collection=collection)


@router.post(
    "/relocate", responses=problems(400, 403, 404, 413, 422, 503), summary="Find moved sources under their new names"
)
def relocate(request: RelocateRequest, parts: PartsDep) -> Relocations:
    """Give one video, or all whose sources' names begin with `old`, the new names, if the files there are the same.

    An answer comes after some seconds at most; while it has a `next`, ask again with that as `after`.
    """
    return parts.queue.relocate(request)


@router.get("/{video_id}", responses=problems(404, 422, 503), summary="One video")
def show_video(video_id: VideoNumber, parts: PartsDep) -> VideoModel:
    """Return one video with its state and its warnings."""
    return parts.engine.video(video_id)


@router.patch("/{video_id}/tags", responses=problems(400, 403, 404, 413, 422, 503), summary="Set or remove tags")
def set_tags(video_id: VideoNumber, request: TagsRequest, parts: PartsDep) -> VideoModel:
    """Set the given tags and leave the others; an empty value removes a tag."""
    leave_note(tags=request.tags)
    return parts.engine.set_tags(video_id, request.tags)


@router.delete("/{video_id}", responses=problems(403, 404, 409, 413, 422, 503), summary="Delete a video")
def delete_video(
    video_id: VideoNumber,
    parts: PartsDep,
    purge: Annotated[bool, Query(description="Remove its codes from disk and memory now.")] = False,
) -> VideoModel:
    """Take a video out of the gallery; its file stays where it is.

    Its stored codes go after the grace period, or at once with `purge`.
    """
    return parts.engine.delete_video(video_id, purge=purge)


SOURCE_RESPONSES = problems(403, 404, 416, 422, 503) | {
    200: {"description": "The whole file", "content": {"video/*": {}}},
    206: {"description": "The bytes that the Range header asked for", "content": {"video/*": {}}},
    304: {"description": "The file is the one of the ETag in If-None-Match"},
}


@router.head("/{video_id}/source", include_in_schema=False)
@router.get("/{video_id}/source", response_class=Response, responses=SOURCE_RESPONSES, summary="The video's file")
def source(video_id: VideoNumber, parts: PartsDep) -> Response:
    """Return the file, or a part of it, for a player that seeks."""
    path = parts.engine.source_path(video_id)
    try:
        status = os.stat(path)
    except OSError as exc:
        raise NotFoundError(f"the source of video {video_id} is gone: {exc.strerror}") from exc
    return SourceResponse(path, status)
