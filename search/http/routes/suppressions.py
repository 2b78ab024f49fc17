"""/v1/suppressions: pictures whose likes are left out of answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from hashreel.schemas import SuppressionModel, SuppressionRequest, Suppressions
from search.access.callers import leave_note
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/suppressions", tags=["search"])

CollectionName = Annotated[str | None, Query(max_length=200, description="Default: the service's own.")]
SuppressionId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$", description="Its id.", examples=["9f1c2ab04d77"])]


@router.get("", responses=problems(403, 404, 422, 503), summary="List what is left out of answers")
def suppressions(parts: PartsDep, collection: CollectionName = None) -> Suppressions:
    """Return the examples, and how many frames each one leaves out now."""
    return parts.engine.suppressions(collection)


@router.post(
    "", status_code=201, responses=problems(403, 404, 409, 413, 422, 503), summary="Leave likes of a picture out"
)
def suppress(request: SuppressionRequest, parts: PartsDep) -> SuppressionModel:
    """Leave frames that look like a picture, or like an indexed frame, out of all answers of a collection.

    The picture is kept, so that it goes on suppressing when the collection changes to another model.
    """
    made = parts.engine.suppress(request)
    leave_note(made=made.id, collection=made.collection)
    return made


@router.delete("/{suppression_id}", responses=problems(403, 404, 422, 503), summary="Show its likes again")
def unsuppress(suppression_id: SuppressionId, parts: PartsDep, collection: CollectionName = None) -> SuppressionModel:
    """Remove an example; what it left out is found again at once."""
    return parts.engine.unsuppress(suppression_id, collection)
