"""The pictures of one chunk on their way through the network that several chunks share (see ``encoder.batching``)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.codes import num_code_bytes
from encoder.runtime import RawOutput

if TYPE_CHECKING:
    from encoder.model import Model
    from encoder.scaling import Image

__all__ = ["EncodedPictures", "PictureItem", "PictureStream"]


@dataclass(frozen=True)
class EncodedPictures:
    """What a network saw in n pictures.

    Attributes:
        codes: uint8 [n, ceil(bits / 8)].
        areas: float32 [n, C], share of each concept, or None if the model does not segment or n is 0.
    """

    codes: NDArray[np.uint8]
    areas: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class PictureItem:
    """A picture that waits: whose it is, its place among those, and the network's inputs, uint8 [crops, s, s, 3]."""

    stream: PictureStream
    place: int
    inputs: NDArray[np.uint8]


class PictureStream:
    """The pictures of one chunk on their way through the network. Use it as a context manager, from one thread.

    Leaving it drops what still waits.

    Attributes:
        waited_s: Seconds in which this thread waited for the network.
        network_s: This stream's share of the network's seconds.
    """

    def __init__(
        self,
        model: Model,
        lock: threading.Lock,
        *,
        put: Callable[[PictureItem], None],
        forget: Callable[[PictureStream], None],
    ) -> None:
        self._model, self._lock, self._put, self._forget = model, lock, put, forget
        self._count = 0
        self._read: list[tuple[Sequence[int], EncodedPictures]] = []
        self.waited_s = 0.0
        # Everything below is guarded by the lock, and changed by the batcher.
        self._progress = threading.Condition(lock)
        self._raw: list[tuple[Sequence[int], RawOutput]] = []
        self.pending = 0
        self.is_open = True
        self.error: Exception | None = None
        self.network_s = 0.0

    def __enter__(self) -> PictureStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget(self)

    def __len__(self) -> int:
        return self._count

    def put(self, image: Image) -> None:
        """Queue a picture; wait while the queue is full.

        Args:
            image: uint8 [h, w, 3] RGB of any size.

        Raises:
            BadInputError: If the picture has another dtype or shape.
            UnavailableError: If the batcher was closed.
            Exception: Whatever the network raised on this stream's pictures.
        """
        item = PictureItem(self, self._count, self._model.prepare(image))
        begun = time.perf_counter()
        self._put(item)
        self.waited_s += time.perf_counter() - begun
        self._count += 1
        self._read_on()

    def finish(self) -> EncodedPictures:
        """Wait for all pictures that were put in; return what the network saw, in their order.

        Raises:
            Exception: As :meth:`put`.
        """
        begun = time.perf_counter()
        with self._lock:
            while self.pending and self.error is None:
                self._progress.wait()
            if self.error is not None:
                raise self.error
        self.waited_s += time.perf_counter() - begun
        self._read_on()
        return self._in_order()

    def _read_on(self) -> None:
        """Turn what the network has given so far into codes and areas, in this thread: masks are large."""
        with self._lock:
            raw, self._raw = self._raw, []
        for places, output in raw:
            seen = self._model.read(output)
            self._read.append((places, EncodedPictures(seen.codes, seen.areas)))

    def _in_order(self) -> EncodedPictures:
        codes = np.zeros((self._count, num_code_bytes(self._model.bits)), np.uint8)
        areas: NDArray[np.float32] | None = None
        for places, part in self._read:
            codes[places] = part.codes
            if part.areas is not None:
                areas = np.zeros((self._count, part.areas.shape[1]), np.float32) if areas is None else areas
                areas[places] = part.areas
        return EncodedPictures(codes, areas)

    # For the batcher, under its lock

    def receive(self, places: Sequence[int], raw: RawOutput, seconds: float) -> None:
        """Take the network's output for some of the pictures."""
        if self.is_open:
            self._raw.append((places, raw))
        self.pending -= len(places)
        self.network_s += seconds
        self._progress.notify()

    def fail(self, error: Exception) -> None:
        """Note what befell pictures of this stream; the first counts."""
        self.error = self.error or error
        self._progress.notify()
