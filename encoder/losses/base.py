"""The one interface of all losses, and what several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from encoder.networks.base import NetworkOutput
from hashreel.errors import BadInputError

__all__ = ["HashLoss", "class_scores", "soft_cross_entropy", "squared_distances", "targets_overlap"]


class HashLoss(nn.Module, ABC):
    """A scalar to be made small, from a network's outputs and targets.

    Targets are float32 [n, C] with 1 where a picture has the class and 0 elsewhere: one 1 a row for single
    labels, any number for several.
    """

    name: ClassVar[str]
    uses_class_layer: ClassVar[bool] = False
    """Whether the class layer is trained; its accuracy says nothing otherwise."""

    @abstractmethod
    def forward(self, result: NetworkOutput, targets: Tensor) -> Tensor:
        """Return the loss, a scalar, of a batch of n pictures."""


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return −mean_i Σ_c t̄_ic log softmax(logits_i)_c, t̄ the targets scaled to sum 1 in each row.

    For one label a row it is the negative log-likelihood. Rows without any label do not count.

    Args:
        logits: float32 [n, C].
        targets: float32 [n, C] of 0 and 1.
    """
    total = targets.sum(dim=1, keepdim=True)
    shares = targets / total.clamp(min=1)
    losses = -(shares * logits.log_softmax(dim=1)).sum(dim=1)
    return losses.sum() / (total > 0).sum().clamp(min=1)


def class_scores(result: NetworkOutput) -> Tensor:
    """Return the class logits.

    Raises:
        BadInputError: If the network has no class layer.
    """
    if result.logits is None:
        raise BadInputError("this loss needs class scores, but the network has no class layer")
    return result.logits


def targets_overlap(targets: Tensor) -> Tensor:
    """Return which pairs share a class, bool [n, n]."""
    return targets @ targets.T > 0


def squared_distances(x: Tensor) -> Tensor:
    """Return ‖x_i − x_j‖², float32 [n, n], for rows x [n, L]; its gradient is finite on the diagonal too."""
    squares = (x * x).sum(dim=1)
    return (squares[:, None] + squares[None, :] - 2 * x @ x.T).clamp(min=0)


def upper_pairs(count: int, device: torch.device) -> Tensor:
    """Return which of all [count, count] pairs are i < j: each unordered pair once, and no picture with itself."""
    return torch.ones(count, count, dtype=torch.bool, device=device).triu(diagonal=1)
