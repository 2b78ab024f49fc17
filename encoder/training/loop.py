"""The training loop that both phases share: deterministic, resumable, in one process or several."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from encoder.training.ranks import Ranks
from encoder.training.recipes import Schedule
from hashreel.errors import BadInputError

__all__ = ["BEST", "LAST", "Phase", "RunOptions", "run_phase", "seed_step"]

logger = logging.getLogger(__name__)

LAST = "last.safetensors"
BEST = "best.safetensors"


class Phase(ABC):
    """What is trained, on what, and how a batch's loss is computed."""

    network: nn.Module
    count: int
    """Pictures an epoch."""

    @abstractmethod
    def loss(self, numbers: NDArray[np.int64], epoch: int) -> Tensor:
        """Return the mean loss over the pictures with these numbers."""

    @abstractmethod
    def parameter_groups(self, schedule: Schedule) -> list[dict[str, Any]]:
        """Return the optimiser's groups, each with a ``factor`` of the learning rate."""

    def begin_epoch(self) -> None:
        """Set the modules' modes; frozen parts keep their statistics."""
        self.network.train()

    def score(self) -> dict[str, float]:
        """Return held-out figures by name; ``score`` among them decides which weights are the best."""
        return {}


@dataclass(frozen=True)
class RunOptions:
    """How a phase is run, apart from what it computes.

    Attributes:
        folder: for checkpoints.
        seed: of every random draw.
        run: digest of recipe and data.
        checkpoint_every_s: seconds between checkpoints inside an epoch; one follows each epoch besides.
        precision: "fp32", or "bf16" for mixed precision on GPUs.
        report: called after every step with (epoch, step, steps an epoch, mean loss so far).
    """

    folder: Path
    seed: int
    run: str
    checkpoint_every_s: float = 120.0
    precision: str = "fp32"
    report: Callable[[int, int, int, float], None] | None = None
    report_epoch: Callable[[Mapping[str, float]], None] | None = None


def run_phase(phase: Phase, schedule: Schedule, options: RunOptions, ranks: Ranks | None = None) -> Progress:
    """Train from the last checkpoint in the folder, or from the start, to the last epoch; return the progress.

    The result does not depend on whether and where the training was interrupted: the order of pictures follows
    from (seed, epoch), every other draw from (seed, epoch, step). The last, smaller batch of an epoch is dropped,
    since batch normalisation cannot work on a single picture.

    Raises:
        BadInputError: If there are fewer pictures than one batch, or the loss is not finite.
        ConflictError: If the folder holds a checkpoint of another recipe or other data.
    """
    ranks = ranks or Ranks()
    steps = phase.count // schedule.batch
    if steps == 0:
        raise BadInputError(f"{phase.count} pictures are fewer than one batch of {schedule.batch}; lower the batch")
    optimiser = _optimiser(phase, schedule)
    options.folder.mkdir(parents=True, exist_ok=True)
    last = options.folder / LAST
    progress = Progress(options.run)
    if last.is_file():
        progress = load_checkpoint(last, phase.network, optimiser, options.run)
        logger.info("going on from a checkpoint", extra={"action": "resume", "epoch": progress.epoch})
    while progress.epoch < schedule.epochs:
        _run_epoch(phase, schedule, optimiser, progress, options, ranks, steps)
        _finish_epoch(phase, optimiser, progress, options, ranks, steps)
    return progress


def seed_step(seed: int, epoch: int, step: int, rank: int = 0) -> None:
    """Seed torch for one step, so that dropout draws the same on every way to this step."""
    sequence = np.random.SeedSequence((seed, epoch, step, rank))
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


def _run_epoch(
    phase: Phase,
    schedule: Schedule,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    options: RunOptions,
    ranks: Ranks,
    steps: int,
) -> None:
    order = np.random.default_rng((options.seed, progress.epoch)).permutation(phase.count)
    for group in optimiser.param_groups:
        group["lr"] = schedule.rate_at(progress.epoch) * group["factor"]
    phase.begin_epoch()
    saved = time.monotonic()
    while progress.step < steps:
        start = progress.step * schedule.batch
        batch = order[start : start + schedule.batch]
        seed_step(options.seed, progress.epoch, progress.step, ranks.rank)
        loss = _step(phase, schedule, optimiser, batch, progress.epoch, options, ranks)
        progress.step += 1
        progress.loss_sum += loss
        if options.report:
            options.report(progress.epoch, progress.step, steps, progress.loss_sum / progress.step)
        if ranks.is_first and time.monotonic() - saved >= options.checkpoint_every_s:
            save_checkpoint(options.folder / LAST, phase.network, optimiser, progress)
            saved = time.monotonic()


def _step(
    phase: Phase,
    schedule: Schedule,
    optimiser: torch.optim.Optimizer,
    batch: NDArray[np.int64],
    epoch: int,
    options: RunOptions,
    ranks: Ranks,
) -> float:
    """Take one step on a batch, in micro-batches and over all processes, and return its mean loss."""
    optimiser.zero_grad(set_to_none=True)
    mine = batch[ranks.rank :: ranks.world]
    size = schedule.micro_batch or max(len(mine), 1)
    total = 0.0
    for start in range(0, len(mine), size):
        part = mine[start : start + size]
        with _precision(options.precision, phase.network):
            loss = phase.loss(part, epoch) * (len(part) / len(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    mean = ranks.total(total)
    if not np.isfinite(mean):
        raise BadInputError(f"the loss became {mean} in epoch {epoch}; lower the learning rate")
    ranks.sum_gradients([p for group in optimiser.param_groups for p in group["params"]])
    optimiser.step()
    ranks.average_buffers(phase.network)
    return mean


def _finish_epoch(
    phase: Phase,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    options: RunOptions,
    ranks: Ranks,
    steps: int,
) -> None:
    phase.network.eval()
    figures = phase.score()
    progress.history.append({"epoch": progress.epoch, "loss": progress.loss_sum / steps, **figures})
    progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
    score = figures.get("score")
    improved = score is not None and (progress.best is None or score > progress.best)
    if improved:
        progress.best = score
    if not ranks.is_first:
        return
    if improved:
        save_checkpoint(options.folder / BEST, phase.network, optimiser, progress)
    save_checkpoint(options.folder / LAST, phase.network, optimiser, progress)
    if options.report_epoch:
        options.report_epoch(progress.history[-1])
    logger.info("finished an epoch", extra={"action": "epoch", **progress.history[-1]})


def _optimiser(phase: Phase, schedule: Schedule) -> torch.optim.Optimizer:
    groups = [group for group in phase.parameter_groups(schedule) if group["params"]]
    return torch.optim.SGD(groups, lr=schedule.rate, momentum=schedule.momentum, weight_decay=schedule.weight_decay)


def _precision(precision: str, network: nn.Module) -> torch.autocast:
    device = next(network.parameters()).device.type
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16")
