"""The two phases on the trunk's stored cells, by the same loop that trains the product's models."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.claim.network import ClaimNetwork, ReducedPsp
from benchmarks.claim.protocol import Schedule
from encoder.codes import pack_codes
from encoder.data.sets import IGNORE
from encoder.losses.base import soft_cross_entropy
from encoder.training.loop import Phase, RunOptions, run_phase
from encoder.training.recipes import Schedule as LoopSchedule

__all__ = ["Machine", "cell_shares", "class_scores", "encode", "learn_codes", "learn_masks", "learn_tags", "shuffled"]

ENCODE_ROWS = 128

Values = NDArray[np.float16]


@dataclass(frozen=True)
class Machine:
    """Where trainings run, and where their checkpoints lie until they are done."""

    folder: Path
    device: str = "cpu"

    def autocast(self) -> torch.autocast:
        """Return bf16 arithmetic for matrix products; weights, normalisation and losses stay float32."""
        return torch.autocast(self.device.partition(":")[0], dtype=torch.bfloat16)


def learn_masks(
    psp: ReducedPsp, cells: Values, masks: NDArray[np.uint8], schedule: Schedule, rate: float, seed: int, on: Machine
) -> None:
    """Train a pyramid on masks: cross-entropy of each cell's scores with the classes of its pixels.

    Args:
        psp: trained in place.
        cells: float16 [n, h · w, N].
        masks: uint8 [n, s, s]; 255 does not count.
        schedule: epochs and batch.
        rate: learning rate.
        seed: of the order.
        on: where.
    """
    shares = torch.from_numpy(cell_shares(masks, psp.side, psp.classify.classify.out_channels))

    def loss(numbers: Tensor) -> Tensor:
        scores = psp.scores(_rows(cells, numbers, on.device))
        truth = shares[numbers].to(on.device, torch.float32)
        return -(truth * scores.log_softmax(dim=1)).sum() / truth.sum().clamp(min=1)

    _descend(psp, loss, len(cells), schedule, rate, 0.0, seed, on)


def learn_tags(
    psp: ReducedPsp, cells: Values, tags: NDArray[np.float32], schedule: Schedule, rate: float, seed: int, on: Machine
) -> None:
    """Train a pyramid on image tags float32 [n, M]: binary cross-entropy of the mean score of each class."""
    targets = torch.from_numpy(tags)

    def loss(numbers: Tensor) -> Tensor:
        scores = psp.scores(_rows(cells, numbers, on.device)).mean(dim=(2, 3))
        return F.binary_cross_entropy_with_logits(scores, targets[numbers].to(on.device))

    _descend(psp, loss, len(cells), schedule, rate, 0.0, seed, on)


def learn_codes(
    network: ClaimNetwork,
    inputs: Values,
    targets: NDArray[np.float32],
    schedule: Schedule,
    rate: float,
    weight_decay: float,
    seed: int,
    on: Machine,
) -> None:
    """Train a network on classes float32 [n, C] with the loss of [18]: cross-entropy of the class layer."""
    truth = torch.from_numpy(targets)

    def loss(numbers: Tensor) -> Tensor:
        logits = network(_rows(inputs, numbers, on.device)).logits
        return soft_cross_entropy(logits, truth[numbers].to(on.device))

    _descend(network, loss, len(inputs), schedule, rate, weight_decay, seed, on)


def encode(network: ClaimNetwork, inputs: Values, on: Machine) -> NDArray[np.uint8]:
    """Return packed codes, uint8 [n, ceil(L / 8)]; a bit is 1 where its output is at least one half."""
    network.eval()
    bits = []
    with torch.inference_mode(), on.autocast():
        for start in range(0, len(inputs), ENCODE_ROWS):
            rows = torch.arange(start, min(start + ENCODE_ROWS, len(inputs)))
            bits.append((network(_rows(inputs, rows, on.device)).latent >= 0).cpu().numpy())
    return pack_codes(np.concatenate(bits))


def class_scores(psp: ReducedPsp, cells: Values, on: Machine) -> NDArray[np.float32]:
    """Return a pyramid's class scores, float32 [n, M, h, w]."""
    psp.eval()
    with torch.inference_mode(), on.autocast():
        parts = [
            torch.arange(start, min(start + ENCODE_ROWS, len(cells))) for start in range(0, len(cells), ENCODE_ROWS)
        ]
        return np.concatenate([psp.scores(_rows(cells, part, on.device)).cpu().numpy() for part in parts])


def cell_shares(masks: NDArray[np.uint8], side: int, classes: int) -> Values:
    """Return how much of each map cell each class covers, float16 [n, classes, side, side]; 255 is no class."""
    step = masks.shape[1] // side
    blocks = masks[:, : side * step, : side * step].reshape(len(masks), side, step, side, step)
    return np.stack([(blocks == value).mean(axis=(2, 4)) for value in range(classes)], axis=1).astype(np.float16)


def shuffled(masks: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Return masks whose pixels are permuted inside each picture: how much of each class, but not where."""
    assert IGNORE == 255  # ignored pixels move with the rest
    flat = masks.reshape(len(masks), -1)
    moved = [np.random.default_rng((seed, number)).permutation(row) for number, row in enumerate(flat)]
    return np.stack(moved).reshape(masks.shape)


class _StoredPhase(Phase):
    """A loss over stored inputs."""

    def __init__(self, network: nn.Module, loss: Callable[[Tensor], Tensor], count: int, on: Machine) -> None:
        self.network, self.count, self._loss, self._machine = network.to(on.device), count, loss, on

    def loss(self, numbers: NDArray[np.int64], epoch: int) -> Tensor:
        with self._machine.autocast():
            return self._loss(torch.from_numpy(np.sort(numbers)))  # the file is read forwards

    def parameter_groups(self, schedule: LoopSchedule) -> list[dict[str, Any]]:
        return [{"params": list(self.network.parameters()), "factor": 1.0}]


def _descend(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    schedule: Schedule,
    rate: float,
    weight_decay: float,
    seed: int,
    on: Machine,
) -> None:
    settings = LoopSchedule(
        epochs=schedule.epochs,
        batch=schedule.batch,
        rate=rate,
        drop_epoch=max(1, schedule.epochs * 2 // 3),
        weight_decay=weight_decay,
    )
    run = hashlib.sha256(repr((settings, count, seed)).encode()).hexdigest()
    options = RunOptions(on.folder, seed=seed, run=run, checkpoint_every_s=600.0)
    run_phase(_StoredPhase(network, loss, count, on), settings, options)
    shutil.rmtree(on.folder)
    network.eval()


def _rows(values: Values, numbers: Tensor, device: str) -> Tensor:
    """Return some rows in half precision on the device, as bf16 where they are maps."""
    rows = torch.from_numpy(values[numbers.numpy()]).to(device)
    return rows.to(torch.bfloat16) if rows.ndim == 3 else rows.float()
