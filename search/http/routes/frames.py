"""/v1/frames: indexed frames, and pictures of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from hashreel.schemas import Frames, FramesRequest
from search.http.byte_ranges import matches
from search.http.parts import FrameNumber, PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/frames", tags=["frames"])

# A frame's number is never used again, so a copy stays right for as long as it is kept.
CACHE_CONTROL = "private, max-age=604800, immutable"


def _pictures(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return problems(403, 404, 422, 503) | {
        200: {"description": "The picture", "content": content},
        304: {"description": "The copy of the ETag in If-None-Match is right"},
    }


@router.post("", response_model=Frames, responses=problems(404, 409, 413, 422, 503), summary="Look frames up")
def look_up(request: FramesRequest, parts: PartsDep) -> Response:
    """Return what is known of frames by their ids: source, time, tags, concepts, and the distance to a code.

    Ids without a frame in the collection come back in `missing`.
    """
    return Response(parts.engine.look_up(request).model_dump_json(), media_type="application/json")


@router.get(
    "/{frame_id}/thumbnail", response_class=Response, responses=_pictures("image/jpeg"), summary="A frame as JPEG"
)
def thumbnail(
    frame_id: FrameNumber,
    request: Request,
    parts: PartsDep,
    width: Annotated[int, Query(ge=16, le=1920, description="Width in pixels; the height follows.")] = 320,
) -> Response:
    """Return a picture of the frame, cut from its source."""
    headers = {"ETag": f'"{frame_id}-{width}"', "Cache-Control": CACHE_CONTROL}
    if matches(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(parts.engine.thumbnail(frame_id, width), media_type="image/jpeg", headers=headers)


@router.get(
    "/{frame_id}/mask", response_class=Response, responses=_pictures("image/png"), summary="What the model sees in it"
)
def mask(frame_id: FrameNumber, request: Request, parts: PartsDep) -> Response:
    """Return the predicted segmentation mask, to lay over the thumbnail; only of models that segment.

    One colour a concept of the collection, transparent where none is seen.
    """
    headers = {"ETag": f'"{frame_id}-mask"', "Cache-Control": CACHE_CONTROL}
    if matches(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(parts.engine.mask(frame_id), media_type="image/png", headers=headers)
