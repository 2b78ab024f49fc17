"""Checkpoints: one safetensors file with everything that a training needs to go on, replaced in one step.

Tensors are the network's and the optimiser's; the rest is JSON in the file's header. Nothing random needs to be
stored: every draw is seeded by (seed, epoch, step).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hashreel.errors import ConflictError, ModelFileError

__all__ = ["Progress", "load_checkpoint", "read_network_tensors", "save_checkpoint"]

NETWORK = "network."
OPTIMISER = "optimiser."


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        epoch: the epoch to go on with, from 0.
        step: steps done in it.
        history: one record a finished epoch.
        best: the best held-out score so far.
        run: digest of recipe and data; another one cannot go on from this checkpoint.
        loss_sum: sum of the losses of the present epoch's steps.
    """

    run: str
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    loss_sum: float = 0.0


def save_checkpoint(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write everything aside and rename it to ``path``: a kill at any point leaves the old file or the new."""
    tensors = {NETWORK + name: tensor for name, tensor in network.state_dict().items()}
    tensors |= _optimiser_tensors(optimiser)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(save(plain, metadata={"progress": json.dumps(asdict(progress))}))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load_checkpoint(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, run: str) -> Progress:
    """Fill network and optimiser from ``path`` and return where the training stands.

    Raises:
        ModelFileError: If the file is damaged or belongs to another network.
        ConflictError: If it was made by another recipe or on other data.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            if progress.run != run:
                raise ConflictError(
                    f"{path} was made with another recipe or other data; give another folder or remove it"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        network.load_state_dict(_part(tensors, NETWORK))
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as exc:
        raise ModelFileError(f"{path} is not a checkpoint of this training: {exc}") from exc
    _fill_optimiser(optimiser, _part(tensors, OPTIMISER))
    return progress


def read_network_tensors(path: Path) -> dict[str, Tensor]:
    """Return the network's tensors in a checkpoint.

    Raises:
        ModelFileError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(NETWORK)]  # noqa: SIM118 - not a dict
            return {name.removeprefix(NETWORK): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as exc:
        raise ModelFileError(f"{path} is not a checkpoint: {exc}") from exc


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: Mapping[int, Mapping[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{OPTIMISER}{number}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def _fill_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
