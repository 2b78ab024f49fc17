"""Pooled trunk features of pictures, in the fixed batch shape that models use too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.frozen import FrozenRunner
from encoder.transforms import Transform
from encoder.trunks.base import Trunk
from hashreel.errors import BadInputError

__all__ = ["pooled_features"]

BATCH_SIZE = 8


def pooled_features(
    trunk: Trunk, images: Iterable[NDArray[np.uint8]], transform: Transform, *, batch_size: int = BATCH_SIZE
) -> NDArray[np.float32]:
    """Return the trunk's pooled features of every crop, float32 [n · crops, P].

    Args:
        trunk: in evaluation mode, on any device.
        images: RGB pictures, each uint8 [h, w, 3].
        transform: makes the crops.
        batch_size: pictures a pass.

    Raises:
        BadInputError: If there is no picture.
    """
    runner = FrozenRunner(_Pooled(trunk), trunk, transform.size, batch_size)
    features = [runner.run(batch)[:used] for batch, used in _batches(images, transform, batch_size)]
    if not features:
        raise BadInputError("there is no picture to take features of")
    return np.concatenate(features)


class _Pooled(nn.Module):
    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk.pooled(x)


def _batches(
    images: Iterable[NDArray[np.uint8]], transform: Transform, batch_size: int
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield (pixels uint8 [batch_size, s, s, 3], how many of them count); the last batch is zero-padded."""
    batch = np.zeros((batch_size, transform.size, transform.size, 3), dtype=np.uint8)
    used = 0
    for image in images:
        for crop in transform.apply(image):
            batch[used] = crop
            used += 1
            if used == batch_size:
                yield batch, used
                used = 0
    if used:
        batch[used:] = 0
        yield batch, used
