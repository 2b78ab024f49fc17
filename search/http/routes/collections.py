"""/v1/collections: names that point at a model, its log and its gallery."""

from __future__ import annotations

from fastapi import APIRouter

from hashreel.schemas import Collections
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/collections", tags=["collections"])


@router.get("", responses=problems(503), summary="List collections")
def list_collections(parts: PartsDep) -> Collections:
    """Return all collections with their models and sizes."""
    return parts.engine.collections()
