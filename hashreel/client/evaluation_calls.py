"""What the methods about evaluations send and how their answers are read: plain values, no I/O but the truth's file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

import httpx

from hashreel.client.calls import Call, path_part, reader, request_body
from hashreel.errors import BadInputError
from hashreel.schemas import EvaluationModel, EvaluationRequest, Evaluations

__all__ = ["EvaluationOptions", "ReportFormat", "TruthLike"]

TruthLike: TypeAlias = "str | os.PathLike[str]"
"""A file, or the text itself (text with a line break is no file name)."""
ReportFormat = Literal["html", "json", "csv", "markdown"]
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})


class EvaluationOptions(TypedDict, total=False):
    """How to evaluate; see ``Client.evaluate``."""

    frame_rate: float | None
    top: Sequence[int]
    queries_per_concept: int | Literal["all"]
    exclude: Literal["self", "video"]
    seed: int
    name: str | None
    collection: str | None
    generation: str | None
    against: str | None
    by: str


def evaluate(truth: TruthLike, options: EvaluationOptions) -> Call[EvaluationModel]:
    """Return the call that asks for an evaluation.

    Raises:
        BadInputError: If the file is missing or no UTF-8 text, or an option is not acceptable.
    """
    fields: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "top" in fields:
        fields["top"] = list(fields["top"])
    text, source, is_json = _read(truth)
    fields["format"] = "shots" if "frame_rate" in fields else "jsonl" if is_json else "csv"
    body = request_body(EvaluationRequest, truth=text, source=source, **fields)
    return Call("POST", "/v1/evaluations", reader(EvaluationModel), json=body)


def _read(truth: TruthLike) -> tuple[str, str, bool]:
    """Return the text, what to call it, and whether it is JSON lines."""
    if isinstance(truth, str) and "\n" in truth:
        return truth, "the ground truth", truth.lstrip().startswith("{")
    path = Path(truth)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise BadInputError(f"the ground truth {str(path)!r} cannot be read: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise BadInputError(f"{path.name} is not UTF-8 text (byte {exc.start}); save it as UTF-8") from exc
    return text, path.name, path.suffix.lower() in JSON_SUFFIXES


def evaluations(limit: int) -> Call[Evaluations]:
    """Return the call that lists evaluations."""
    return Call("GET", "/v1/evaluations", reader(Evaluations), [("limit", limit)], repeatable=True)


def evaluation(evaluation_id: str) -> Call[EvaluationModel]:
    """Return the call that looks one evaluation up."""
    return Call("GET", f"/v1/evaluations/{path_part(evaluation_id)}", reader(EvaluationModel), repeatable=True)


def cancel(evaluation_id: str) -> Call[EvaluationModel]:
    """Return the call that cancels an evaluation."""
    return Call("POST", f"/v1/evaluations/{path_part(evaluation_id)}/cancel", reader(EvaluationModel))


def report(evaluation_id: str, format_: ReportFormat) -> Call[str]:
    """Return the call for a report."""

    def parse(response: httpx.Response) -> str:
        return response.content.decode()

    path = f"/v1/evaluations/{path_part(evaluation_id)}/report"
    return Call("GET", path, parse, [("format", format_)], repeatable=True)
