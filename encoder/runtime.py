"""The forward pass in one fixed batch shape, so that a picture's code never depends on its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.networks.base import HashNetwork
from encoder.transfers import PinnedUploads, download, new_event
from hashreel.errors import BadInputError, UnavailableError

__all__ = ["BATCH_SIZES", "RawOutput", "Runtime", "TorchRuntime", "check_positive", "padded", "pick_device"]

BATCH_SIZES = {"cpu": 8, "cuda": 64}


@dataclass(frozen=True)
class RawOutput:
    """A network's outputs in numpy: outputs float32 [n, L]; mask_scores float32 [n, M, h, w] or None."""

    outputs: NDArray[np.float32]
    mask_scores: NDArray[np.float32] | None


class Runtime(Protocol):
    """Something that runs a network on pixels, uint8 [n, s, s, 3], n ≥ 1, in one fixed batch shape.

    Attributes:
        name: what computes, where and in which batches, such as "torch-cuda-64"; byte equality holds within it.
        batch_size: pictures a pass.
        ahead: how many batches are worth starting before the one that was started first is waited for.
        runs_side_by_side: whether calls from several threads compute at the same time, each on one core.
    """

    name: str
    batch_size: int
    ahead: int
    runs_side_by_side: bool
    network: HashNetwork
    device: torch.device

    def run(self, pixels: NDArray[np.uint8]) -> RawOutput:
        """Return the outputs."""

    def start(self, pixels: NDArray[np.uint8]) -> Callable[[], RawOutput]:
        """Return a function that waits for the outputs and returns them; a GPU computes until then."""


class TorchRuntime:
    """Runs a network on pixels, always with the same batch size; the last batch is padded with zeros.

    Linear algebra libraries pick another order of summation for another batch size, which moves the last
    digits of an output and now and then a bit. With one shape, equal pixels give equal bytes at any place in
    any batch, for a given device and number of threads.

    Args:
        network: is moved to the device and set to evaluation mode.
        device: "cpu", "cuda", "cuda:1", ..., or None for CUDA where there is one.
        batch_size: pictures a pass; by default 8 on CPUs and 64 on GPUs.
        threads: CPU threads during a pass; None keeps torch's setting.

    Raises:
        UnavailableError: If the device is not there.
        BadInputError: If batch_size or threads is below 1.
    """

    def __init__(
        self,
        network: HashNetwork,
        *,
        device: str | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.device = pick_device(device)
        self.is_gpu = self.device.type == "cuda"
        self.batch_size = batch_size if batch_size is not None else BATCH_SIZES.get(self.device.type, 8)
        self.threads = threads
        check_positive(batch_size=self.batch_size, threads=threads)
        self.network = network.eval().to(self.device)
        self.name = f"torch-{self.device.type}-{self.batch_size}"
        # A GPU is handed the next batch before the last one is waited for.
        self.ahead = 1 if self.is_gpu else 0
        self.runs_side_by_side = False
        self._uploads = PinnedUploads(self.batch_size, self.device) if self.is_gpu else None

    def run(self, pixels: NDArray[np.uint8]) -> RawOutput:
        """Return the outputs for RGB pixels, uint8 [n, s, s, 3], n ≥ 1."""
        return self.start(pixels)()

    def start(self, pixels: NDArray[np.uint8]) -> Callable[[], RawOutput]:
        """Compute on the CPU, or have a GPU begin; return what waits for the outputs and gives them."""
        columns: tuple[list[Tensor], list[Tensor]] = ([], [])
        with torch.inference_mode(), _torch_threads(self.threads):
            for start in range(0, len(pixels), self.batch_size):
                batch = pixels[start : start + self.batch_size]
                result = self.network(self.network.trunk.normalise(self._upload(batch)))
                for column, tensor in zip(columns, (result.outputs, result.mask_scores), strict=True):
                    if tensor is not None:
                        column.append(self._download(tensor, len(batch)))
        is_done = new_event() if self.is_gpu else None
        if is_done is not None:
            is_done.record(torch.cuda.current_stream(self.device))

        def wait() -> RawOutput:
            if is_done is not None:
                is_done.synchronize()
            outputs, scores = ([tensor.numpy() for tensor in column] for column in columns)
            return RawOutput(np.concatenate(outputs), np.concatenate(scores) if scores else None)

        return wait

    def _upload(self, batch: NDArray[np.uint8]) -> Tensor:
        if self._uploads is not None:
            return self._uploads.upload(batch)
        return torch.from_numpy(padded(batch, self.batch_size)).to(self.device)

    def _download(self, tensor: Tensor, count: int) -> Tensor:
        return download(tensor, count) if self.is_gpu else tensor[:count].cpu()


def padded(batch: NDArray[np.uint8], batch_size: int) -> NDArray[np.uint8]:
    """Return ``batch``, uint8 [n, s, s, 3], with pictures of zeros appended up to ``batch_size``."""
    full = np.zeros((batch_size, *batch.shape[1:]), dtype=np.uint8)
    full[: len(batch)] = batch
    return full


def check_positive(**values: int | None) -> None:
    """Refuse any value below 1 with its name; None passes.

    Raises:
        BadInputError: On the first that is too small.
    """
    for name, value in values.items():
        if value is not None and value < 1:
            raise BadInputError(f"{name} is {value}; accepted: 1 and more")


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_device(device: str | None) -> torch.device:
    """Return a torch device; None means CUDA where there is one.

    Raises:
        UnavailableError: If CUDA is asked for and not there.
    """
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(f"device {device!r} was asked for, but torch sees no CUDA device; use 'cpu'")
    return chosen
