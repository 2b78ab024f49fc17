"""POST /v1/evidence: the answer to a query as a package that stands by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from hashreel.schemas import SearchRequest
from search.evidence import write_clip_evidence, write_evidence
from search.http.clip_files import CLIP_EXTRA, clip_options, received_clip
from search.http.parts import PartsDep
from search.http.problems import problems, request_id_of

__all__ = ["router"]

router = APIRouter(prefix="/v1/evidence", tags=["search"])
PACKAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A ZIP: manifest.json, frames as PNG, the query, SHA256SUMS",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    },
}


@router.post(
    "",
    response_class=Response,
    responses=problems(403, 404, 409, 413, 422, 503) | PACKAGE,
    summary="Export hits as evidence",
)
def evidence(query: SearchRequest, request: Request, parts: PartsDep) -> Response:
    """Search, and return the frames that were found with their sources' SHA-256, exact times, and how they were found.

    Takes what `POST /v1/search` takes, with at most 200 hits. Every source is read whole, to compare its checksum.
    """
    with _package() as path:
        write_evidence(parts.engine, query, path, request_id_of(request.scope))
    return _sent(path)


@router.post(
    "/clip",
    response_class=Response,
    responses=problems(400, 403, 404, 409, 413, 422, 503) | PACKAGE,
    openapi_extra=CLIP_EXTRA,
    summary="Export the stretches that match a clip as evidence",
)
async def clip_evidence(request: Request, parts: PartsDep) -> Response:
    """Look for a clip, and return the stretches that match it, a frame of each, the clip itself, and checksums.

    Takes what `POST /v1/search/clip` takes, as in `curl -F clip=@clip.mp4 -o case.zip
    'http://127.0.0.1:8000/v1/evidence/clip?top=5'`, with at most 200 stretches.
    """
    options, request_id = clip_options(request), request_id_of(request.scope)
    async with received_clip(request, parts.settings.data / "cache" / "clips") as clip:
        with _package() as path:
            await run_in_threadpool(write_clip_evidence, parts.engine, clip, options, path, request_id)
    return _sent(path)


@contextmanager
def _package() -> Iterator[Path]:
    """Yield an empty file, which stays if all goes well."""
    with tempfile.NamedTemporaryFile(prefix="hashreel-evidence-", suffix=".zip", delete=False) as file:
        path = Path(file.name)
    try:
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sent(path: Path) -> Response:
    """Return the file as an answer, after which it is removed."""
    gone = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename="evidence.zip", background=gone)
