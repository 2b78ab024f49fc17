"""Codes from a trunk's pooled features: the network form of the label-free hashers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoder.networks.base import HashNetwork, NetworkOutput
from encoder.trunks.base import Trunk

__all__ = ["LinearHead", "PooledHashNetwork", "SpectralHead"]


class LinearHead(nn.Module):
    """v = W (x − mean): a fitted LSH, PCA, ITQ or IsoHash. mean [d], W [L, d]; x [n, d] → v [n, L]."""

    def __init__(self, width: int, bits: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("weight", torch.zeros(bits, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return v, float32 [n, L], for features x [n, d]."""
        return F.linear(x - self.get_buffer("mean"), self.get_buffer("weight"))


class SpectralHead(nn.Module):
    """v = a · cos(ω (W (x − mean) − offset)): a fitted spectral hasher; offset, ω [L], a [1]."""

    def __init__(self, width: int, bits: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("weight", torch.zeros(bits, width))
        self.register_buffer("offset", torch.zeros(bits))
        self.register_buffer("frequency", torch.zeros(bits))
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return v, float32 [n, L], for features x [n, d]."""
        v = F.linear(x - self.get_buffer("mean"), self.get_buffer("weight")) - self.get_buffer("offset")
        return self.get_buffer("scale") * torch.cos(v * self.get_buffer("frequency"))


class PooledHashNetwork(HashNetwork):
    """r = σ(2 · head(x̂)), x̂ the trunk's pooled features, scaled to unit length if ``normalise``.

    The factor only sets how steeply r rises; bits are the signs of the head, since σ(0) = 0.5.
    """

    def __init__(self, trunk: Trunk, bits: int, head: nn.Module, *, normalise: bool) -> None:
        super().__init__(trunk, bits)
        self.head = head
        self.normalise = normalise

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the trunk's pooled features [n, P], of unit length if ``normalise``."""
        features = self.trunk.pool(feature_map)
        return F.normalize(features, dim=1) if self.normalise else features

    def from_head_input(self, features: Tensor) -> NetworkOutput:
        """Return outputs, float32 [n, L], for head inputs [n, P]."""
        latent = 2 * self.head(features)
        return NetworkOutput(torch.sigmoid(latent), latent)
