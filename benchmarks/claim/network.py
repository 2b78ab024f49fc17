"""The reduced network: a narrow map, the paper's pyramid over it, and a hash head on the mean of the stack."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.claim.protocol import Protocol
from encoder.networks.base import NetworkOutput
from encoder.networks.hash_head import HashHead
from encoder.networks.psp import PyramidPooling
from encoder.networks.segmentation import SegmentationHead

__all__ = ["ClaimNetwork", "ReducedPsp"]


class ReducedPsp(nn.Module):
    """x → ReLU(BN(W x)) in each cell → pyramid pooling; for masks also a 3 × 3 fusion and a score a class.

    Where a network learns from masks every layer does: the narrow map has to tell classes apart cell by cell, the
    pyramid what surrounds them. Both are what the hash phase starts from; the fusion is left behind, since the mean
    of the stack (``gap``) does not need it.

    Args:
        channels: N of the trunk's map.
        side: its cells a side.
        reduced: channels of the narrow map, a multiple of 4; 0 leaves the map as it is.
        fuse: channels of the fusion.
        classes: that masks or tags have.
    """

    def __init__(self, channels: int, side: int, reduced: int, fuse: int, classes: int) -> None:
        super().__init__()
        self.side = side
        self.reduce = nn.Linear(channels, reduced, bias=False) if reduced else None
        self.norm = nn.BatchNorm1d(reduced) if reduced else None
        self.pyramid = PyramidPooling(reduced or channels, side)
        self.stack_channels = self.pyramid.out_channels
        self.fuse = nn.Sequential(
            nn.Conv2d(self.stack_channels, fuse, 3, padding=1, bias=False), nn.BatchNorm2d(fuse), nn.ReLU()
        )
        self.classify = SegmentationHead(fuse, classes)
        matrices = [_pooling_matrix(level.pool, side) for level in self.pyramid.levels]
        self._bin_weights = [_upsampled_mean_weights(round(len(rows) ** 0.5), side) for rows in matrices]
        mean = torch.full((1, side * side), 1 / (side * side))
        self.register_buffer("bins", torch.cat([*matrices, mean]), persistent=False)

    def narrow(self, cells: Tensor) -> Tensor:
        """Return the narrow map, float32 [n, R, h, w], of a trunk's cells [n, h w, N]."""
        if self.reduce is None or self.norm is None:
            return cells.float().transpose(1, 2).unflatten(2, (self.side, self.side))
        rows = F.relu(self.norm(self.reduce(cells.flatten(0, 1))))
        return rows.view(len(cells), self.side, self.side, -1).permute(0, 3, 1, 2)

    def scores(self, cells: Tensor) -> Tensor:
        """Return class scores, float32 [n, M, h, w], of a trunk's cells [n, h w, N]."""
        scores: Tensor = self.classify(self.fuse(self.pyramid(self.narrow(cells))))
        return scores.float()

    def gap(self, cells: Tensor) -> Tensor:
        """Return the mean of the stack over its cells, float32 [n, 2 R].

        Pooling comes before the convolutions and bilinear upsampling is linear: so one product takes all bins of all
        levels from the map, and the mean of an upsampled level is a weighted sum over its bins.
        """
        x = self.narrow(cells).flatten(2).transpose(1, 2)
        pooled = (self.get_buffer("bins") @ x).float()  # (n, bins of all levels and one for the mean, R)
        means = [pooled[:, -1]]
        start = 0
        for level, weights in zip(self.pyramid.levels, self._bin_weights, strict=True):
            bins = pooled[:, start : start + len(weights)].transpose(1, 2).unsqueeze(3)
            context = F.relu(level.norm(level.conv(bins).float())).flatten(2)
            means.append(context @ weights.to(context))
            start += len(weights)
        return torch.cat(means, dim=1)


class ClaimNetwork(nn.Module):
    """What all arms share, a standardised input and the hash head, on the pooled trunk or on a pyramid.

    Args:
        width: P, of the trunk's pooled features; used without a pyramid.
        classes: of the hash phase.
        protocol: names the head's widths and bits.
        psp: the pyramid, or None for the image-level arm.
    """

    def __init__(self, width: int, classes: int, protocol: Protocol, psp: ReducedPsp | None) -> None:
        super().__init__()
        self.psp = psp
        width = psp.stack_channels if psp is not None else width
        self.standardise = nn.BatchNorm1d(width, affine=False)
        self.head = HashHead(width, hidden=protocol.hidden, bits=protocol.bits, classes=classes, dropout=0.0)

    def forward(self, inputs: Tensor) -> NetworkOutput:
        """Return outputs for cells [n, h w, N], or for pooled features [n, P] without a pyramid."""
        features = inputs.float() if self.psp is None else self.psp.gap(inputs)
        latent, outputs, logits = self.head(self.standardise(features.float()))
        return NetworkOutput(outputs.float(), latent.float(), logits.float())


def _pooling_matrix(pool: nn.Module, side: int) -> Tensor:
    """Return the matrix float32 [bins², side²] that pools a map of side × side cells."""
    basis = torch.eye(side * side).view(side * side, 1, side, side)
    pooled: Tensor = pool(basis)
    return pooled.flatten(1).T.contiguous()


def _upsampled_mean_weights(bins: int, side: int) -> Tensor:
    """Return how much each of bins × bins cells counts in the mean of their bilinear upsampling, float32 [bins²]."""
    basis = torch.eye(bins * bins).view(bins * bins, 1, bins, bins)
    upsampled = F.interpolate(basis, size=(side, side), mode="bilinear", align_corners=False)
    return upsampled.mean(dim=(1, 2, 3))
