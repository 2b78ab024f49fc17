"""Ground truth from files: CSV, JSON lines, and lists of shots by frame number."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hashreel.errors import BadInputError, NotFoundError
from search.evaluation.truth import ROLES, Problems, Truth, TruthRecord

__all__ = ["CONCEPT_SEPARATOR", "parse_csv", "parse_json_lines", "parse_shots", "read_shots", "read_truth"]

CONCEPT_SEPARATOR = ";"

FIELDS = ("picture", "video", "start_s", "end_s", "concepts", "role", "clip")
SHOT_FIELDS = ("video", "first_frame", "frames", "clip", "tags")

FrameRate = float | Mapping[str, float]


def read_truth(path: str | Path) -> Truth:
    """Return the ground truth of a file, by its suffix: .csv, or .jsonl / .ndjson.

    CSV has a header with some of ``picture, video, start_s, end_s, concepts, role, clip``; concepts are
    separated by semicolons. JSON lines are objects with the same names, ``concepts`` being a list. A row is a
    picture, or a video with an optional half-open time range; see :class:`TruthRecord`.

    Raises:
        NotFoundError: If there is no such file.
        BadInputError: On another suffix, text that is not UTF-8, or rows that are wrong, with their numbers.
    """
    file = Path(path)
    parsers: dict[str, Callable[[Iterable[str], str], Truth]] = {
        ".csv": parse_csv,
        ".jsonl": parse_json_lines,
        ".ndjson": parse_json_lines,
    }
    if file.suffix.lower() not in parsers:
        raise BadInputError(f"{file.name} ends in {file.suffix!r}; accepted: {', '.join(parsers)}")
    return parsers[file.suffix.lower()](_lines(file), file.name)


def read_shots(path: str | Path, frame_rate: FrameRate) -> Truth:
    """Return the ground truth of a CSV file of shots: :func:`parse_shots`.

    Raises:
        NotFoundError: If there is no such file.
        BadInputError: If a row is wrong.
    """
    file = Path(path)
    return parse_shots(_lines(file), frame_rate, file.name)


def parse_csv(lines: Iterable[str], source: str = "the CSV text") -> Truth:
    """Return the ground truth of lines of CSV; see :func:`read_truth`."""
    problems = Problems(source)
    records = [
        record
        for row, fields in _csv_rows(lines, source, FIELDS, required=("concepts",))
        if (record := _record(row, fields, problems)) is not None
    ]
    problems.raise_any()
    return Truth(records, source)


def parse_json_lines(lines: Iterable[str], source: str = "the JSON lines") -> Truth:
    """Return the ground truth of JSON lines; see :func:`read_truth`. Empty lines are passed over."""
    problems, records = Problems(source), []
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as exc:
            problems.add(row, f"is not JSON ({exc})")
            continue
        if not isinstance(fields, dict):
            problems.add(row, f"is a {type(fields).__name__}; expected an object")
        elif (record := _record(row, fields, problems)) is not None:
            records.append(record)
    problems.raise_any()
    return Truth(records, source)


def parse_shots(lines: Iterable[str], frame_rate: FrameRate, source: str = "the list of shots") -> Truth:
    """Return the ground truth of a CSV list of shots: video, first_frame, frames, clip, tags.

    A shot runs from half a frame before its first frame to half a frame after its last, so that a time stamp
    that was rounded to milliseconds, up or down, still falls into the right shot.

    Args:
        lines: CSV with a header; ``tags`` are concept names separated by spaces, ``first_frame`` counts from 0.
        frame_rate: frames per second, of all videos or by video.
        source: what messages call the input.

    Raises:
        BadInputError: If a row is wrong, with its number, or a video has no frame rate.
    """
    problems, records = Problems(source), []
    for row, fields in _csv_rows(lines, source, SHOT_FIELDS, required=("video", "first_frame", "frames", "tags")):
        try:
            records.append(_shot(row, fields, frame_rate))
        except BadInputError as exc:
            problems.add(row, str(exc))
    problems.raise_any()
    return Truth(records, source)


def _lines(file: Path) -> list[str]:
    try:
        # utf-8-sig: spreadsheets write a byte order mark that would become part of the first column's name.
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no file {str(file)!r}") from exc
    except UnicodeDecodeError as exc:
        raise BadInputError(f"{file.name} is not UTF-8 text (byte {exc.start}); save it as UTF-8") from exc
    # Not str.splitlines: it would also split at characters that may stand inside a JSON string.
    return list(io.StringIO(text, newline=""))


def _csv_rows(
    lines: Iterable[str], source: str, accepted: tuple[str, ...], required: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, filled fields) of every row that is not blank, after checking the header."""
    reader = csv.DictReader(lines, strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        _check_header(names, source, accepted, required)
        reader.fieldnames = names
        for row in reader:
            if None in row or None in row.values():
                raise BadInputError(f"{source}, row {reader.line_num}: expected {len(names)} fields, as in the header")
            yield reader.line_num, {name: text.strip() for name, text in row.items() if text.strip()}
    except csv.Error as exc:
        raise BadInputError(f"{source}, row {reader.reader.line_num}: {exc}") from exc


def _check_header(names: list[str], source: str, accepted: tuple[str, ...], required: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in accepted]
    missing = [name for name in required if name not in names]
    if unknown or missing or len(set(names)) != len(names):
        raise BadInputError(
            f"{source} has the columns {', '.join(names) or 'none'}; accepted, each once: {', '.join(accepted)}; "
            f"needed: {', '.join(required)}"
        )


def _record(row: int, fields: Mapping[str, Any], problems: Problems) -> TruthRecord | None:
    """Return the record of a row, or None after noting what is wrong with it."""
    try:
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise BadInputError(f"has the fields {', '.join(unknown)}; accepted: {', '.join(FIELDS)}")
        record = TruthRecord(
            row=row,
            concepts=_concepts(fields.get("concepts", "")),
            picture=_text(fields, "picture"),
            video=_text(fields, "video"),
            start_s=_seconds(fields, "start_s", 0.0),
            end_s=_seconds(fields, "end_s", math.inf),
            role=_role(_text(fields, "role") or "gallery"),
            clip=_text(fields, "clip"),
        )
        if record.picture is not None and ("start_s" in fields or "end_s" in fields):
            raise BadInputError("gives a time range to a picture; only videos have one")
    except BadInputError as exc:
        problems.add(row, str(exc))
        return None
    return record


def _concepts(value: Any) -> tuple[str, ...]:
    names = value.split(CONCEPT_SEPARATOR) if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInputError(f"concepts are {value!r}; expected a list of names")
    stripped = tuple(name.strip() for name in names)
    return () if stripped == ("",) else stripped


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not (isinstance(value, str) and value):
        raise BadInputError(f"{name} is {value!r}; expected text")
    return value


def _seconds(fields: Mapping[str, Any], name: str, default: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadInputError(f"{name} is {value!r}; expected a number of seconds")
    try:
        return float(value)
    except (ValueError, OverflowError) as exc:
        raise BadInputError(f"{name} is {value!r}; expected a number of seconds") from exc


def _role(text: str) -> Any:
    if text not in ROLES:
        raise BadInputError(f"role is {text!r}; accepted: {', '.join(ROLES)}")
    return text


def _shot(row: int, fields: Mapping[str, str], frame_rate: FrameRate) -> TruthRecord:
    for name in ("video", "first_frame", "frames"):
        if name not in fields:
            raise BadInputError(f"{name} is empty")
    video = fields["video"]
    rate = frame_rate.get(video, math.nan) if isinstance(frame_rate, Mapping) else frame_rate
    if not 0 < rate < math.inf:
        raise BadInputError(f"video {video!r} has the frame rate {rate}; expected frames per second, more than 0")
    try:
        first, count = int(fields["first_frame"]), int(fields["frames"])
    except ValueError as exc:
        raise BadInputError(f"first_frame and frames must be whole numbers ({exc})") from exc
    if first < 0 or count < 1:
        raise BadInputError(f"first_frame is {first} and frames {count}; expected at least 0 and 1")
    return TruthRecord(
        row=row,
        concepts=tuple(fields.get("tags", "").split()),
        video=video,
        start_s=max(0.0, (first - 0.5) / rate),
        end_s=(first + count - 0.5) / rate,
        clip=fields.get("clip"),
    )
