"""One result after the other, each stored when it is done, so that an interrupted command goes on where it was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.methods.catalogue import FeatureKind, Method
from benchmarks.methods.features import FeatureSet
from benchmarks.methods.heads import train_head
from benchmarks.methods.protocol import MAIN_LENGTH, Protocol
from encoder.hashers import create_hasher
from hashreel.errors import BadInputError
from search.evaluation import Arm, EvaluationRun, Labels, Metric, count_distances, evaluate, metrics_for

__all__ = ["TUNING_METRIC", "Result", "Runner"]

Result = dict[str, Any]
Sets = tuple[FeatureSet, FeatureSet]

TUNING_METRIC = Metric("map", 1000, "minKR")
SPLIT_SEED = 2015
RESAMPLES = 2000


class Runner:
    """Tunes, trains and evaluates methods.

    Args:
        load: kind of features → (gallery, queries).
        work: folder for results.
        protocol: of the table.
    """

    def __init__(self, load: Callable[[FeatureKind], Sets], work: Path, protocol: Protocol) -> None:
        self.load, self.protocol = cache(load), protocol
        self.folder = work / f"results-{protocol.digest()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "protocol.json").write_text(json.dumps(asdict(protocol), indent=1), encoding="utf-8")

    def result(self, method: Method, bits: int, seed: int) -> Result:
        """Return settings, seconds and scores of a method, the stored ones if there are."""
        file = self.folder / f"{method.name}-{bits}-{seed}.json"
        if not file.exists():
            options = self.tuned(method)["options"]
            gallery, queries = self.load(method.features)
            began = time.monotonic()
            encode = self._learn(method, bits, seed, options, gallery, self.protocol.epochs)
            query_codes, gallery_codes = encode(queries), encode(gallery)
            seconds = round(time.monotonic() - began, 1)
            run = self._evaluate(method, query_codes, gallery_codes, queries, gallery)
            shared = {"method": method.name, "bits": bits, "seed": seed, "options": options, "seconds": seconds}
            _store(file, {**shared, "scores": _scores(run)})
            print(f"{method.title}, {bits} bits, seed {seed}: {_brief(run)} in {seconds:.0f} s", flush=True)
        return _read(file)

    def tuned(self, method: Method) -> Result:
        """Return the settings of a method that score best on held-out training pictures, at 48 bits."""
        file = self.folder / f"tuned-{method.name}.json"
        if not file.exists():
            trials = [{"options": dict(o), "score": self._try(method, o)} for o in self._settings(method)]
            best = max(trials, key=lambda trial: float(trial["score"]))
            _store(file, {"options": best["options"], "trials": trials})
        return _read(file)

    def _settings(self, method: Method) -> tuple[Mapping[str, Any], ...]:
        if len(method.settings) > self.protocol.trials:
            raise BadInputError(
                f"{method.name} has {len(method.settings)} settings; {self.protocol.trials} are allowed"
            )
        return method.settings

    def _try(self, method: Method, options: Mapping[str, Any]) -> float:
        """Return the score of one trial; 0 if it diverges."""
        gallery, _ = self.load(method.features)
        order = np.random.default_rng(SPLIT_SEED).permutation(len(gallery))
        held_out, rest = np.split(order, [self.protocol.held_out])
        judging, learning = gallery.take(held_out), gallery.take(rest[: self.protocol.tuning_pictures])
        try:
            encode = self._learn(method, MAIN_LENGTH, 0, options, learning, self.protocol.tuning_epochs)
            score = self._evaluate(method, encode(judging), encode(learning), judging, learning).macro(TUNING_METRIC)
        except BadInputError as exc:
            print(f"tuning {method.title}: {dict(options)} failed: {exc}", flush=True)
            return 0.0
        print(f"tuning {method.title}: {dict(options)} {score:.4f}", flush=True)
        return score

    def _learn(
        self, method: Method, bits: int, seed: int, options: Mapping[str, Any], data: FeatureSet, epochs: int
    ) -> Callable[[FeatureSet], NDArray[np.uint8]]:
        """Return the function from features to packed codes that a method learns from ``data``."""
        if method.kind == "hasher":
            targets = np.eye(len(data.classes))[data.labels] if method.learns_from == "labels" else None
            hasher = create_hasher(method.part, bits, seed=seed, **options).fit(data.features, targets)
            return lambda pictures: hasher.encode(pictures.features)
        folder = self.folder / f"training-{method.name}-{bits}-{seed}"
        head = train_head(data, method.part, bits, options, self.protocol, epochs=epochs, seed=seed, folder=folder)
        return lambda pictures: head.encode(pictures.features)

    def _evaluate(
        self,
        method: Method,
        query_codes: NDArray[np.uint8],
        gallery_codes: NDArray[np.uint8],
        queries: FeatureSet,
        gallery: FeatureSet,
    ) -> EvaluationRun:
        query_labels = Labels.from_classes(queries.labels, queries.classes)
        gallery_labels = Labels.from_classes(gallery.labels, gallery.classes)
        counts = count_distances(query_codes, gallery_codes, query_labels, gallery_labels)
        keys = [f"{i:05}" for i in range(len(queries))]
        metrics = metrics_for(self.protocol.cutoffs, ("hits", "minKR"), with_map_at_r=True)
        return evaluate(counts, queries.classes, keys, name=method.title, metrics=metrics)


def _scores(run: EvaluationRun) -> dict[str, dict[str, float]]:
    """Return, by metric key, the macro mean, its interval, its chance level and what tie order could do to it."""
    arm = Arm(run.name, (run,))
    scores = {}
    for metric in run.metrics:
        interval = arm.interval(metric, resamples=RESAMPLES)
        scores[metric.key] = {
            "macro": interval.estimate,
            "lower": interval.lower,
            "upper": interval.upper,
            "chance": run.macro(metric, "chance"),
        }
        if metric.kind == "map":
            scores[metric.key] |= {part: run.macro(metric, part) for part in ("worst", "best")}
    return scores


def _brief(run: EvaluationRun) -> str:
    largest = max(metric.k for metric in run.metrics if metric.k is not None)
    hits, primary = (run.macro(Metric("map", largest, normaliser)) for normaliser in ("hits", "minKR"))
    return f"MAP@{largest} {hits:.3f} over hits, {primary:.3f} over min(K, R)"


def _store(file: Path, document: Result) -> None:
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(document, indent=1), encoding="utf-8")
    os.replace(aside, file)


def _read(file: Path) -> Result:
    document: Result = json.loads(file.read_text(encoding="utf-8"))
    return document
