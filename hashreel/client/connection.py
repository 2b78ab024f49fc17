"""What both clients need to open a connection and to put a call into a request."""

from __future__ import annotations

from typing import Any

from hashreel import __version__
from hashreel.client.calls import Call

__all__ = ["client_options", "request_options"]


def client_options(url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of ``httpx.Client`` and ``httpx.AsyncClient``."""
    headers = {"User-Agent": f"hashreel-client/{__version__}"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return {
        "base_url": url,
        "headers": headers,
        "timeout": timeout_s,
        # A proxy variable meant for the internet would swallow calls to this machine.
        "trust_env": False,
        # Loading the system's certificates costs tens of milliseconds that plain HTTP has no use for.
        "verify": url.startswith("https:"),
    }


def request_options(call: Call[Any]) -> dict[str, Any]:
    """Return the arguments of ``build_request`` for a call."""
    options: dict[str, Any] = {"method": call.method, "url": call.path, "params": call.params or None}
    if call.json is not None:
        options |= {"content": call.json, "headers": {"Content-Type": "application/json"}}
    if call.timeout_s is not None:
        options["timeout"] = call.timeout_s
    return options
