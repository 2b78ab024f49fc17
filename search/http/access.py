"""Asks every request for its key, counts it, and records it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any

import redis
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashreel.errors import ForbiddenError, HashreelError, UnauthorizedError
from hashreel.settings import Settings
from indexer.keys import Keys
from search.access.audit import AuditLog
from search.access.callers import ANYONE, Caller, Visit, current_visit, set_visit
from search.access.keyring import SECRET, Keyring
from search.access.rates import RateLimit
from search.http.guard import is_loopback
from search.http.problems import ProblemResponse, headers_of, problem_of, request_id_of
from search.http.scopes import action_of, is_public, needed_scope

__all__ = ["COOKIE", "Access", "AccessControl", "check_scope", "make_access"]

COOKIE = "hashreel_session"
VIEW_S = 60.0  # a player asks for a source in many parts, and a page for many thumbnails: one view each
VIEWS_KEPT = 10_000


@dataclass
class Access:
    """Keys, audit log and rates of one app; without Redis (``keyring`` None) there are no keys."""

    settings: Settings
    rates: RateLimit
    keyring: Keyring | None = None
    audit: AuditLog | None = None
    views: dict[tuple[str, str, bool], float] = field(default_factory=dict)

    def needs_key(self) -> bool:
        """Return whether requests need a key."""
        if self.keyring is None or self.settings.keys == "required":
            return self.keyring is not None
        is_open = is_loopback(self.settings.host) or self.settings.allow_open
        return not is_open or not self.keyring.is_empty

    async def look(self) -> None:
        """Learn of keys that were made and revoked elsewhere."""
        if self.keyring is not None and self.keyring.is_old:
            await run_in_threadpool(self.keyring.refresh)

    async def caller_of(self, headers: Headers) -> Caller:
        """Return who sends a request.

        Raises:
            UnauthorizedError: if a key is needed and what was sent opens nothing.
        """
        if not self.needs_key():
            return ANYONE
        assert self.keyring is not None
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind:
            found = self.keyring.find(secret.strip()) if kind.lower() == "bearer" else None
            if found is None:
                raise UnauthorizedError(
                    "the key in the Authorization header opens nothing here: it is misspelt, expired or revoked; "
                    "send `Authorization: Bearer hr_...`"
                )
            return found
        token = _cookie(headers.get("cookie", ""))
        if token:
            session = self.keyring.cached_session(token) or await run_in_threadpool(self.keyring.find_session, token)
            if session is not None:
                return session
        raise UnauthorizedError(
            "this service asks for a key: send `Authorization: Bearer hr_...` (clients: api_key=, --api-key or "
            "HASHREEL_API_KEY; the page: sign in). `hashreel keys create` makes one"
        )


def make_access(settings: Settings, client: redis.Redis | None = None, keys: Keys | None = None) -> Access:
    """Return what an app asks its requests for; ``client`` is a connection to the data's Redis."""
    rates = RateLimit(settings.rate_per_s, settings.rate_burst)
    if client is None:
        return Access(settings, rates)
    audit = None if settings.audit == "off" else AuditLog(client, keys, settings.audit_entries)
    return Access(settings, rates, Keyring(client, keys, settings.local_key), audit)


class AccessControl:
    """ASGI middleware: 401 without a good key, 429 beyond the rate, and an entry for what was done."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_public(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            await self.access.look()
            caller = await self.access.caller_of(Headers(scope=scope))
            self.access.rates.take(caller.id)
        except (HashreelError, redis.RedisError) as error:
            await _refuse(error, scope, receive, send)
            return
        visit = Visit(caller)
        set_visit(visit)
        await self._recorded(visit, scope, receive, send)

    async def _recorded(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        withheld = begun = False

        async def recorded(message: Message) -> None:
            nonlocal withheld, begun
            if message["type"] == "http.response.start":
                begun = True
                try:
                    await self._record(visit, scope, message["status"])
                except HashreelError as error:
                    withheld = True
                    await _refuse(error, scope, receive, send)
            if not withheld:
                await send(message)

        try:
            await self.app(scope, receive, recorded)
        except ClientDisconnect:
            raise
        except Exception:
            if not begun:  # the answer, a 500, is made further out; what was done until then may have had an effect
                with suppress(HashreelError):
                    await self._record(visit, scope, 500)
            raise

    async def _record(self, visit: Visit, scope: Scope, status: int) -> None:
        audit = self.access.audit
        entry = None if audit is None else self._entry(visit, scope, status)
        if audit is None or entry is None:
            return
        if self.access.settings.audit == "strict":
            await run_in_threadpool(audit.write, entry)
        else:
            audit.put(entry)

    def _entry(self, visit: Visit, scope: Scope, status: int) -> dict[str, Any] | None:
        route = getattr(scope.get("route"), "path", "")
        action = action_of(route, scope["method"])
        if action is None or (action == "view" and self._is_seen(visit.caller.id, scope, status)):
            return None
        return {
            "at": time.time(),
            "key": visit.caller.id,
            "name": visit.caller.name,
            "address": (scope.get("client") or ("", 0))[0],
            "action": action,
            "method": scope["method"],
            "path": scope["path"][:500],
            # A key does not belong there; whoever put one there all the same is not to find it in the log.
            "query": SECRET.sub(r"hr_\1_...", scope["query_string"].decode(errors="replace"))[:500],
            "status": status,
            "request_id": request_id_of(scope),
            "notes": visit.notes,
        }

    def _is_seen(self, caller: str, scope: Scope, status: int) -> bool:
        # A try that failed does not stand for the view that follows it.
        views, place, now = self.access.views, (caller, scope["path"], status < 400), time.monotonic()
        if now - views.get(place, float("-inf")) < VIEW_S:
            return True
        if len(views) >= VIEWS_KEPT:
            views.clear()
        views[place] = now
        return False


# A coroutine, so that FastAPI does not send it through the thread pool.
async def check_scope(request: Request) -> None:
    """Raise ForbiddenError if the sender's key lacks the scope that the route asks for."""
    caller = current_visit().caller
    needed = needed_scope(getattr(request.scope.get("route"), "path", ""), request.method)
    if needed is not None and not caller.has(needed):
        raise ForbiddenError(f"this needs a key of scope {needed}; key {caller} has scope {caller.scope}")


async def _refuse(error: HashreelError | redis.RedisError, scope: Scope, receive: Receive, send: Send) -> None:
    response = ProblemResponse(problem_of(error, request_id_of(scope)), headers_of(error))
    await response(scope, receive, send)


def _cookie(text: str) -> str:
    if COOKIE not in text:
        return ""
    try:
        morsel = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""
