"""/v1/keys: API keys; /v1/session: the page's way to use one; /v1/audit: what was done with them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from hashreel.errors import ForbiddenError, UnavailableError
from hashreel.schemas import ApiKeyModel, ApiKeyRequest, ApiKeys, AuditAction, AuditPage, NewApiKey, SessionModel
from search.access.audit import AuditLog
from search.access.callers import current_visit, leave_note
from search.access.keyring import Keyring
from search.http.access import COOKIE
from search.http.parts import Parts, PartsDep
from search.http.problems import problems

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["keys"])

KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$", description="The key's id.", examples=["9f1c2ab04d77"])]
LogPlace = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}-[0-9]{1,18}$", description="`next` of the page before.")]


def _keyring(parts: Parts) -> Keyring:
    if parts.access.keyring is None:
        raise UnavailableError("this service keeps no keys; it runs without Redis")
    return parts.access.keyring


def _audit(parts: Parts) -> AuditLog:
    _only_unlimited()
    if parts.access.audit is None:
        raise UnavailableError("this service keeps no audit log (audit=off, HASHREEL_AUDIT)")
    return parts.access.audit


def _session(parts: Parts) -> SessionModel:
    caller = current_visit().caller
    return SessionModel(
        key=caller.id,
        name=caller.name,
        scope=caller.scope,
        collections=None if caller.collections is None else sorted(caller.collections),
        needs_key=parts.access.needs_key(),
    )


def _only_unlimited() -> None:
    caller = current_visit().caller
    if caller.collections is not None:
        raise ForbiddenError(f"keys and the audit log need an admin's key for all collections; {caller} is limited")


@router.get("/keys", responses=problems(403, 503), summary="List keys")
def list_keys(parts: PartsDep) -> ApiKeys:
    """Return all keys without their secrets, revoked ones too."""
    _only_unlimited()
    return ApiKeys(keys=[key.model() for key in _keyring(parts).everything()])


@router.post("/keys", status_code=201, responses=problems(400, 403, 409, 413, 422, 503), summary="Make a key")
def create_key(request: ApiKeyRequest, parts: PartsDep) -> NewApiKey:
    """Make a key. Its secret is in this answer and nowhere else. The first key closes a service that was open."""
    _only_unlimited()
    key, secret = _keyring(parts).create(request.name, request.scope, request.collections, request.expires_s)
    leave_note(made=key.id, name=key.name, scope=key.scope, collections=key.collections)
    return NewApiKey(**key.model().model_dump(), secret=secret)


@router.delete("/keys/{key_id}", responses=problems(403, 404, 422, 503), summary="Revoke a key")
def revoke_key(key_id: KeyId, parts: PartsDep) -> ApiKeyModel:
    """Let a key open nothing any more, its sessions included."""
    _only_unlimited()
    return _keyring(parts).revoke(key_id).model()


@router.get("/session", responses=problems(), summary="Who the service takes you for")
async def show_session(parts: PartsDep) -> SessionModel:
    """Return the key that was sent, by header or cookie; 401 if one is needed and none was."""
    return _session(parts)


@router.post("/session", responses=problems(503), summary="Sign a browser in")
def open_session(request: Request, response: Response, parts: PartsDep) -> SessionModel:
    """Set a cookie that stands for the key in the Authorization header, for pictures and players, which send no header.

    Scripts cannot read it and other sites cannot use it (HttpOnly, SameSite=Strict). It ends after a time, or with its
    key. Where no key is needed, no cookie is set.
    """
    caller, seconds = current_visit().caller, parts.access.settings.session_s
    if caller.id and caller.id != "local":
        token = _keyring(parts).open_session(caller, seconds)
        is_secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, seconds, path="/", secure=is_secure, httponly=True, samesite="strict")
    return _session(parts)


@router.delete("/session", status_code=204, responses=problems(403, 503), summary="Sign a browser out")
def close_session(request: Request, response: Response, parts: PartsDep) -> None:
    """Forget the cookie, here and in the browser."""
    token = request.cookies.get(COOKIE)
    if token and parts.access.keyring is not None:
        parts.access.keyring.close_session(token)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


@router.get("/audit", responses=problems(403, 422, 503), summary="Who did what, newest first")
def list_audit(
    parts: PartsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: LogPlace = None,
    action: Annotated[AuditAction | None, Query(description="Only this action.")] = None,
    key: Annotated[str | None, Query(max_length=100, description="Only what was done with this key.")] = None,
) -> AuditPage:
    """Return searches, views, exports, changes and deletions; nothing removes an entry but the log's bounded length."""
    return _audit(parts).page(limit=limit, before=before, action=action, key=key)
