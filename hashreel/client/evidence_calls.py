"""What an export of evidence sends: plain values, no I/O."""

from __future__ import annotations

from hashreel.client.calls import Call, SearchKeywords, request_body, search_fields
from hashreel.client.queries import QueryLike
from hashreel.schemas import SearchRequest

__all__ = ["evidence"]

EVIDENCE_S = 900.0  # every source is read whole


def evidence(query: QueryLike, top: int, options: SearchKeywords) -> Call[bytes]:
    """Return the call that searches and packs what was found."""
    body = request_body(SearchRequest, **search_fields(query, top, options))
    return Call("POST", "/v1/evidence", lambda response: response.content, json=body, timeout_s=EVIDENCE_S)
