"""POST /v1/evidence: the answer to a query as a package that stands by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from hashreel.schemas import SearchRequest
from search.evidence import write_evidence
from search.http.parts import PartsDep
from search.http.problems import problems, request_id_of

__all__ = ["router"]

router = APIRouter(prefix="/v1/evidence", tags=["search"])
RESPONSES = problems(403, 404, 409, 413, 422, 503) | {
    200: {
        "description": "A ZIP: manifest.json, frames as PNG, the query picture, SHA256SUMS",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    },
}


@router.post("", response_class=Response, responses=RESPONSES, summary="Export hits as evidence")
def evidence(query: SearchRequest, request: Request, parts: PartsDep) -> Response:
    """Search, and return the frames that were found with their sources' SHA-256, exact times, and how they were found.

    Takes what `POST /v1/search` takes, with at most 200 hits. Every source is read whole, to compare its checksum.
    """
    with tempfile.NamedTemporaryFile(prefix="hashreel-evidence-", suffix=".zip", delete=False) as file:
        path = Path(file.name)
    try:
        write_evidence(parts.engine, query, path, request_id_of(request.scope))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return FileResponse(
        path,
        media_type="application/zip",
        filename="evidence.zip",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )
