"""The wire format is what docs/openapi.json says, and its examples are good."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hashreel import schemas
from search.http.examples import EXAMPLES

ROOT = Path(__file__).parents[3]
# Prose, and what the libraries call things, may change without a client noticing.
PROSE = {"description", "summary", "title", "operationId", "examples", "tags"}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_openapi", ROOT / "scripts" / "make_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bare(node: Any, *, is_names: bool = False) -> Any:
    """Return a document without its prose; in ``properties`` and the like, names are names."""
    if isinstance(node, dict):
        named = {"properties", "schemas", "paths", "responses", "parameters", "securitySchemes"}
        return {key: bare(value, is_names=key in named) for key, value in node.items() if is_names or key not in PROSE}
    if isinstance(node, list):
        items = [bare(item) for item in node]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return node


@pytest.fixture(scope="module")
def present() -> dict[str, Any]:
    return json.loads(json.dumps(script().openapi()))


def test_the_wire_format_is_the_stored_one(present: dict[str, Any]) -> None:
    stored = json.loads(script().STORED.read_text())
    hint = "the wire format changed; if that is meant: .venv/bin/python scripts/make_openapi.py"
    for part in ("paths", "components"):
        was, now = bare(stored[part], is_names=True), bare(present[part], is_names=True)
        assert {key: now.get(key) for key in was} == was, hint
        assert now.keys() == was.keys(), hint


def test_every_document_that_is_sent_has_a_good_example(present: dict[str, Any]) -> None:
    sent = {
        media["schema"]["$ref"].rpartition("/")[2]
        for operations in present["paths"].values()
        for operation in operations.values()
        for kind, media in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json"
    }
    documents = present["components"]["schemas"]
    assert len(sent) >= 8
    for name in sent | EXAMPLES.keys() & documents.keys():
        examples = documents[name].get("examples")
        assert examples, f"{name} has no example; add one to its model or to search/http/openapi.py"
        for example in examples:
            getattr(schemas, name).model_validate(example)


def test_every_operation_shows_what_goes_in_and_what_comes_out(present: dict[str, Any]) -> None:
    documents = present["components"]["schemas"]
    bare = []
    for path, operations in present["paths"].items():
        for method, operation in operations.items():
            bodies = operation.get("requestBody", {}).get("content", {})
            # Forms and files are shown by a command of curl.
            bare += [(method, path, kind) for kind in bodies.keys() - {"application/json"} if not shown(operation)]
            answers = [kinds for status, kinds in operation["responses"].items() if status.startswith("2")]
            for media in (kinds.get("content", {}).get("application/json", {}) for kinds in answers):
                name = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
                bare += [(method, path, name)] if name and not documents[name].get("examples") else []
            for parameter in operation.get("parameters", []):
                is_bare = parameter.get("required") and not {"example", "examples"} & parameter.keys()
                is_bare = is_bare and not parameter["schema"].get("examples")
                bare += [(method, path, parameter["name"])] if is_bare else []
    assert bare == []


def shown(operation: dict[str, Any]) -> bool:
    return "curl -F" in operation["description"]


def test_every_address_says_which_scope_it_needs(present: dict[str, Any]) -> None:
    operations = {f"{method} {path}": op for path, ops in present["paths"].items() for method, op in ops.items()}
    assert operations["get /healthz"]["security"] == []
    assert operations["post /v1/search"]["security"][0] == {"key": ["read"]}
    assert operations["post /v1/evidence"]["security"][0] == {"key": ["read"]}
    assert operations["delete /v1/videos/{video_id}"]["security"][0] == {"key": ["write"]}
    assert operations["post /v1/keys"]["security"][0] == {"key": ["admin"]}
