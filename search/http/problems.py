"""Errors as RFC 9457 problem documents: one shape for every status that is not a success."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Scope

from hashreel.errors import HashreelError, RateLimitedError, UnauthorizedError, UnavailableError
from hashreel.schemas import Problem

__all__ = [
    "EXPECTED",
    "PROBLEM_JSON",
    "ProblemResponse",
    "add_problem_handlers",
    "headers_of",
    "problem_of",
    "problems",
    "request_id_of",
]

PROBLEM_JSON = "application/problem+json"
ERRORS_SHOWN = 100
DETAILS = {
    404: "there is nothing at this address; GET /openapi.json lists what there is",
    405: "this address does not know the method; the Allow header lists those it knows",
}


class ProblemResponse(Response):
    """A problem document with its status."""

    media_type = PROBLEM_JSON

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        # Problems are about the moment: a cache must not keep one.
        content = problem.model_dump_json(exclude_defaults=True)
        super().__init__(content, problem.status, {"Cache-Control": "no-store", **(headers or {})})


def request_id_of(scope: Scope) -> str:
    """Return the id that the envelope gave to the request ("" outside of it)."""
    return str(scope.get("state", {}).get("request_id", ""))


# What an engine or a queue raises on purpose, and what it lets through where nothing goes on without Redis.
EXPECTED = (HashreelError, redis.RedisError)


def problem_of(error: HashreelError | redis.RedisError, request_id: str = "") -> Problem:
    """Return the problem document of an expected error; the client turns it back into the same class."""
    if isinstance(error, redis.RedisError):
        error = UnavailableError(f"Redis does not answer: {error}")
    return Problem.of(error, request_id)


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that go with an error's document."""
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    return {"WWW-Authenticate": 'Bearer realm="hashreel"'} if isinstance(error, UnauthorizedError) else {}


def http_problem(status: int, detail: str, request_id: str = "", errors: Sequence[dict[str, Any]] = ()) -> Problem:
    """Return a problem whose status says all about its kind."""
    return Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors), request_id=request_id
    )


def field_errors(error: RequestValidationError) -> list[dict[str, Any]]:
    """Return where and why a document was refused, without the values: a picture would be echoed otherwise."""
    return [
        {"at": _sendable(".".join(str(part) for part in item["loc"])), "message": item["msg"], "type": item["type"]}
        for item in error.errors()[:ERRORS_SHOWN]
    ]


def _sendable(text: str) -> str:
    """Return text without halves of surrogate pairs: JSON lets them into the names of fields, UTF-8 carries none."""
    return text.encode(errors="replace").decode()


def validation_problem(error: RequestValidationError, request_id: str = "") -> Problem:
    """Return the problem of a request that does not fit the schema."""
    errors = field_errors(error)
    shown = "; ".join(f"{item['at'] or 'body'}: {item['message']}" for item in errors[:5])
    count = len(error.errors())
    more = f"; and {count - 5} more" if count > 5 else ""
    problem = http_problem(422, shown + more, request_id, errors)
    return problem.model_copy(update={"type": "urn:hashreel:bad-input", "title": "The request does not fit the schema"})


def add_problem_handlers(app: FastAPI) -> None:
    """Make the app answer every error with a problem document."""

    async def on_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, EXPECTED)
        return ProblemResponse(problem_of(error, request_id_of(request.scope)), headers_of(error))

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return ProblemResponse(validation_problem(error, request_id_of(request.scope)))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        default = error.detail == HTTPStatus(error.status_code).phrase
        detail = DETAILS.get(error.status_code, error.detail) if default else error.detail
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request.url.path)))
        return ProblemResponse(http_problem(error.status_code, detail, request_id_of(request.scope)), headers)

    for kind in EXPECTED:
        app.add_exception_handler(kind, on_ours)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)


def _methods(app: FastAPI, path: str) -> set[str]:
    """Return the methods of an address: one route knows its own only, and others may share the path."""
    methods: set[str] = set()
    for template, operations in app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            methods |= {method.upper() for method in operations}
    return methods or {"GET"}  # the page and its parts, which OpenAPI leaves out


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for problem documents of the given statuses, and of those that may come always."""
    schema = {"$ref": "#/components/schemas/Problem"}
    slow = {408} if 413 in statuses else set()  # where there is a body, it may stop coming
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM_JSON: {"schema": schema}}}
        for status in sorted({*statuses, *slow, 401, 403, 421, 429, 500})
    }
