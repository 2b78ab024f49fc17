"""One result after the other, each stored when it is done, so that an interrupted campaign goes on where it was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from benchmarks.claim.arms import ARMS, ArmKind
from benchmarks.claim.data import Collection, Masked
from benchmarks.claim.material import Material, Track
from benchmarks.claim.network import ClaimNetwork, ReducedPsp
from benchmarks.claim.pictures import Crops
from benchmarks.claim.protocol import Protocol, Schedule
from benchmarks.claim.training import (
    Machine,
    cell_shares,
    class_scores,
    encode,
    learn_codes,
    learn_masks,
    learn_tags,
    shuffled,
)
from hashreel.errors import BadInputError
from search.evaluation import Labels, Metric, count_distances, score_rows

__all__ = ["PRIMARY", "Campaign", "Result", "measured"]

Result = dict[str, Any]

PRIMARY = Metric("map", 10, "minKR")
SPLIT_SEED = 2018
DIGITS = 6
MOSTLY = 0.5
"""A cell with less of its pixels in any class is not judged."""


def measured(protocol: Protocol) -> tuple[Metric, ...]:
    """Return what is measured: AP over min(K, R) and over hits, and precision, at each cutoff."""
    kinds = [("map", "minKR"), ("map", "hits"), ("precision", None)]
    return tuple(Metric(kind, k, norm) for k in protocol.cutoffs for kind, norm in kinds)  # type: ignore[arg-type]


class Campaign:
    """Pretrains, tunes, trains and evaluates arms.

    Args:
        load: reads the material; called when something has to be computed.
        work: folder for results.
        protocol: of the campaign.
        device: torch's name of it.
    """

    def __init__(self, load: Callable[[], Material], work: Path, protocol: Protocol, device: str = "cpu") -> None:
        self._load, self.protocol, self.device = load, protocol, device
        self.folder = work / f"results-{protocol.recipe}-{protocol.digest()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "protocol.json").write_text(json.dumps(asdict(protocol), indent=1), encoding="utf-8")

    @cached_property
    def material(self) -> Material:
        """The pictures and questions."""
        return self._load()

    def result(self, track: str, arm: str, seed: int) -> Result:
        """Return the scores of an arm and seed, of every question; the stored ones if there are."""
        file = self.folder / f"{track}-{arm}-{seed}.json"
        if not file.exists():
            rate = self.tuned(track, arm)["rate"]
            began = time.monotonic()
            network = self._trained(self.material.tracks[track], ARMS[arm], rate, seed)
            trained = round(time.monotonic() - began, 1)
            scores = self._ask(network, ARMS[arm])
            _store(file, {"track": track, "arm": arm, "seed": seed, "rate": rate, "seconds": trained, "scores": scores})
            brief = {name: round(float(np.mean(s[PRIMARY.key])), 4) for name, s in scores.items()}
            print(f"{track} {arm} seed {seed}: {brief} in {trained:.0f} s", flush=True)
        return _read(file)

    def questions(self) -> dict[str, Result]:
        """Return what was asked, by collection: concepts, pairs, chance levels, areas and counts of the pairs."""
        file = self.folder / "questions.json"
        if not file.exists():
            _store(file, {c.name: _describe(c, self.protocol) for c in self.material.collections})
        return _read(file)

    def tuned(self, track: str, arm: str) -> Result:
        """Return the learning rate at which an arm scores best on held-out training pictures, with all trials."""
        file = self.folder / f"tuned-{track}-{arm}.json"
        if not file.exists():
            trials = [{"rate": rate, "score": self._try(track, ARMS[arm], rate)} for rate in self.protocol.rates]
            best = max(trials, key=lambda trial: trial["score"])
            _store(file, {"rate": best["rate"], "trials": trials})
            print(f"tuned {track} {arm}: {trials}", flush=True)
        return _read(file)

    def pretrained(self, arm: ArmKind, seed: int) -> ReducedPsp:
        """Return an arm's pyramid before the hash phase, the stored one if there is."""
        trunk, masked, protocol = self.material.store.trunk, self.material.masked, self.protocol
        torch.manual_seed(seed)  # the same first weights for all arms
        psp = ReducedPsp(
            trunk.channels, self.material.store.side, protocol.reduced, protocol.fuse, len(masked.classes)
        ).to(self.device)
        if arm.pretraining == "none":
            return psp
        file = self.folder / f"pyramid-{arm.name}-{seed}.safetensors"
        if not file.exists():
            self._pretrain(psp, arm, seed)
            save_file(psp.state_dict(), file.with_suffix(".part"))
            os.replace(file.with_suffix(".part"), file)
        psp.load_state_dict(load_file(file))
        return psp.to(self.device).eval()

    def pretraining_figures(self, arm: str, seed: int) -> Result:
        """Return how well an arm's pyramid tells classes on the judged pictures: a cell each, and a picture each."""
        file = self.folder / f"pyramid-{arm}-{seed}.json"
        if not file.exists():
            judged, psp = self.material.judged, self.pretrained(ARMS[arm], seed)
            scores = class_scores(psp, self.material.seen(judged.crops).cells, self._machine("unused"))
            _store(file, _figures(scores, judged))
        return _read(file)

    def _pretrain(self, psp: ReducedPsp, arm: ArmKind, seed: int) -> None:
        masked, protocol = self.material.masked, self.protocol
        cells = self.material.seen(masked.crops).cells
        machine = self._machine(f"pretraining-{arm.name}-{seed}")
        settings = protocol.pretraining, protocol.pretraining_rate, seed, machine
        began = time.monotonic()
        if arm.pretraining == "tags":
            learn_tags(psp, cells, masked.tags, *settings)
        else:
            masks = masked.masks if arm.pretraining == "masks" else shuffled(masked.masks, seed)
            learn_masks(psp, cells, masks, *settings)
        print(f"pretraining {arm.name} seed {seed}: {time.monotonic() - began:.0f} s", flush=True)

    def _trained(self, track: Track, arm: ArmKind, rate: float, seed: int) -> ClaimNetwork:
        rows = np.arange(track.pictures.count)
        return self._learn(track, arm, rows, track.schedule, rate, seed, f"{track.name}-{arm.name}-{seed}")

    def _learn(
        self,
        track: Track,
        arm: ArmKind,
        rows: NDArray[np.int64],
        schedule: Schedule,
        rate: float,
        seed: int,
        name: str,
    ) -> ClaimNetwork:
        """Return the network that an arm learns from some pictures of a track."""
        psp = self.pretrained(arm, seed) if arm.has_pyramid else None
        torch.manual_seed(seed)
        width = self.material.store.trunk.pooled_channels
        network = ClaimNetwork(width, track.targets.shape[1], self.protocol, psp)
        inputs = self._inputs(track.pictures, arm)
        part = inputs if len(rows) == len(inputs) else inputs[rows]
        decay, machine = self.protocol.weight_decay, self._machine(f"training-{name}")
        learn_codes(network, part, track.targets[rows], schedule, rate, decay, seed, machine)
        return network

    def _try(self, track_name: str, arm: ArmKind, rate: float) -> float:
        """Return the score of one trial: training pictures against held-out training pictures; 0 if it diverges."""
        track, protocol = self.material.tracks[track_name], self.protocol
        order = np.random.default_rng(SPLIT_SEED).permutation(track.pictures.count)
        held_out, rest = np.split(order, [min(protocol.held_out, len(order) // 5)])
        held_out, learning = np.sort(held_out), np.sort(rest[: protocol.tuning_pictures])
        epochs = max(1, round(track.schedule.epochs * protocol.tuning_epochs_share))
        schedule = Schedule(epochs, track.schedule.batch)
        try:
            network = self._learn(track, arm, learning, schedule, rate, 0, f"tuning-{track.name}-{arm.name}")
        except BadInputError as exc:
            print(f"tuning {track.name} {arm.name}: rate {rate} failed: {exc}", flush=True)
            return 0.0
        inputs = self._inputs(track.pictures, arm)
        names = tuple(str(number) for number in range(track.targets.shape[1]))
        labels = [Labels(names, track.targets[rows] > 0) for rows in (held_out, learning)]
        codes = [encode(network, inputs[rows], self._machine("unused")) for rows in (held_out, learning)]
        counts = count_distances(codes[0], codes[1], labels[0], labels[1])
        scores = score_rows(
            PRIMARY, counts.items_of_pairs, counts.relevant, counts.total_relevant, counts.gallery_size_of_pairs
        )
        return _macro(scores.values, counts.pairs[:, 1])

    def _ask(self, network: ClaimNetwork, arm: ArmKind) -> dict[str, dict[str, list[float]]]:
        """Return the scores of all pairs of all collections, by metric."""
        machine = self._machine("unused")
        codes = {c.name: encode(network, self._inputs(c, arm), machine) for c in self.material.asked}
        scores: dict[str, dict[str, list[float]]] = {}
        for collection in self.material.collections:
            counts = count_distances(
                codes[collection.queries.name],
                codes[collection.gallery.name],
                collection.query_labels,
                collection.gallery_labels,
                pairs=collection.pairs(),
                exclusion=collection.exclusion,
            )
            sizes = counts.items_of_pairs, counts.relevant, counts.total_relevant, counts.gallery_size_of_pairs
            scores[collection.name] = {
                metric.key: score_rows(metric, *sizes).values.round(DIGITS).tolist()
                for metric in measured(self.protocol)
            }
        return scores

    def _inputs(self, crops: Crops, arm: ArmKind) -> NDArray[np.float16]:
        seen = self.material.seen(crops)
        return seen.cells if arm.has_pyramid else seen.pooled

    def _machine(self, name: str) -> Machine:
        return Machine(self.folder / name, self.device)


def _figures(scores: NDArray[np.float32], judged: Masked) -> Result:
    """Return the accuracy of cells that are mostly of one class, and the mean average precision of tags."""
    shares = cell_shares(judged.masks, scores.shape[-1], len(judged.classes)).astype(np.float32)
    counted = shares.sum(axis=1) >= MOSTLY
    right = scores.argmax(axis=1) == shares.argmax(axis=1)
    labels = Labels(judged.classes, judged.tags > 0)
    present = np.flatnonzero(labels.matrix.any(axis=0) & ~labels.matrix.all(axis=0))
    means = scores.mean(axis=(2, 3))
    precisions = []
    for number in present:
        hits = labels.matrix[np.argsort(-means[:, number], kind="stable"), number]
        precisions.append(float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean()))
    return {"cell_accuracy": float(right[counted].mean()), "tag_precision": float(np.mean(precisions))}


def _describe(collection: Collection, protocol: Protocol) -> Result:
    """Return the questions of a collection as JSON values."""
    pairs, exclusion = collection.pairs(), collection.exclusion
    relevant = exclusion.num_relevant(pairs, collection.gallery_labels)
    sizes = (collection.gallery.count - exclusion.num_excluded())[pairs[:, 0]]
    everything = sizes[:, None], relevant[:, None], relevant, sizes  # one group: a random ranking
    rows, columns = pairs.T
    return {
        "decides": collection.decides,
        "concepts": list(collection.query_labels.concepts),
        "queries": collection.queries.count,
        "gallery": collection.gallery.count,
        "pairs": pairs.tolist(),
        "chance": {m.key: score_rows(m, *everything).chance.round(DIGITS).tolist() for m in measured(protocol)},
        "areas": None if collection.areas is None else collection.areas[rows, columns].round(DIGITS).tolist(),
        "counts": None if collection.counts is None else collection.counts[rows, columns].tolist(),
    }


def _macro(values: NDArray[np.float64], concepts: NDArray[np.int64]) -> float:
    return float(np.mean([values[concepts == c].mean() for c in np.unique(concepts)]))


def _store(file: Path, document: Mapping[str, Any]) -> None:
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(document), encoding="utf-8")
    os.replace(aside, file)


def _read(file: Path) -> Result:
    document: Result = json.loads(file.read_text(encoding="utf-8"))
    return document
