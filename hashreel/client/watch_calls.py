"""What the methods about watch-lists send: plain values, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from hashreel.client.calls import Call, path_part, reader, request_body
from hashreel.client.queries import QueryLike, query_of
from hashreel.schemas import (
    Box,
    Deliveries,
    DeliveryModel,
    DeliveryState,
    HitModel,
    Marked,
    MarkRequest,
    MarkState,
    NewWatch,
    RotateRequest,
    WatchChange,
    Watches,
    WatchHit,
    WatchHits,
    WatchModel,
    WatchRequest,
)

__all__ = ["WatchChanges", "WatchOptions"]

PAGE = 200
SEARCH_S = 300.0  # what is stored is searched before the answer; a large gallery may have to be built first
Frames = WatchHit | HitModel | str | Iterable[WatchHit | HitModel | str]


class WatchOptions(TypedDict, total=False):
    """What else a watch asks for; see ``Client.watch``."""

    radius: int
    name: str
    note: str
    webhook: str
    box: Box | None
    tags: Mapping[str, str | list[str]] | None
    between: tuple[float, float] | None
    concepts: list[str] | None
    min_area: float | None
    include_suppressed: bool
    collection: str | None


class WatchChanges(TypedDict, total=False):
    """What can be changed of a watch; see ``Client.change_watch``."""

    name: str
    note: str
    radius: int
    webhook: str
    paused: bool


def watch(queries: QueryLike | list[QueryLike], options: WatchOptions) -> Call[NewWatch]:
    """Return the call that makes a watch; ``between`` turns from seconds into milliseconds."""
    fields: dict[str, Any] = dict(options)
    box = fields.pop("box", None)
    listed = queries if isinstance(queries, list) else [queries]
    if fields.get("between") is not None:
        fields["between"] = tuple(round(seconds * 1000) for seconds in fields["between"])
    body = request_body(WatchRequest, **fields, queries=[query_of(query, box) for query in listed])
    return Call("POST", "/v1/watches", reader(NewWatch), json=body, timeout_s=SEARCH_S)


def watches(collection: str | None) -> Call[Watches]:
    """Return the call that lists watches."""
    params: list[tuple[str, Any]] = [] if collection is None else [("collection", collection)]
    return Call("GET", "/v1/watches", reader(Watches), params, repeatable=True)


def show(watch_id: str) -> Call[WatchModel]:
    """Return the call that looks one watch up."""
    return Call("GET", _path(watch_id), reader(WatchModel), repeatable=True)


def change(watch_id: str, changes: WatchChanges) -> Call[WatchModel]:
    """Return the call that changes a watch."""
    body = request_body(WatchChange, **changes)
    return Call("PATCH", _path(watch_id), reader(WatchModel), json=body, timeout_s=SEARCH_S)


def unwatch(watch_id: str) -> Call[WatchModel]:
    """Return the call that removes a watch."""
    return Call("DELETE", _path(watch_id), reader(WatchModel))


def hits(watch_id: str, state: MarkState | None, before: str | None) -> Call[WatchHits]:
    """Return the call for a page of hits."""
    params = [(name, value) for name, value in (("state", state), ("before", before)) if value]
    return Call("GET", _path(watch_id, "hits"), reader(WatchHits), [*params, ("limit", PAGE)], repeatable=True)


def mark(watch_id: str, frames: list[str], state: MarkState, note: str) -> Call[Marked]:
    """Return the call that says what hits are worth."""
    body = request_body(MarkRequest, frames=frames, state=state, note=note)
    return Call("POST", _path(watch_id, "hits", "mark"), reader(Marked), json=body, repeatable=True)


def frames_of(marked: Frames) -> list[str]:
    """Return the frame ids of hits, or of texts "frame:ID" and "ID"."""
    listed = [marked] if isinstance(marked, WatchHit | HitModel | str) else list(marked)
    return [one.removeprefix("frame:") if isinstance(one, str) else one.frame_id for one in listed]


def picture(watch_id: str, number: int) -> Call[bytes]:
    """Return the call for an example picture."""
    path = _path(watch_id, "pictures", str(int(number)))
    return Call("GET", path, lambda response: response.content, repeatable=True)


def test_webhook(watch_id: str) -> Call[DeliveryModel]:
    """Return the call that tries a webhook."""
    return Call("POST", _path(watch_id, "test-webhook"), reader(DeliveryModel), timeout_s=SEARCH_S)


def rotate_secret(watch_id: str, grace_s: float) -> Call[NewWatch]:
    """Return the call that gives a webhook a new secret."""
    body = request_body(RotateRequest, grace_s=grace_s)
    return Call("POST", _path(watch_id, "rotate-secret"), reader(NewWatch), json=body)


def deliveries(watch_id: str, state: DeliveryState | None) -> Call[Deliveries]:
    """Return the call that lists messages to a webhook."""
    params: list[tuple[str, Any]] = [("limit", PAGE)] + ([("state", state)] if state else [])
    return Call("GET", _path(watch_id, "deliveries"), reader(Deliveries), params, repeatable=True)


def retry_delivery(watch_id: str, delivery_id: str) -> Call[DeliveryModel]:
    """Return the call that sends a message again."""
    return Call("POST", _path(watch_id, "deliveries", delivery_id, "retry"), reader(DeliveryModel))


def _path(*parts: str) -> str:
    return "/v1/watches/" + "/".join(map(path_part, parts))
