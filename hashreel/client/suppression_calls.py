"""What the methods about suppression lists send: plain values, no I/O."""

from __future__ import annotations

from typing import Any

from hashreel.client.calls import Call, path_part, reader, request_body
from hashreel.client.queries import QueryLike, query_of
from hashreel.schemas import SuppressionModel, SuppressionRequest, Suppressions

__all__ = ["suppress", "suppressions", "unsuppress"]


def suppress(query: QueryLike, radius: int, name: str, collection: str | None) -> Call[SuppressionModel]:
    """Return the call that leaves likes of a picture out."""
    body = request_body(SuppressionRequest, query=query_of(query), radius=radius, name=name, collection=collection)
    return Call("POST", "/v1/suppressions", reader(SuppressionModel), json=body)


def suppressions(collection: str | None) -> Call[Suppressions]:
    """Return the call that lists what is left out."""
    return Call("GET", "/v1/suppressions", reader(Suppressions), _named(collection), repeatable=True)


def unsuppress(suppression_id: str, collection: str | None) -> Call[SuppressionModel]:
    """Return the call that shows what was left out again."""
    path = f"/v1/suppressions/{path_part(suppression_id)}"
    return Call("DELETE", path, reader(SuppressionModel), _named(collection))


def _named(collection: str | None) -> list[tuple[str, Any]]:
    return [] if collection is None else [("collection", collection)]
