"""``hashreel evaluate --offline``: a model's files and pictures or videos, no service."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoder.model import load_model
from encoder.pictures import encode_jpeg, load_picture
from encoder.policies import Every
from encoder.scaling import scale_short_side
from encoder.video import grab_frame, iter_key_frames
from hashreel.errors import BadInputError, NotFoundError
from search.evaluation import (
    Arm,
    EvaluationRun,
    Items,
    Metric,
    Truth,
    ask,
    evaluate_items,
    frame_items,
    make_report,
    picture_items,
    read_shots,
    read_truth,
    report_to_csv,
    report_to_dict,
    report_to_html,
    report_to_markdown,
    run_from_dict,
    show_examples,
)

if TYPE_CHECKING:
    from encoder.model import Model
    from hashreel.client.evaluation_calls import ReportFormat

__all__ = ["evaluate_offline"]

BATCH = 32
SHORT_SIDE = 90

Image = NDArray[np.uint8]
Place = tuple[Path, int | None]
"""A picture's file, or a video's with a time in milliseconds."""


def evaluate_offline(
    truth_file: Path,
    model_name: str,
    *,
    pictures: Path | None,
    videos: Path | None,
    every_s: float,
    top: Sequence[int],
    queries_per_concept: int | Literal["all"],
    exclude: Literal["self", "video"],
    seed: int,
    frame_rate: float | None,
    against: str | None,
    name: str | None,
) -> dict[ReportFormat, str]:
    """Return the report of a model on the pictures or videos of a ground truth, in every format.

    Args:
        truth_file: CSV, JSON lines, or with ``frame_rate`` a list of shots.
        model_name: Name or folder of the model.
        pictures: Folder of the truth's pictures, or None.
        videos: Folder of the truth's videos, or None.
        every_s: Sampling step of videos, in seconds.
        top: The cutoffs K.
        queries_per_concept: A number, or "all".
        exclude: What a query never gets.
        seed: Of the choice of queries.
        frame_rate: Frames per second, for shots.
        against: JSON file of an earlier report to compare with.
        name: What tables call the run; the model's name by default.

    Raises:
        BadInputError: If the ground truth is wrong, or does not fit the folder.
        NotFoundError: If a picture, a video or the model is missing.
    """
    truth = read_shots(truth_file, frame_rate) if frame_rate is not None else read_truth(truth_file)
    _check_kind(truth, pictures, truth_file.name)
    baseline = None if against is None else _read_run(Path(against))
    model = load_model(model_name)
    items, places = (
        _picture_items(truth, model, pictures) if pictures is not None else _frames(truth, model, videos, every_s)
    )
    questions = ask(
        items, per_concept=None if queries_per_concept == "all" else queries_per_concept, exclude=exclude, seed=seed
    )
    settings: dict[str, str | int] = {
        "model": model.name,
        "fingerprint": model.fingerprint,
        "bits": model.bits,
        "ground truth": truth_file.name,
        "queries a concept": queries_per_concept,
        "a query never gets": "itself" if exclude == "self" else "its own video",
        "seed": seed,
    }
    run = evaluate_items(items, questions, name=name or model.name, cutoffs=top, settings=settings)
    examples = show_examples(run, items, questions, Metric("map", min(top), "minKR"))
    wanted = {key for example in examples for key in (example.query_key, *(hit.key for hit in example.hits))}
    small = {key: _small(places[row]) for row, key in enumerate(items.keys) if key in wanted}
    arm = None if baseline is None else Arm(_other_name(baseline.name, run.name), (baseline,))
    report = make_report(Arm(run.name, (run,)), arm, examples=examples)
    return {
        "json": json.dumps(report_to_dict(report), ensure_ascii=False, allow_nan=False),
        "html": report_to_html(report, small),
        "csv": report_to_csv(report),
        "markdown": report_to_markdown(report),
    }


def _check_kind(truth: Truth, pictures: Path | None, source: str) -> None:
    wrong = [r for r in truth.records if (r.picture is None) == (pictures is not None)]
    if wrong:
        rows = ", ".join(str(record.row) for record in wrong[:10])
        kind, option = ("videos", "--videos") if pictures is not None else ("pictures", "--pictures")
        raise BadInputError(f"{source} names {kind} in row {rows}; use {option} FOLDER for those, one kind at a time")


def _read_run(path: Path) -> EvaluationRun:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        return run_from_dict(document["runs"][0][0])
    except FileNotFoundError as exc:
        raise NotFoundError(f"there is no file {str(path)!r}; offline, --against takes what --json printed") from exc
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise BadInputError(f"{path.name} is not a report that --json printed ({exc})") from exc


def _other_name(baseline: str, proposed: str) -> str:
    return baseline if baseline != proposed else f"{baseline} (before)"


def _picture_items(truth: Truth, model: Model, folder: Path) -> tuple[Items, list[Place]]:
    paths = [folder / str(record.picture) for record in truth.pictures]
    codes = _encode(model, (load_picture(path) for path in paths))
    return picture_items(truth, codes), [(path, None) for path in paths]


def _frames(truth: Truth, model: Model, folder: Path | None, every_s: float) -> tuple[Items, list[Place]]:
    names: list[str] = []
    times: list[int] = []
    groups: list[int] = []

    def images() -> Iterator[Image]:
        for number, name in enumerate(truth.videos):
            path = Path(folder or "") / name
            for frame in iter_key_frames(path, Every(every_s), short_side=model.transform.size):
                names.append(name)
                times.append(frame.time_ms)
                groups.append(number)
                yield frame.image

    codes = _encode(model, images())
    items, rows = frame_items(truth, names, np.array(times, np.int64), codes, np.array(groups, np.int64))
    return items, [(Path(folder or "") / names[row], times[row]) for row in rows.tolist()]


def _encode(model: Model, images: Iterable[Image]) -> NDArray[np.uint8]:
    parts, batch = [], []
    for image in images:
        batch.append(image)
        if len(batch) == BATCH:
            parts.append(model.encode(batch))
            batch = []
    if batch:
        parts.append(model.encode(batch))
    return np.concatenate(parts)


def _small(place: Place) -> bytes:
    path, time_ms = place
    if time_ms is None:
        return encode_jpeg(scale_short_side(load_picture(path), SHORT_SIDE))
    return encode_jpeg(grab_frame(path, time_ms, short_side=SHORT_SIDE).image)
