"""/v1/collections: names that point at a model, its log and its gallery."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from hashreel.schemas import (
    Collection,
    CollectionRequest,
    Collections,
    CutoverRequest,
    Dropped,
    JobModel,
    ReencodeRequest,
)
from search.access.callers import leave_note
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/collections", tags=["collections"])

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["main"])]
CHANGES = problems(403, 404, 409, 413, 422, 501, 503)


@router.get("", responses=problems(503), summary="List collections")
def list_collections(parts: PartsDep) -> Collections:
    """Return all collections with their models, sizes and generations."""
    return parts.engine.collections()


@router.post("", status_code=201, responses=CHANGES, summary="Make a collection")
def create_collection(request: CollectionRequest, parts: PartsDep) -> Collection:
    """Make an empty collection for a model."""
    leave_note(made=request.name)
    return parts.engine.create_collection(request.name, request.model)


@router.get("/{name}", responses=problems(404, 422, 503), summary="One collection")
def show_collection(name: Name, parts: PartsDep) -> Collection:
    """Return one collection with its generations."""
    return parts.engine.collection(name)


@router.post("/{name}/reencode", status_code=202, responses=CHANGES, summary="Encode it anew with another model")
def reencode(name: Name, request: ReencodeRequest, parts: PartsDep) -> JobModel:
    """Make a generation for the model beside the live one, and index all sources into it.

    A worker of that model has to run; see `hashreel worker --model`.
    """
    generation = parts.engine.create_generation(name, request.model)
    leave_note(made=generation, model=request.model)
    return parts.queue.reencode(name, generation)


@router.post("/{name}/cutover", responses=CHANGES, summary="Search another generation from now on")
def cut_over(name: Name, request: CutoverRequest, parts: PartsDep) -> Collection:
    """Let the collection point at another of its generations, in one write."""
    leave_note(generation=request.generation)
    return parts.engine.cut_over(name, request.generation, anyway=request.anyway)


@router.post("/{name}/rollback", responses=CHANGES, summary="Undo the last cut-over")
def roll_back(name: Name, parts: PartsDep) -> Collection:
    """Let the collection point at the generation before the last cut-over."""
    return parts.engine.roll_back(name)


@router.delete("/{name}", responses=CHANGES, summary="Drop a collection or one of its generations")
def drop(
    name: Name,
    parts: PartsDep,
    generation: Annotated[str | None, Query(pattern=r"^\d{1,18}$", description="Drop only this one.")] = None,
) -> Dropped:
    """Remove the codes and records; the sources stay where they are."""
    if generation is not None:
        return Dropped(videos=parts.engine.drop_generation(name, generation))
    return Dropped(videos=parts.engine.drop_collection(name))
