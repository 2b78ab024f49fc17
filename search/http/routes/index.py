"""/v1/index: how the in-memory index stands, its upkeep, and galleries as files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from hashreel.errors import NotFoundError
from hashreel.schemas import ImportedVideos, IndexStatus, IndexVerification
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/index", tags=["index"])

CollectionName = Annotated[str | None, Query(max_length=200, description="Default: the service's own.")]
CHANGES = problems(403, 404, 413, 422, 503)


@router.get("", responses=problems(404, 422, 503), summary="How the index stands")
def status(parts: PartsDep, collection: CollectionName = None) -> IndexStatus:
    """Return kind, sizes, tombstones, position and lag."""
    return parts.engine.index_status(collection)


@router.post("/verify", responses=CHANGES, summary="Compare the index with the stored values")
def verify(parts: PartsDep, collection: CollectionName = None) -> IndexVerification:
    """Compare every frame; what a second look does not confirm was on its way."""
    return parts.engine.index_verify(collection)


@router.post("/compact", responses=CHANGES, summary="Drop the rows of deleted frames")
def compact(parts: PartsDep, collection: CollectionName = None) -> IndexStatus:
    """Compact; searches go on meanwhile."""
    return parts.engine.index_compact(collection)


@router.post("/rebuild", responses=CHANGES, summary="Build the index anew from the stored values")
def rebuild(parts: PartsDep, collection: CollectionName = None) -> IndexStatus:
    """Rebuild beside the present index, which goes on answering."""
    return parts.engine.index_rebuild(collection)


@router.post("/snapshot", responses=CHANGES | problems(507), summary="Write a snapshot now")
def snapshot(parts: PartsDep, collection: CollectionName = None) -> IndexStatus:
    """Write a snapshot, from which the next start continues, if anything has changed."""
    return parts.engine.index_snapshot(collection)


EXPORTED = problems(404, 422, 501, 503, 507) | {
    200: {"description": "The file", "content": {"application/octet-stream": {}}},
}


@router.get("/export", response_class=Response, responses=EXPORTED, summary="Codes and metadata as a file")
def export(
    parts: PartsDep,
    format_: Annotated[Literal["npz", "parquet", "faiss"], Query(alias="format")] = "npz",
    collection: CollectionName = None,
) -> Response:
    """Return all live frames: ids, times, codes, sources and tags (a FAISS file has ids and codes alone)."""
    with tempfile.NamedTemporaryFile(prefix="hashreel-export-", suffix=f".{format_}", delete=False) as file:
        path = Path(file.name)
    try:
        parts.engine.index_export(path, format_, collection)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return FileResponse(
        path,
        media_type="application/octet-stream",
        filename=f"gallery.{format_}",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


@router.post("/import", status_code=201, responses=CHANGES | problems(409, 501), summary="Add an exported gallery")
def import_(
    parts: PartsDep,
    source: Annotated[
        str,
        Query(
            pattern=r"^uploads/[^/]{1,1000}$",
            description="An uploaded npz or Parquet file.",
            examples=["uploads/gallery.npz"],
        ),
    ],
    collection: CollectionName = None,
) -> ImportedVideos:
    """Add the videos of an export of the same model under new numbers, but those that are there already.

    The upload is removed afterwards.
    """
    name = source.removeprefix("uploads/")
    path = parts.settings.data / "uploads" / name
    if name in {".", ".."} or not os.path.isfile(path):  # which also says no to names that cannot be
        raise NotFoundError(f"there is no upload {source}")
    imported = parts.engine.index_import(path, collection)
    path.unlink(missing_ok=True)
    return imported
