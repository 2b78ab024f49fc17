"""Segmentation: a score for each class and pixel, from the PSP module's output."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from encoder.networks.psp import PspModule
from encoder.trunks.base import Trunk

__all__ = ["SegmentationHead", "SegmentationNetwork", "resize_scores"]


class SegmentationHead(nn.Module):
    """W · dropout(x): [n, F, h, w] → class scores [n, C, h, w]; whole channels are dropped, p = 0.1."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores before softmax."""
        scores: Tensor = self.classify(self.dropout(x))
        return scores


class SegmentationNetwork(nn.Module):
    """Trunk, PSP module and segmentation head: the first two parts of the paper's framework.

    Args:
        trunk: its map feeds the PSP module.
        side: cells a side of that map.
        classes: C, background included.
        fuse_channels: F of the PSP module.
    """

    def __init__(self, trunk: Trunk, side: int, classes: int, fuse_channels: int = 512) -> None:
        super().__init__()
        self.trunk = trunk
        self.psp = PspModule(trunk.channels, side, fuse_channels)
        self.segmentation = SegmentationHead(fuse_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores [n, C, s, s] at the size of the pictures [n, 3, s, s]."""
        return resize_scores(self.scores(self.trunk(x)), x.shape[-1])

    def scores(self, feature_map: Tensor) -> Tensor:
        """Return class scores [n, C, h, w] for a trunk's map [n, N, h, w]; cached maps enter here."""
        _, fused = self.psp(feature_map)
        scores: Tensor = self.segmentation(fused)
        return scores


def resize_scores(scores: Tensor, size: int) -> Tensor:
    """Return scores [n, C, size, size], bilinear from [n, C, h, w]."""
    return F.interpolate(scores, size=(size, size), mode="bilinear", align_corners=False)
