"""What the clients send about API keys, and how the answers are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from hashreel.client.calls import Call, path_part, reader, request_body
from hashreel.schemas import ApiKeyModel, ApiKeyRequest, ApiKeys, AuditAction, AuditPage, NewApiKey, Scope, SessionModel

__all__ = ["KeyOptions"]


class KeyOptions(TypedDict, total=False):
    """What a key is good for; see ``Client.create_key``."""

    scope: Scope
    collections: Iterable[str] | None
    expires_s: float | None


def keys() -> Call[ApiKeys]:
    """Return the call that lists keys."""
    return Call("GET", "/v1/keys", reader(ApiKeys), repeatable=True)


def create_key(name: str, options: KeyOptions) -> Call[NewApiKey]:
    """Return the call that makes a key."""
    fields = {**options, "name": name}
    if options.get("collections") is not None:
        fields["collections"] = list(options["collections"] or ())
    return Call("POST", "/v1/keys", reader(NewApiKey), json=request_body(ApiKeyRequest, **fields))


def revoke_key(key_id: str) -> Call[ApiKeyModel]:
    """Return the call that revokes a key."""
    return Call("DELETE", f"/v1/keys/{path_part(key_id)}", reader(ApiKeyModel), repeatable=True)


def session() -> Call[SessionModel]:
    """Return the call that asks who the service takes the sender for."""
    return Call("GET", "/v1/session", reader(SessionModel), repeatable=True)


def audit(before: str | None, action: AuditAction | None, key: str | None) -> Call[AuditPage]:
    """Return the call for a page of the audit log."""
    params = [(name, value) for name, value in (("before", before), ("action", action), ("key", key)) if value]
    return Call("GET", "/v1/audit", reader(AuditPage), params=[*params, ("limit", 200)], repeatable=True)
