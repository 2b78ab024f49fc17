"""Losses on pairs and triplets of pictures in a batch; two pictures are similar if they share a class."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from encoder.losses.base import HashLoss, squared_distances, targets_overlap, upper_pairs
from encoder.networks.base import NetworkOutput

__all__ = ["DPSHLoss", "DSHLoss", "DTSHLoss"]


class DPSHLoss(HashLoss):
    """mean_{i<j} [log(1 + e^θ) − s θ] + η · mean ‖u − sgn u‖² / L, θ = ½ u_iᵀ u_j, s = 1 for similar pairs.

    Args:
        eta: weight of the quantisation term.

    Source:
        [0] Li, Wang, Kang: Feature Learning based Deep Supervised Hashing with Pairwise Labels, 2015.
    """

    name: ClassVar[str] = "dpsh"

    def __init__(self, eta: float = 0.1) -> None:
        super().__init__()
        self.eta = eta

    def forward(self, result: NetworkOutput, targets: Tensor) -> Tensor:
        """Return the loss."""
        u = result.latent
        theta = 0.5 * u @ u.T
        similar = targets_overlap(targets).to(theta.dtype)
        pairs = upper_pairs(len(u), u.device)
        likelihood = (F.softplus(theta) - similar * theta)[pairs]
        return likelihood.sum() / max(int(pairs.sum()), 1) + self.eta * _quantisation(u)


class DTSHLoss(HashLoss):
    """mean over triplets of −log σ(θ⁺ − θ⁻ − α), θ = ½ uᵀu, + η · mean ‖u − sgn u‖² / L.

    Every (query, similar, dissimilar) triplet of the batch counts.

    Args:
        alpha: the margin.
        eta: weight of the quantisation term.

    Source:
        [0] Wang, Shi, Kitani: Deep Supervised Hashing with Triplet Labels, 2016.
    """

    name: ClassVar[str] = "dtsh"

    def __init__(self, alpha: float = 5.0, eta: float = 0.1) -> None:
        super().__init__()
        self.alpha = alpha
        self.eta = eta

    def forward(self, result: NetworkOutput, targets: Tensor) -> Tensor:
        """Return the loss."""
        u = result.latent
        theta = 0.5 * u @ u.T
        similar = targets_overlap(targets)
        positive = similar.clone().fill_diagonal_(False)
        margins = theta[:, :, None] - theta[:, None, :] - self.alpha  # (query, positive, negative)
        triplets = positive[:, :, None] & ~similar[:, None, :]
        losses = F.softplus(-margins)[triplets]
        return losses.sum() / max(int(triplets.sum()), 1) + self.eta * _quantisation(u)


class DSHLoss(HashLoss):
    """mean_{i<j} of ½ d² for similar pairs, ½ max(m − d², 0) for others, + α · mean ‖|u| − 1‖₁ / L.

    Args:
        bits: L; the margin m is 2 L.
        alpha: weight of the quantisation term.

    Source:
        [0] Liu, Wang, Shan, Chen: Deep Supervised Hashing for Fast Image Retrieval, 2016.
    """

    name: ClassVar[str] = "dsh"

    def __init__(self, bits: int, alpha: float = 0.5) -> None:
        super().__init__()
        self.margin = 2.0 * bits
        self.alpha = alpha

    def forward(self, result: NetworkOutput, targets: Tensor) -> Tensor:
        """Return the loss."""
        u = result.latent
        distances = squared_distances(u)
        similar = targets_overlap(targets)
        losses = 0.5 * distances.where(similar, F.relu(self.margin - distances))
        pairs = upper_pairs(len(u), u.device)
        return losses[pairs].sum() / max(int(pairs.sum()), 1) + self.alpha * (u.abs() - 1).abs().mean()


def _quantisation(u: Tensor) -> Tensor:
    """Return the mean of (u − sgn u)² over pictures and bits, sgn(0) = 1."""
    signs = (u.detach() >= 0).to(u.dtype) * 2 - 1
    return (u - signs).square().mean()
