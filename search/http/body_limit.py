"""Refuses request bodies above a bound, and those that stop coming, before anything keeps them."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashreel.errors import TooLargeError
from search.http.problems import ProblemResponse, http_problem, problem_of, request_id_of

__all__ = ["BodyLimit"]

DRAIN_BYTES = 8 * 2**20
DRAIN_S = 2.0
SILENCE_S = 60.0


class _BodyRefused(HTTPException):
    """Ends the reading of a body; an HTTPException, so that no layer on the way takes it for a broken body."""


class BodyLimit:
    """ASGI middleware: 413 for a body beyond its limit, announced or not, 408 for one of which nothing more comes.

    Args:
        app: What it wraps.
        limit_of: Gives for a path the limit in bytes and the setting that says so.
        silence_s: Longest wait for the next bytes of a body.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[str], tuple[int, str]], silence_s: float = SILENCE_S) -> None:
        self.app = app
        self.limit_of = limit_of
        self.silence_s = silence_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, setting = self.limit_of(scope["path"])
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await _refuse(limit, setting, scope, receive, send)
            return
        body = _Body(receive, send, limit, self.silence_s)
        try:
            await self.app(scope, body.receive, body.send)
        except _BodyRefused:
            if body.started:
                raise
        if body.refusal == 413 and not body.started:
            await _refuse(limit, setting, scope, receive if body.more else None, send)
        elif body.refusal and not body.started:
            await _give_up(self.silence_s, scope, send)


class _Body:
    """A body on its way through, and the answer to it: what the app says about one that was cut off is held back.

    Attributes:
        refusal: 413 or 408 when the body was refused, else 0.
        more: Whether more of the body is to come.
        started: Whether the answer was begun.
    """

    def __init__(self, receive: Receive, send: Send, limit: int, silence_s: float) -> None:
        self._receive, self._send, self._limit, self._silence_s = receive, send, limit, silence_s
        self._seen = 0
        self.refusal = 0
        self.more = True
        self.started = False

    async def receive(self) -> Message:
        # After its end the next message is that the sender has gone, however late.
        message = await (self._next() if self.more else self._receive())
        self._seen += len(message.get("body", b""))
        self.more = message.get("more_body", False)
        if self._seen > self._limit:
            self.refusal = 413
            raise _BodyRefused(413)
        return message

    async def _next(self) -> Message:
        try:
            with anyio.fail_after(self._silence_s):
                return await self._receive()
        except TimeoutError:
            self.refusal = 408
            raise _BodyRefused(408) from None

    async def send(self, message: Message) -> None:
        if self.refusal and not self.started:
            return
        self.started = True
        await self._send(message)


async def _give_up(silence_s: float, scope: Scope, send: Send) -> None:
    detail = f"nothing more of the request's body came for {silence_s:g} s; send it again"
    problem = http_problem(408, detail, request_id_of(scope))
    await ProblemResponse(problem, headers={"Connection": "close"})(scope, _nothing, send)


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
