"""What every network from pictures to codes is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from encoder.trunks.base import Trunk

__all__ = ["HashNetwork", "NetworkOutput"]


class NetworkOutput(NamedTuple):
    """What a network says about n pictures.

    Attributes:
        outputs: float32 [n, L] in [0, 1]; bit j is 1 where outputs[:, j] ≥ 0.5.
        masks: float32 [n, C, h, w], a score for each concept and cell, or None if the network does not segment.
    """

    outputs: Tensor
    masks: Tensor | None = None


class HashNetwork(nn.Module, ABC):
    """A trunk and the modules that turn its feature map into codes."""

    def __init__(self, trunk: Trunk, bits: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.bits = bits

    @abstractmethod
    def forward(self, x: Tensor) -> NetworkOutput:
        """Return outputs for normalised pictures, float32 [n, 3, s, s]."""
