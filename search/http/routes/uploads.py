"""POST /v1/uploads: a video from the sender's disk into the source root ``uploads``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from hashreel.errors import BadInputError
from hashreel.schemas import Upload
from search.access.callers import leave_note
from search.http.multipart import FilePart, FileStream
from search.http.parts import PartsDep
from search.http.problems import problems
from search.http.upload_store import UploadStore

__all__ = ["router"]

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

WRITE_BYTES = 2**20  # one trip to the thread pool for so many bytes
BINARY = {"type": "string", "format": "binary", "minLength": 1}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": BINARY}},
            },
            "application/octet-stream": {"schema": BINARY},
        },
    }
}


@router.post(
    "",
    status_code=201,
    responses=problems(403, 413, 422, 507),
    openapi_extra=BODY,
    summary="Upload a video",
)
async def upload(
    request: Request,
    parts: PartsDep,
    filename: Annotated[str | None, Query(max_length=1000, description="Name of a body that is no form.")] = None,
) -> Upload:
    """Store a file and return the source that can be enqueued.

    Send a form with one file (`curl -F file=@clip.mp4`), or the bytes themselves with `?filename=clip.mp4`.
    """
    stored = await _store(_pieces(request, filename), parts.uploads)
    leave_note(made=stored.source, sha256=stored.sha256)
    parts.metrics.uploaded.inc(stored.bytes)
    return stored


async def _pieces(request: Request, filename: str | None) -> AsyncIterator[FilePart]:
    """Yield the file's pieces from either form of body."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        if not filename:
            raise BadInputError("the upload has no name; send a form with a file, or add ?filename=clip.mp4")
        async for data in request.stream():
            yield FilePart(filename, data)
        return
    form = FileStream(content_type)
    async for data in request.stream():
        for piece in form.feed(data):
            yield piece
    form.close()


async def _store(pieces: AsyncIterator[FilePart], store: UploadStore) -> Upload:
    first = await anext(pieces, None)
    if first is None:
        raise BadInputError("the upload is empty")
    incoming = await run_in_threadpool(store.begin, first.filename)
    try:
        pending = bytearray(first.data)
        async for piece in pieces:
            pending += piece.data
            if len(pending) >= WRITE_BYTES:
                await run_in_threadpool(incoming.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(incoming.write, bytes(pending))
        return await run_in_threadpool(incoming.finish)
    except BaseException:  # also a cancelled request leaves no part behind
        incoming.abort()
        raise
