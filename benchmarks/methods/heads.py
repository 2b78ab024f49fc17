"""Training a hash head on stored features, by the same loop that trains the product's models."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.methods.features import FeatureSet
from benchmarks.methods.protocol import Protocol
from encoder.codes import pack_codes
from encoder.data.sets import PictureSet, single_label_targets
from encoder.losses import create_loss
from encoder.networks.baseline import BaselineHashNetwork
from encoder.networks.hash_head import HashHead
from encoder.training.hashing import HashPhase, StoredInputs
from encoder.training.loop import RunOptions, run_phase
from encoder.training.recipes import HashSettings
from encoder.transforms import Transform
from encoder.trunks import create_trunk

__all__ = ["TrainedHead", "train_head"]

WEIGHT_DECAY = 5e-4

CENTRED = frozenset({"dpsh", "dtsh", "dsh", "orthohash"})
"""Losses on signs, whose hash layer is standardised; the others keep the sigmoid layer of Lin et al."""

HEAD_OPTIONS = frozenset({"dropout"})


class TrainedHead:
    """A hash head with the scaling of its features."""

    def __init__(self, head: HashHead, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> None:
        self._head, self._mean, self._spread = head.eval(), mean, spread

    def encode(self, features: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return packed codes, uint8 [n, ceil(L / 8)], of features float32 [n, d]."""
        with torch.inference_mode():
            parts = [
                self._head(torch.from_numpy((features[i : i + 4096] - self._mean) / self._spread)).latent.numpy() >= 0
                for i in range(0, len(features), 4096)
            ]
        return pack_codes(np.concatenate(parts))


def train_head(
    data: FeatureSet,
    loss_name: str,
    bits: int,
    options: Mapping[str, Any],
    protocol: Protocol,
    *,
    epochs: int,
    seed: int,
    folder: Path,
) -> TrainedHead:
    """Return a head trained on features that are standardised by their own mean and spread.

    Args:
        data: features and classes.
        loss_name: of ``encoder.losses``.
        bits: L.
        options: ``rate``, options of the head, and the loss's own.
        protocol: names width and batch.
        epochs: passes.
        seed: of first weights, order and dropout.
        folder: for checkpoints, from which an interrupted training goes on; removed in the end.

    Raises:
        BadInputError: If the training diverges.
    """
    mean, spread = data.features.mean(axis=0), data.features.std(axis=0) + 1e-6
    classes = len(data.classes)
    head_options = {name: value for name, value in options.items() if name in HEAD_OPTIONS}
    loss_options = {name: v for name, v in options.items() if name not in HEAD_OPTIONS and name != "rate"}
    torch.manual_seed(seed)
    head = HashHead(
        data.features.shape[1],
        hidden=(protocol.hidden,),
        bits=bits,
        classes=classes,
        centre=loss_name in CENTRED,
        **head_options,
    )
    settings = HashSettings(
        epochs=epochs,
        batch=protocol.batch,
        rate=options["rate"],
        drop_epoch=epochs * 2 // 3,
        weight_decay=WEIGHT_DECAY,
        loss=loss_name,
        loss_options=loss_options,
        freeze="features",
    )
    phase = HashPhase(
        BaselineHashNetwork(create_trunk(protocol.trunk, pretrained=False), head, bits, "pooled"),
        PictureSet("stored features", _no_picture, single_label_targets(data.labels, classes), data.classes),
        Transform("centre", protocol.size),
        create_loss(loss_name, bits, classes, **loss_options),
        settings,
        seed,
        stored=StoredInputs((((data.features - mean) / spread).astype(np.float16),)),
    )
    run = hashlib.sha256(repr((settings, bits, seed, len(data), data.features.shape)).encode()).hexdigest()
    run_phase(phase, settings, RunOptions(folder, seed=seed, run=run))
    shutil.rmtree(folder)
    return TrainedHead(head, mean, spread)


def _no_picture(number: int) -> NDArray[np.uint8]:
    raise RuntimeError(f"picture {number} was asked for, but a head is trained on stored features alone")
