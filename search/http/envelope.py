"""What surrounds every request: its id, log line and metrics, the headers that protect a browser, the last catch."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashreel.log_context import bound
from hashreel.traces import span
from search.http.metrics import Metrics
from search.http.problems import ProblemResponse, http_problem

__all__ = ["Envelope"]

logger = logging.getLogger(__name__)

CLIENT_GONE = 499  # nobody is left to read a status; this one is for the metrics and the log
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Nothing inline, nothing from elsewhere; pictures may also be blobs, since the query picture is shown from memory.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # A foreign page could otherwise show our frames in its own <img> and <video>.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
RAW_SECURITY_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


class Envelope:
    """The outermost ASGI middleware of the app.

    Args:
        app: What it wraps.
        metrics: Counts the requests.
        instance: Sent with every answer, so that a supervisor knows its own service from another at its port.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, instance: str = "") -> None:
        self.app = app
        self.metrics = metrics
        self.instance = instance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        begin = time.perf_counter()
        status = 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                # A route may set stricter or other ones; two policies would both hold.
                present = {name.lower() for name, _ in headers.raw}
                headers.raw.extend(header for header in RAW_SECURITY_HEADERS if header[0] not in present)
                headers["X-Request-Id"] = request_id
                if self.instance:
                    headers["X-Hashreel-Instance"] = self.instance
            await send(message)

        parent = Headers(scope=scope).get("traceparent", "")
        try:
            with bound(request_id=request_id), span("request", kind="server", parent=parent) as current:
                await self.app(scope, receive, dressed)
                if current is not None:
                    _describe(current, scope, status)
        except ClientDisconnect:
            status = status or CLIENT_GONE
        except Exception:
            logger.exception("request failed unexpectedly", extra={"action": "request", "request_id": request_id})
            if status:
                raise  # the answer has begun: only a cut connection can say that it is wrong
            detail = f"an unexpected error, recorded in the service's log under {request_id}"
            await ProblemResponse(http_problem(500, detail, request_id))(scope, receive, dressed)
        finally:
            self._record(scope, status, time.perf_counter() - begin)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self.metrics.request(route, scope["method"], status, seconds)
        if logger.isEnabledFor(logging.INFO):
            facts = {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(seconds * 1000, 1)}
            logger.info(
                "request",
                extra={"action": "request", "request_id": scope["state"]["request_id"], **facts},
            )


def _describe(current: Any, scope: Scope, status: int) -> None:
    """Name a span by its route, of which there are few, and say how it ended."""
    route = getattr(scope.get("route"), "path", "unmatched")
    current.update_name(f"{scope['method']} {route}")
    current.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
            "hashreel.request_id": scope["state"]["request_id"],
        }
    )


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
