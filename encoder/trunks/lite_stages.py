"""EfficientNet-lite with all its stages in the pooled features, for codes that are learned on a frozen trunk."""

from __future__ import annotations

import torch
from torch import Tensor

from encoder.trunks.lite import LiteTrunk

__all__ = ["StagedLiteTrunk"]

STAGES = (3, 4, 5, 6)
"""Stages, counted from 1, whose means are pooled beside the last map."""


class StagedLiteTrunk(LiteTrunk):
    """EfficientNet-lite whose pooled features are means of stages 3 to 6, and mean and maximum of the final map.

    For lite0 that is 40 + 80 + 112 + 192 + 2 · 1280 = 2984. The last stages of a frozen trunk have kept what tells
    the classes of ImageNet apart; earlier ones still know what other tasks need. The map carries the means as
    channels that are the same in every cell, before the 320 of the last stage.
    """

    def __init__(self, version: int, *, pretrained: bool, output_stride: int = 32) -> None:
        super().__init__(version, pretrained=pretrained, output_stride=output_stride)
        self.name = f"efficientnet-lite{version}-stages"
        widths = [_width(self.blocks[number - 1][-1]) for number in STAGES]
        self.channels = sum(widths) + self.last_channels
        self.pooled_channels = sum(widths) + 2 * self.pooled_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 [n, means + 320, s / stride, s / stride], the last stage's channels at the end."""
        x = self.stem(x)
        means = []
        for number, stage in enumerate(self.blocks, start=1):
            x = stage(x)
            if number in STAGES:
                means.append(x.mean(dim=(2, 3), keepdim=True))
        spread = torch.cat(means, dim=1).expand(-1, -1, x.shape[2], x.shape[3])
        return torch.cat([spread, x], dim=1)

    def pool(self, feature_map: Tensor) -> Tensor:
        """Return float32 [n, P]: the stages' means, then mean and maximum of the final map."""
        final = self.final_map(feature_map)
        means = feature_map[:, : self.channels - self.last_channels].mean(dim=(2, 3))
        return torch.cat([means, final.mean(dim=(2, 3)), final.amax(dim=(2, 3))], dim=1)

    def expected_features(self) -> None:
        """Return None: of the earlier stages nothing is remembered that would tell."""
        return


def _width(block: torch.nn.Module) -> int:
    """Return the channels that a block ends with."""
    layers = [layer for layer in block.modules() if isinstance(layer, torch.nn.Conv2d)]
    return layers[-1].out_channels
