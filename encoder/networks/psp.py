"""The pyramid scene parsing module: pooled context at four scales beside the trunk's map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hashreel.errors import BadInputError

__all__ = ["PAPER_KERNELS", "PAPER_SIDE", "PspModule", "PyramidLevel", "PyramidPooling", "scaled_kernels"]

PAPER_SIDE = 28
PAPER_KERNELS = (28, 14, 9, 7)
"""Pooling kernels, stride = kernel, on a 28 × 28 map: 1 × 1, 2 × 2, 3 × 3 and 4 × 4 bins."""


def scaled_kernels(side: int) -> tuple[int, ...]:
    """Return the pooling kernels for a map of ``side`` cells: the paper's, scaled, and never below 1.

    Raises:
        BadInputError: If the map has fewer than 4 cells a side, which cannot give 4 × 4 bins.

    Example:
        >>> scaled_kernels(28), scaled_kernels(14), scaled_kernels(7)
        ((28, 14, 9, 7), (14, 7, 4, 3), (7, 3, 2, 1))
    """
    if side < len(PAPER_KERNELS):
        raise BadInputError(f"the map has {side} × {side} cells; the pyramid needs at least 4 × 4, use larger pictures")
    return tuple(side // bins for bins in (1, 2, 3, 4))


class PyramidLevel(nn.Module):
    """up(ReLU(BN(W · avgpool_k(x)))): [n, N, h, w] → [n, N / 4, h, w]; W is 1 × 1 without bias."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(kernel, kernel)
        self.conv = nn.Conv2d(channels, channels // 4, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the level's features at the size of ``x``."""
        context = F.relu(self.norm(self.conv(self.pool(x))))
        return F.interpolate(context, size=x.shape[2:], mode="bilinear", align_corners=False)


class PyramidPooling(nn.Module):
    """The map stacked with its four pyramid levels: [n, N, h, w] → [n, 2 N, h, w].

    Args:
        channels: N, a multiple of 4.
        side: h = w, cells a side; sets the pooling kernels.

    Source:
        [0] Zhao et al.: Pyramid Scene Parsing Network, 2016; kernels as in Gkountakos et al., 2018.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        if channels % 4:
            raise BadInputError(f"the map has {channels} channels; the pyramid needs a multiple of 4")
        self.levels = nn.ModuleList(PyramidLevel(channels, kernel) for kernel in scaled_kernels(side))
        self.out_channels = 2 * channels

    def forward(self, x: Tensor) -> Tensor:
        """Return x and the levels' outputs, stacked along channels."""
        return torch.cat([x, *(level(x) for level in self.levels)], dim=1)


class PspModule(nn.Module):
    """Pyramid pooling and its fusion: ReLU(BN(W₃ₓ₃ · stack)), [n, N, h, w] → [n, F, h, w].

    Args:
        channels: N of the trunk's map.
        side: cells a side of that map.
        fuse_channels: F; 512 in the paper's network.
    """

    def __init__(self, channels: int, side: int, fuse_channels: int = 512) -> None:
        super().__init__()
        self.pyramid = PyramidPooling(channels, side)
        self.fuse = nn.Sequential(
            nn.Conv2d(self.pyramid.out_channels, fuse_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(fuse_channels),
            nn.ReLU(),
        )
        self.stack_channels = self.pyramid.out_channels
        self.fuse_channels = fuse_channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stack [n, 2 N, h, w] and its fusion [n, F, h, w]."""
        stack = self.pyramid(x)
        return stack, self.fuse(stack)
