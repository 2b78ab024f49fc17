"""Losses on single pictures and their class."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from encoder.losses.base import HashLoss, class_scores, soft_cross_entropy
from encoder.networks.base import NetworkOutput

__all__ = ["ClassificationLoss", "OrthoHashLoss", "SSDHLoss", "class_codes"]


class ClassificationLoss(HashLoss):
    """Softmax loss on the class layer alone: the paper's loss and that of [18].

    Source:
        [0] Gkountakos et al., 2018; [18] Lin et al.: Deep Learning of Binary Hash Codes, 2015.
    """

    name: ClassVar[str] = "classification"
    uses_class_layer: ClassVar[bool] = True

    def forward(self, result: NetworkOutput, targets: Tensor) -> Tensor:
        """Return the cross-entropy of the class scores."""
        return soft_cross_entropy(class_scores(result), targets)


class SSDHLoss(HashLoss):
    """Cross-entropy − α · mean (r − ½)² + β · mean_i (mean_j r_ij − ½)².

    The second term drives outputs away from one half; the third keeps half of a picture's bits set.

    Args:
        alpha: weight of the second term.
        beta: weight of the third.

    Source:
        [0] Yang, Lin, Chen: Supervised Learning of Semantics-Preserving Hash via Deep CNNs, 2017.
    """

    name: ClassVar[str] = "ssdh"
    uses_class_layer: ClassVar[bool] = True

    def __init__(self, alpha: float = 1.0, beta: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta

    def forward(self, result: NetworkOutput, targets: Tensor) -> Tensor:
        """Return the loss."""
        r = result.outputs
        decided = (r - 0.5).square().mean()
        balance = (r.mean(dim=1) - 0.5).square().mean()
        return soft_cross_entropy(class_scores(result), targets) - self.alpha * decided + self.beta * balance


class OrthoHashLoss(HashLoss):
    """Cross-entropy on s · (cos(u, o_c) − m t_c): each class has a fixed random code o_c in {−1, 1}^L.

    Several labels share the probability equally; the margin m is taken off the classes that a picture has.
    Bits should be centred (``HashHead(centre=True)``).

    Args:
        bits: L.
        classes: C.
        scale: s; √L by default.
        margin: m.
        seed: of the class codes.

    Source:
        [0] Hoe et al.: One Loss for All: Deep Hashing with a Single Cosine Similarity based Learning
        Objective, 2021.
    """

    name: ClassVar[str] = "orthohash"

    def __init__(
        self, bits: int, classes: int, *, scale: float | None = None, margin: float = 0.2, seed: int = 0
    ) -> None:
        super().__init__()
        self.scale = bits**0.5 if scale is None else scale
        self.margin = margin
        self.register_buffer("codes", class_codes(bits, classes, seed))

    def forward(self, result: NetworkOutput, targets: Tensor) -> Tensor:
        """Return the loss."""
        codes = F.normalize(self.get_buffer("codes"), dim=1)
        cosines = F.normalize(result.latent, dim=1) @ codes.T
        return soft_cross_entropy(self.scale * (cosines - self.margin * targets), targets)


def class_codes(bits: int, classes: int, seed: int, *, candidates: int = 200) -> Tensor:
    """Return ±1 codes, float32 [C, L]: of ``candidates`` random draws, that with the largest least distance."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(0, 2, (candidates, classes, bits), generator=generator).float() * 2 - 1
    products = draws @ draws.transpose(1, 2) - 2 * bits * torch.eye(classes)  # a code does not count against itself
    return draws[int(products.amax(dim=(1, 2)).argmin())]
