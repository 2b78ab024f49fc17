"""A clip that comes with a request: read as it streams in, into a file that is gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from hashreel.errors import BadInputError
from hashreel.schemas import ClipOptions
from search.http.form_options import options_from_form, options_parameters
from search.http.multipart import FileStream

__all__ = ["CLIP_EXTRA", "clip_options", "received_clip"]

BINARY = {"type": "string", "format": "binary", "minLength": 1}
CLIP_EXTRA: dict[str, Any] = {
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


def clip_options(request: Request) -> ClipOptions:
    """Return the options in a request's query."""
    try:
        return ClipOptions.model_validate(options_from_form(request.query_params.multi_items()))
    except ValidationError as exc:
        raise RequestValidationError(exc.errors()) from exc


@asynccontextmanager
async def received_clip(request: Request, folder: Path) -> AsyncIterator[Path]:
    """Yield the file of a request's clip, a form's or the body itself; BadInputError if it is empty."""
    await run_in_threadpool(folder.mkdir, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="clip-") as file:
        size = 0
        async for data in _pieces(request):
            size += len(data)
            await run_in_threadpool(file.write, data)
        if not size:
            raise BadInputError("the clip is empty; send the bytes of a video file")
        await run_in_threadpool(file.flush)
        yield Path(file.name)


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
