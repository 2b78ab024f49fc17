"""/v1/watches: saved queries that run on everything that is indexed, and what they have found."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from hashreel.schemas import (
    Deliveries,
    DeliveryModel,
    DeliveryState,
    Marked,
    MarkRequest,
    MarkState,
    NewWatch,
    RotateRequest,
    WatchChange,
    Watches,
    WatchHits,
    WatchModel,
    WatchRequest,
)
from hashreel.webhooks import place_of
from search.access.callers import current_visit, leave_note
from search.http.parts import PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1/watches", tags=["watches"])

CollectionName = Annotated[str | None, Query(max_length=200, description="Default: the service's own.")]
WatchId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$", description="Its id.", examples=["9f1c2ab04d77"])]
DeliveryId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$", examples=["0b57c1d2e3f405162738495a"])]
Number = Annotated[int, Path(ge=0, le=15, description="Which of its examples.", examples=[0])]
Place = Annotated[str | None, Query(pattern=r"^\d{13}:\d{19}$", description="`next` of the page before.")]
READS = problems(404, 422, 503)
CHANGES = problems(403, 404, 409, 413, 422, 503)
PICTURE = READS | {
    200: {"description": "The picture", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("", responses=READS, summary="List watches")
def watches(parts: PartsDep, collection: CollectionName = None) -> Watches:
    """Return the watches of a collection, and how they stand."""
    return Watches(watches=[_shown(watch) for watch in parts.engine.watches(collection).watches])


@router.post("", status_code=201, responses=CHANGES, summary="Watch for frames like a picture")
def add_watch(request: WatchRequest, parts: PartsDep) -> NewWatch:
    """Find frames like pictures, indexed frames or codes in what is stored, and in all that is committed from now on.

    Pictures are kept, so that it goes on watching when the collection changes to another model. `secret` signs what
    the webhook gets; it is shown in this answer only.
    """
    made = parts.engine.add_watch(request)
    leave_note(made=made.id, collection=made.collection)
    return made


@router.get("/{watch_id}", responses=READS, summary="One watch")
def watch(watch_id: WatchId, parts: PartsDep) -> WatchModel:
    """Return one watch, and how it stands."""
    return _shown(parts.engine.watch(watch_id))


@router.patch("/{watch_id}", responses=CHANGES, summary="Change a watch")
def change_watch(watch_id: WatchId, change: WatchChange, parts: PartsDep) -> WatchModel:
    """Change its name, note, radius or webhook."""
    return parts.engine.change_watch(watch_id, change)


@router.delete("/{watch_id}", responses=CHANGES, summary="Watch no more")
def remove_watch(watch_id: WatchId, parts: PartsDep) -> WatchModel:
    """Forget a watch, its hits and what was to be sent; return what it was."""
    return parts.engine.remove_watch(watch_id)


@router.get("/{watch_id}/hits", responses=READS, summary="What a watch has found")
def watch_hits(
    watch_id: WatchId,
    parts: PartsDep,
    state: Annotated[MarkState | None, Query(description="Only hits of this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Place = None,
) -> WatchHits:
    """Return hits, the newest first. What is suppressed by now, or deleted, is left out."""
    return parts.engine.watch_hits(watch_id, state=state, limit=limit, before=before)


@router.post("/{watch_id}/hits/mark", responses=CHANGES, summary="Acknowledge or dismiss hits")
def mark_watch_hits(watch_id: WatchId, request: MarkRequest, parts: PartsDep) -> Marked:
    """Say what hits are worth. It holds for these moments, also when they are encoded by another model."""
    return parts.engine.mark_watch_hits(watch_id, request, current_visit().caller.name)


@router.get(
    "/{watch_id}/pictures/{number}", response_class=Response, responses=PICTURE, summary="What a watch looks for"
)
def watch_picture(
    watch_id: WatchId, number: Annotated[int, Path(ge=0, le=15, examples=[0])], parts: PartsDep
) -> Response:
    """Return one of its example pictures as JPEG."""
    headers = {"Cache-Control": "private, max-age=604800, immutable"}
    return Response(parts.engine.watch_picture(watch_id, number), media_type="image/jpeg", headers=headers)


@router.post("/{watch_id}/rotate-secret", responses=CHANGES, summary="Give a watch's webhook a new secret")
def rotate_secret(watch_id: WatchId, request: RotateRequest, parts: PartsDep) -> NewWatch:
    """Return a new secret, which signs from now on; it is shown in this answer only.

    For `grace_s` seconds messages carry the signature of the secret before beside it, and then, or at once without
    that, nothing is signed with it any more.
    """
    return parts.engine.rotate_secret(watch_id, request)


@router.post("/{watch_id}/test-webhook", responses=CHANGES, summary="Try a watch's webhook")
def test_webhook(watch_id: WatchId, parts: PartsDep) -> DeliveryModel:
    """Send a signed message without hits (`type` is `watch.test`) once, and return what came of it."""
    return parts.engine.test_watch(watch_id)


@router.get("/{watch_id}/deliveries", responses=READS, summary="Messages to a watch's webhook")
def watch_deliveries(
    watch_id: WatchId,
    parts: PartsDep,
    state: Annotated[DeliveryState | None, Query(description="`dead`: those that were given up.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Deliveries:
    """Return messages, the newest first; those that were delivered for a week."""
    return parts.engine.watch_deliveries(watch_id, state=state, limit=limit)


@router.post("/{watch_id}/deliveries/{delivery_id}/retry", responses=CHANGES, summary="Send a message again")
def retry_watch_delivery(watch_id: WatchId, delivery_id: DeliveryId, parts: PartsDep) -> DeliveryModel:
    """Send a message again that was given up, under the same id."""
    return parts.engine.retry_watch_delivery(watch_id, delivery_id)


def _shown(watch: WatchModel) -> WatchModel:
    """Return a watch as the caller may see it: an address may hold a token, which is for those who may change it."""
    if current_visit().caller.has("write"):
        return watch
    return watch.model_copy(update={"webhook": place_of(watch.webhook)})
