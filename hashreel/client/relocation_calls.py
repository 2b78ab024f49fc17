"""What is sent to relocate videos."""

from __future__ import annotations

from typing import Any

from hashreel.client.calls import UPKEEP_S, Call, reader, request_body
from hashreel.schemas import RelocateRequest, Relocations

__all__ = ["relocate"]


def relocate(**fields: Any) -> Call[Relocations]:
    """Return the call of one turn; doing it twice does no harm."""
    body = request_body(RelocateRequest, **fields)
    return Call("POST", "/v1/videos/relocate", reader(Relocations), json=body, timeout_s=UPKEEP_S)
