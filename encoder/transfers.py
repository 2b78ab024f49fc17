"""Pictures to a GPU and results back, without the processor waiting for either."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["PinnedUploads", "download", "new_event"]

DEPTH = 2


class PinnedUploads:
    """Copies batches to a GPU through page-locked memory, so that one is on its way while another is computed.

    Args:
        batch_size: pictures a batch; shorter ones are filled up with zeros.
        device: the GPU.
    """

    def __init__(self, batch_size: int, device: torch.device) -> None:
        self._batch_size = batch_size
        self._device = device
        self._lock = threading.Lock()
        self._buffers: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def upload(self, batch: NDArray[np.uint8]) -> Tensor:
        """Return ``batch``, uint8 [n, s, s, 3], on the GPU as uint8 [batch_size, s, s, 3]; the copy may go on."""
        with self._lock:
            buffer, is_copied = self._buffer(batch.shape[1:])
            # What lies in the buffer may not have left yet.
            is_copied.synchronize()
            buffer[: len(batch)] = torch.from_numpy(batch)
            buffer[len(batch) :] = 0
            full = buffer.to(self._device, non_blocking=True)
            is_copied.record(torch.cuda.current_stream(self._device))
            self._buffers.append((buffer, is_copied))
            return full

    def _buffer(self, shape: tuple[int, ...]) -> tuple[Tensor, torch.cuda.Event]:
        if len(self._buffers) < DEPTH:
            return torch.empty((self._batch_size, *shape), dtype=torch.uint8, pin_memory=True), new_event()
        return self._buffers.popleft()


def new_event() -> torch.cuda.Event:
    """Return an event that nothing has been recorded in: waiting for it takes no time."""
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


def download(tensor: Tensor, count: int) -> Tensor:
    """Return the first ``count`` rows in page-locked memory; they are there when the stream has come so far."""
    rows = tensor[:count]
    return torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True).copy_(rows, non_blocking=True)
