"""Hashreel: visual search in large video archives with codes of a few bytes.

``from hashreel import Client`` is the front door; it loads no engine (torch, FAISS, Celery, FastAPI).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashreel.client import AsyncClient, Client, Hit, Job

__all__ = ["AsyncClient", "Client", "Hit", "Job", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Deferred, so that `hashreel --help` and the engine's processes do not pay for the HTTP client.
    if name in {"AsyncClient", "Client", "Hit", "Job"}:
        from hashreel import client

        return getattr(client, name)
    raise AttributeError(f"module 'hashreel' has no attribute {name!r}")
