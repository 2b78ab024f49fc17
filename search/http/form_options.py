"""Search options written as form fields or query parameters, where everything is text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from hashreel.errors import BadInputError
from hashreel.schemas import MAX_VIDEO, SearchOptions

__all__ = ["FORM_FIELDS", "TAG", "options_from_form", "options_parameters", "split_tag"]

TAG = r"^[^=\x00-\x1f]{1,64}=[^\x00-\x1f]{0,256}$"
LISTS = {
    "video": "videos",
    "videos": "videos",
    "concept": "concepts",
    "concepts": "concepts",
    "more": "more",
    "less": "less",
}
NUMBERS = {"box": 4, "between": 2}
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "tags": ("tag", {"type": "array", "items": {"type": "string", "pattern": TAG}}),
    "videos": ("video", {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": MAX_VIDEO}}),
    "between": ("between", {"type": "string", "pattern": r"^[0-9]{1,15},[0-9]{1,15}$"}),
}


def options_from_form(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the options as a document that the schema checks.

    Args:
        fields: Names and values; ``tag`` (as key=value), ``video`` and ``concept`` may come more than once, ``box`` and
            ``between`` are numbers with commas. An empty value counts as not given, as in a form left blank.

    Raises:
        BadInputError: if an option comes twice or is not of its form.

    Example:
        >>> options_from_form([("top", "5"), ("tag", "case=17"), ("box", "0,0,0.5,1")])
        {'top': '5', 'tags': {'case': ['17']}, 'box': [0.0, 0.0, 0.5, 1.0]}
    """
    options: dict[str, Any] = {}
    for name, value in fields:
        if value == "":
            continue
        if name == "tag":
            key, value = split_tag(value)
            options.setdefault("tags", {}).setdefault(key, []).append(value)
        elif name in LISTS:
            options.setdefault(LISTS[name], []).extend(value.split(","))
        elif name in options:
            raise BadInputError(f"{name} is given more than once")
        else:
            options[name] = _numbers(name, value) if name in NUMBERS else value
    return options


def split_tag(text: str) -> tuple[str, str]:
    """Return the key and the value of ``key=value``; BadInputError without the sign."""
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise BadInputError(f"tag is {text[:100]!r}; write it as key=value")
    return key, value


def _numbers(name: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != NUMBERS[name]:
        raise BadInputError(f"{name} is {text[:100]!r}; write {NUMBERS[name]} numbers with commas between them")
    return numbers


def options_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the query parameters of options for OpenAPI: every field as text, lists as parameters that repeat."""
    fields = model.model_json_schema()["properties"]
    parameters = []
    for name, field in fields.items():
        if name in TEXTS:
            name, schema = TEXTS[name]
        else:
            schema = field.get("anyOf", [{k: v for k, v in field.items() if k not in {"title", "description"}}])[0]
        described = {"description": field["description"]} if "description" in field else {}
        parameters.append({"name": name, "in": "query", "required": False, "schema": schema} | described)
    return parameters


def _form_fields() -> dict[str, Any]:
    """Return the schema of the form for OpenAPI, from the one of the JSON request."""
    # A form has no null: a field that may be null in JSON is left out instead.
    options: dict[str, Any] = {
        name: {**field.get("anyOf", [{}])[0], **{key: value for key, value in field.items() if key != "anyOf"}}
        for name, field in SearchOptions.model_json_schema()["properties"].items()
    }
    for name in ("tags", "videos", "between", "concepts", "more", "less"):
        del options[name]
    options["tag"] = {
        "type": "array",
        "items": {"type": "string", "pattern": TAG},
        "description": "key=value; may come repeatedly.",
    }
    options["video"] = {"type": "array", "items": {"type": "integer"}, "description": "May come repeatedly."}
    options["concept"] = {"type": "array", "items": {"type": "string"}, "description": "May come repeatedly."}
    for name in ("more", "less"):
        frames = {"type": "array", "items": {"type": "string", "pattern": "^[0-9]{1,19}$"}}
        options[name] = {**frames, "description": f"{name.capitalize()} like this frame; may come repeatedly."}
    options["between"] = {"type": "string", "description": "start,end in milliseconds."}
    options["box"] = {"type": "string", "description": "x,y,width,height in [0, 1]: the part to search for."}
    options["image"] = {"type": "string", "format": "binary", "description": "A picture file."}
    return {"type": "object", "required": ["image"], "properties": options, "additionalProperties": False}


FORM_FIELDS = _form_fields()
