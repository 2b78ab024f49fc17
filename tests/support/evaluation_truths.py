"""Ground truths of generated clips, and the plain computation that an evaluation job has to agree with."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import redis

from encoder.clips import Shot, generate_clip
from indexer.chunks import decode_chunk
from search.evaluation import (
    EvaluationRun,
    Exclusion,
    Labels,
    choose_queries,
    count_distances,
    evaluate,
    metrics_for,
    run_to_dict,
)

Stretches = Mapping[str, Sequence[tuple[float, float, Sequence[str]]]]
"""Video name to (start, end, concepts), in milliseconds."""


def make_labelled_clips(folder: Path, count: int, *, seconds: float = 4.0) -> dict[str, list[Shot]]:
    """Write clips of two shots each; return the shots by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        f"clip {number}.mp4": generate_clip(
            folder / f"clip {number}.mp4", seed=number, seconds=seconds, size=(160, 90), fps=8, shots=2
        )
        for number in range(count)
    }


def stretches_of(clips: Mapping[str, Sequence[Shot]], prefix: str = "") -> Stretches:
    """Return what the shots show: their kind of scene, and "any" in the first shot of each clip."""
    return {
        prefix + name: [
            (shot.start_ms, shot.end_ms, [shot.description, *(["any"] if number == 0 else [])])
            for number, shot in enumerate(shots)
        ]
        for name, shots in clips.items()
    }


def truth_text(stretches: Stretches) -> str:
    """Return a ground truth as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["video", "start_s", "end_s", "concepts"])
    for video, rows in stretches.items():
        writer.writerows([video, start / 1000, end / 1000, "; ".join(names)] for start, end, names in rows)
    return text.getvalue()


def plain_run(
    client: redis.Redis,
    generation: str,
    stretches: Stretches,
    *,
    top: Sequence[int] = (10, 50),
    per_concept: int | None = 50,
    by_video: bool = False,
) -> EvaluationRun:
    """Return the run of all codes in Redis, read key by key and labelled row by row."""
    keys: list[str] = []
    codes, concepts, videos = [], [], []
    for number in sorted(int(member) for member in client.zrange(f"hr:g:{generation}:videos", 0, -1)):
        source = client.hget(f"hr:v:{number}", "source").decode()
        name = next((name for name in stretches if name in {source, Path(source).name}), None)
        if name is None:
            continue
        values = {int(chunk): value for chunk, value in client.hgetall(f"hr:c:{number}").items()}
        for chunk in sorted(values):
            decoded = decode_chunk(values[chunk])
            for time_ms, code in zip(decoded.times_ms.tolist(), decoded.codes, strict=True):
                covering = [set(names) for start, end, names in stretches[name] if start <= time_ms < end]
                if covering:
                    keys.append(f"{name} @ {time_ms / 1000:.3f} s")
                    codes.append(code)
                    concepts.append(set().union(*covering))
                    videos.append(number)
    labels, packed = Labels.from_sets(concepts), np.array(codes, np.uint8)
    choice = choose_queries(labels, keys, per_concept=per_concept)
    groups = np.array(videos, np.int64)
    exclusion = Exclusion(groups[choice.rows], groups) if by_video else Exclusion.of_self(choice.rows, len(labels))
    counts = count_distances(
        packed[choice.rows], packed, labels.take(choice.rows), labels, pairs=choice.pairs, exclusion=exclusion
    )
    metrics = metrics_for(top, with_map_at_r=True)
    return evaluate(counts, labels.concepts, [keys[i] for i in choice.rows], metrics=metrics, warnings=choice.warnings)


def numbers_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two runs on the same questions have in common, digit by digit."""
    return {name: part for name, part in document.items() if name not in {"name", "settings", "gallery_size"}}


def numbers_of_run(run: EvaluationRun) -> dict[str, Any]:
    return numbers_of(run_to_dict(run))
