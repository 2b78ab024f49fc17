"""Refuses what a web page of somebody else could send to a service on this machine.

A service without keys trusts whoever reaches it. Two doors remain open on a loopback address: a foreign page
whose name is made to resolve to 127.0.0.1 (DNS rebinding; the Host header tells), and a foreign page that posts
a form or a fetch here (cross-site request forgery; Sec-Fetch-Site and Origin tell).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from search.http.problems import ProblemResponse, http_problem, request_id_of

__all__ = ["Guard", "host_name", "is_loopback"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Probes come with the address of a pod or host as their Host header, and what they read is no secret.
PROBES = frozenset({"/healthz", "/readyz"})


def host_name(host: str) -> str:
    """Return the name of a Host header in lower case, without port and without the brackets of IPv6."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def is_loopback(name: str) -> bool:
    """Return whether a host name or address can only mean this machine."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_foreign(headers: Headers) -> bool:
    """Return whether a browser says that the request was made by a page of another origin."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    # The scheme is left out: behind a proxy that ends TLS, ours is http and the page's is https.
    return origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower()


class Guard:
    """ASGI middleware that checks Host, and the origin of requests that may change something.

    Args:
        app: What it wraps.
        allowed_hosts: Names that are accepted beside loopback ones.
        needs_key: Whether requests need a key now. A page under a rebound name has none, so that Host may then be
            anything; the origin is checked all the same, since a browser may be signed in.
    """

    def __init__(
        self, app: ASGIApp, allowed_hosts: Iterable[str] = (), needs_key: Callable[[], bool] = lambda: False
    ) -> None:
        self.app = app
        self.needs_key = needs_key
        self.allowed = {host_name(host) for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        status, detail = refusal
        response = ProblemResponse(http_problem(status, detail, request_id_of(scope)))
        await response(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        name = host_name(headers.get("host", ""))
        if not (
            is_loopback(name)
            or name in self.allowed
            or "*" in self.allowed
            or scope["path"] in PROBES
            or self.needs_key()
        ):
            return 421, (
                f"the Host header names {name[:100]!r}; accepted are loopback names and those of the setting "
                "allowed_hosts (HASHREEL_ALLOWED_HOSTS, a JSON list)"
            )
        if scope["method"] not in SAFE_METHODS and is_foreign(headers):
            return 403, "the request comes from a page of another site; only this service's own page may send it"
        return None
