"""POST /v1/search/clip: a short video in; the stretches of indexed videos that it matches out."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from hashreel.errors import BadInputError
from hashreel.schemas import ClipAnswer, ClipOptions
from search.http.form_options import options_from_form, options_parameters
from search.http.multipart import FileStream
from search.http.parts import Parts, PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/search", tags=["search"])
BINARY = {"type": "string", "format": "binary", "minLength": 1}
EXTRA = {
    "parameters": options_parameters(ClipOptions),
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["clip"], "properties": {"clip": BINARY}},
            },
            "application/octet-stream": {"schema": BINARY},
        },
    },
}


@router.post(
    "/clip",
    responses=problems(400, 403, 404, 409, 413, 422, 503),
    openapi_extra=EXTRA,
    summary="Search by a clip, aligned in time",
)
async def search_clip(request: Request, parts: PartsDep) -> ClipAnswer:
    """Return which stretch of which video matches which stretch of the clip, with offset and rate.

    Send a form with one file, as in `curl -F clip=@clip.mp4 'http://127.0.0.1:8000/v1/search/clip?top=5'`, or the bytes
    themselves. The clip may be up to 13 % faster or slower than the video. It is not kept.
    """
    options = _options(request)
    folder = parts.settings.data / "cache" / "clips"
    await run_in_threadpool(folder.mkdir, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="clip-") as file:
        size = 0
        async for data in _pieces(request):
            size += len(data)
            await run_in_threadpool(file.write, data)
        if not size:
            raise BadInputError("the clip is empty; send the bytes of a video file")
        return await run_in_threadpool(_answer, parts, file, options)


def _answer(parts: Parts, file: IO[bytes], options: ClipOptions) -> ClipAnswer:
    file.flush()
    return parts.engine.search_clip(Path(file.name), options)


def _options(request: Request) -> ClipOptions:
    try:
        return ClipOptions.model_validate(options_from_form(request.query_params.multi_items()))
    except ValidationError as exc:
        raise RequestValidationError(exc.errors()) from exc


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the file's bytes from either form of body."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        async for data in request.stream():
            yield data
        return
    form = FileStream(content_type)
    async for data in request.stream():
        for piece in form.feed(data):
            yield piece.data
    form.close()
