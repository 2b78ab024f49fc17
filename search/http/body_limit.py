"""Refuses request bodies above a bound while they stream in, before anything keeps them."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashreel.errors import TooLargeError
from search.http.problems import ProblemResponse, problem_of, request_id_of

__all__ = ["BodyLimit"]

DRAIN_BYTES = 8 * 2**20
DRAIN_S = 2.0


class _BodyTooLarge(HTTPException):
    """Ends the reading of a body; an HTTPException, so that no layer on the way takes it for a broken body."""

    def __init__(self) -> None:
        super().__init__(413)


class BodyLimit:
    """ASGI middleware: 413 for a body beyond its limit, announced or not.

    Args:
        app: What it wraps.
        limit_of: Gives for a path the limit in bytes and the setting that says so.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[str], tuple[int, str]]) -> None:
        self.app = app
        self.limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, setting = self.limit_of(scope["path"])
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await _refuse(limit, setting, scope, receive, send)
        else:
            await self._pass(limit, setting, scope, receive, send)

    async def _pass(self, limit: int, setting: str, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0
        more = True
        started = False

        async def counted() -> Message:
            nonlocal seen, more
            message = await receive()
            seen += len(message.get("body", b""))
            more = message.get("more_body", False)
            if seen > limit:
                raise _BodyTooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            # What the app says about a body that was cut off is replaced by what is true.
            if seen > limit and not started:
                return
            started = True
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except _BodyTooLarge:
            if started:
                raise
        if seen > limit and not started:
            await _refuse(limit, setting, scope, receive if more else None, send)


async def _refuse(limit: int, setting: str, scope: Scope, rest: Receive | None, send: Send) -> None:
    """Answer 413; ``rest`` gives what is left of the body, if anything is."""
    error = TooLargeError(
        f"the request's body is larger than {limit} bytes, the limit of {scope['path'][:100]} ({setting}, "
        f"HASHREEL_{setting.upper()})"
    )
    response = ProblemResponse(problem_of(error, request_id_of(scope)), headers={"Connection": "close"})
    if rest is not None and "expect" not in Headers(scope=scope):  # who expects a word has not sent the body yet
        await _drain(rest)
    await response(scope, _nothing, send)


async def _drain(receive: Receive) -> None:
    """Read a little more of a refused body: closing on unread bytes can cost the sender our answer."""
    drained = 0
    with anyio.move_on_after(DRAIN_S):
        while drained < DRAIN_BYTES:
            message = await receive()
            drained += len(message.get("body", b""))
            if not message.get("more_body", False):
                return


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
