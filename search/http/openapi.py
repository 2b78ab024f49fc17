"""The OpenAPI document: what the routes say, plus problem documents, keys and examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from hashreel.schemas import Health, NotReady, Problem
from search.http.access import COOKIE
from search.http.examples import EXAMPLES
from search.http.scopes import is_public, needed_scope

__all__ = ["document"]


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
