"""The hash head: full layers, a sigmoid layer whose halves are the bits, and a class layer on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["HashHead", "HashHeadOutput"]


class HashHeadOutput(NamedTuple):
    """latent: u float32 [n, L]; outputs: r = σ(u) in [0, 1]; logits: float32 [n, C]."""

    latent: Tensor
    outputs: Tensor
    logits: Tensor


class Standardise(nn.BatchNorm1d):
    """Batch normalisation, written out where it is not trained: the exporter to ONNX cannot tell how wide x is."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x [n, width] with mean 0 and spread 1 in every channel."""
        if self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        return (x - self.running_mean) * torch.rsqrt(self.running_var + self.eps)


class HashHead(nn.Module):
    """x → (ReLU, dropout) full layers → u = W x + b, r = σ(u) → class logits V r + c.

    In the paper's network two layers of 4096, then L = 48 and the classes; ReLU stands after the first two
    only, since after the class layer it would clip logits.

    Args:
        width: of the input.
        hidden: widths of the full layers, possibly none.
        bits: L.
        classes: C.
        dropout: after each hidden layer.
        centre: whether u is standardised by batch normalisation without an offset, so that each bit is set in
            half of the pictures (for losses that need it).
        standardise: whether x is standardised first, channel by channel: for inputs of several origins and scales.

    Source:
        [0] Gkountakos et al., 2018; [1] Lin et al., Deep Learning of Binary Hash Codes, 2015: initialisation
        N(0, 0.005) with bias 1 for the hash layer and N(0, 0.01) for the class layer.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden: Sequence[int],
        bits: int,
        classes: int,
        dropout: float = 0.5,
        centre: bool = False,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        self.standardise = Standardise(width, affine=False) if standardise else None
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.hidden = nn.Sequential(*layers)
        self.hash = nn.Linear(width, bits)
        self.norm = nn.BatchNorm1d(bits, affine=False) if centre else None
        self.classify = nn.Linear(bits, classes)
        self._initialise()

    def forward(self, x: Tensor) -> HashHeadOutput:
        """Return latent values, outputs and class logits for inputs x [n, width]."""
        if self.standardise is not None:
            x = self.standardise(x)
        latent = self.hash(self.hidden(x))
        if self.norm is not None:
            latent = self.norm(latent)
        outputs = torch.sigmoid(latent)
        return HashHeadOutput(latent, outputs, self.classify(outputs))

    def _initialise(self) -> None:
        for layer in self.hidden:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.hash.weight, std=0.005)
        nn.init.ones_(self.hash.bias)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)
