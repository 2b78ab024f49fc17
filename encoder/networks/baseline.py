"""The image-level network that the paper compares with: a hash layer between a trunk and its classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from encoder.networks.base import HashNetwork, NetworkOutput
from encoder.networks.hash_head import HashHead
from encoder.trunks.base import Trunk

__all__ = ["BaselineHashNetwork", "BaselineInput", "baseline_width"]

BaselineInput = Literal["spatial", "pooled"]
GRID = 7


class BaselineHashNetwork(HashNetwork):
    """Trunk → final map as 7 × 7 cells, flattened ("spatial"), or its mean ("pooled") → hash head.

    With VGG16 "spatial" is 25,088 wide: the input of fc6, so that fc6 and fc7 are the head's two layers of 4096.

    Source:
        [0] Lin et al.: Deep Learning of Binary Hash Codes for Fast Image Retrieval, 2015.
    """

    def __init__(self, trunk: Trunk, head: HashHead, bits: int, input_kind: BaselineInput) -> None:
        super().__init__(trunk, bits)
        self.head = head
        self.input_kind = input_kind

    def head_input(self, feature_map: Tensor) -> Tensor:
        """Return float32 [n, 49 P] ("spatial") or [n, P] ("pooled")."""
        if self.input_kind == "pooled":
            return self.trunk.pool(feature_map)
        final = self.trunk.final_map(feature_map)
        return torch.flatten(F.adaptive_avg_pool2d(final, GRID), 1)

    def from_head_input(self, features: Tensor) -> NetworkOutput:
        """Return outputs and class logits for head inputs [n, W]."""
        latent, outputs, logits = self.head(features)
        return NetworkOutput(outputs, latent, logits)


def baseline_width(trunk: Trunk, input_kind: BaselineInput) -> int:
    """Return the width of the head's input."""
    return trunk.pooled_channels * (GRID * GRID if input_kind == "spatial" else 1)
