"""The OpenAPI document: what the routes say, plus problem documents, keys and examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from hashreel.schemas import Health, NotReady, Problem
from search.http.access import COOKIE
from search.http.scopes import is_public, needed_scope

__all__ = ["EXAMPLES", "document"]

HIT = {
    "video": 7,
    "source": "archive/news.mp4",
    "time_ms": 83000,
    "distance": 2,
    "frame_id": "30064771155",
    "code": "8f01a2b3c4d7",
    "tags": {"case": "17"},
}
JOB = {
    "id": "3fd2a1b0c4d5",
    "state": "running",
    "collection": "main",
    "counts": {"total": 2, "encoding": 1, "indexed": 1},
    "videos": [7, 8],
    "created_at": 1767225600.0,
}
# By the name of the schema; a test checks each against its model.
EXAMPLES: dict[str, dict[str, Any]] = {
    "Answer": {
        "hits": [HIT],
        "code": "8f01a2b3c4d5",
        "bits": 48,
        "fingerprint": "f" * 64,
        "position": {"generation": "1", "log_id": "1767225600000-0"},
        "tie_band": 1,
        "gallery": 27000,
        "search_ms": 0.02,
    },
    "ApiKeyRequest": {"name": "night ingest", "scope": "write", "collections": ["main"], "expires_s": 2592000},
    "BatchRequest": {"requests": [{"query": {"code": "8f01a2b3c4d5"}}, {"query": {"frame": "30064771073"}, "top": 3}]},
    "CollectionRequest": {"name": "faces", "model": "models/faces"},
    "CutoverRequest": {"generation": "2"},
    "EvaluationRequest": {"truth": "path,concept\narchive/news.mp4,studio\n", "top": [10, 50], "by": "mary"},
    "JobModel": JOB,
    "Problem": {
        "type": "urn:hashreel:forbidden",
        "title": "Forbidden",
        "status": 403,
        "detail": "this needs a key of scope write; key 9f1c2ab04d77 (mary) has scope read",
        "request_id": "5dd8a8c3402327cc",
    },
    "ReencodeRequest": {"model": "models/mine"},
}


def document(app: FastAPI) -> None:
    """Make the app describe itself."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = schema.setdefault("components", {})
    known = parts.setdefault("schemas", {})
    models: tuple[type[BaseModel], ...] = (Problem, NotReady, Health)  # no route returns them as its model
    for model in models:
        text = model.model_json_schema(ref_template="#/components/schemas/{model}")
        text.pop("$defs", None)
        known.setdefault(model.__name__, text)
    for name, example in EXAMPLES.items():
        if name in known:
            known[name].setdefault("examples", [example])
    parts["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key; see POST /v1/keys."},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "See POST /v1/session."},
    }
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            operation["security"] = _security(path, method.upper())
    return schema


def _security(path: str, method: str) -> list[dict[str, list[str]]]:
    if is_public(path):
        return []
    scope = needed_scope(path, method)
    # Without a key, too: a service on loopback asks for none until the first one is made.
    return [{"key": [scope] if scope else []}, {"session": []}, {}]
