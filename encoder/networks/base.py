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
        latent: float32 [n, L], what the sigmoid was taken of; losses on signs use it.
        logits: float32 [n, C], class scores, or None if the network has no classes.
        mask_scores: float32 [n, M, h, w], a score for each segmentation class and cell of the trunk's map, or
            None if the network does not segment.
    """

    outputs: Tensor
    latent: Tensor
    logits: Tensor | None = None
    mask_scores: Tensor | None = None


class HashNetwork(nn.Module, ABC):
    """A trunk, a path from its map to the head's input, and a head.

    The three steps are apart because training on a CPU stores what comes out of frozen steps: the trunk's maps
    or, where everything before the head is frozen, the head's inputs.
    """

    def __init__(self, trunk: Trunk, bits: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.bits = bits

    def forward(self, x: Tensor) -> NetworkOutput:
        """Return outputs for normalised pictures, float32 [n, 3, s, s]."""
        return self.from_map(self.trunk(x))

    def from_map(self, feature_map: Tensor) -> NetworkOutput:
        """Return outputs for a trunk's map, float32 [n, C, h, w]."""
        return self.from_head_input(self.head_input(feature_map))

    @abstractmethod
    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return the head's input, float32 [n, W], for a trunk's map [n, C, h, w]."""

    @abstractmethod
    def from_head_input(self, features: Tensor) -> NetworkOutput:
        """Return outputs for head inputs, float32 [n, W]."""
