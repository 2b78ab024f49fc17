"""Pooled trunk features of pictures, in the fixed batch shape that models use too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

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
    device = next(trunk.parameters()).device
    features = []
    with torch.inference_mode():
        for batch, used in _batches(images, transform, batch_size):
            pixels = torch.from_numpy(batch).to(device)
            features.append(trunk.pooled(trunk.normalise(pixels))[:used].cpu().numpy())
    if not features:
        raise BadInputError("there is no picture to take features of")
    return np.concatenate(features)


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
