"""Query pictures that arrive together are encoded together.

Whoever finds the network free takes along everybody who waits by then. A lone picture thus never waits for company,
and the more pictures wait, the larger the batches: a GPU takes 64 in the time of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.scaling import Image

__all__ = ["PictureBatches"]

LARGEST = 64


@dataclass
class _Waiting:
    picture: Image
    outputs: NDArray[np.float32] | None = None
    error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return self.outputs is not None or self.error is not None


class PictureBatches:
    """Encodes the pictures of many threads, in batches.

    Args:
        encode: From n ≥ 1 pictures, each uint8 [h, w, 3], to float32 [n, bits]; called by one thread at a time.
        largest: Most pictures of one call.
    """

    def __init__(self, encode: Callable[[Sequence[Image]], NDArray[np.float32]], largest: int = LARGEST) -> None:
        self._encode = encode
        self._largest = largest
        self._network = threading.Lock()
        self._line = threading.Lock()
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        """Return how many pictures wait for the network."""
        return len(self._waiting)

    def outputs(self, picture: Image) -> NDArray[np.float32]:
        """Return the network's outputs for a picture, float32 [bits]; its neighbours do not change them.

        Raises:
            Exception: What ``encode`` raises for this picture by itself.
        """
        mine = _Waiting(picture)
        with self._line:
            self._waiting.append(mine)
        while not mine.is_done:
            with self._network:
                if not mine.is_done:
                    self._serve()
        if mine.outputs is None:
            assert mine.error is not None
            raise mine.error
        return mine.outputs

    def _serve(self) -> None:
        with self._line:
            batch, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
        try:
            rows = self._encode([one.picture for one in batch])
        except Exception as error:  # noqa: BLE001 - handed to whom it belongs
            if len(batch) > 1:
                self._serve_alone(batch)
            else:
                batch[0].error = error
            return
        for one, row in zip(batch, rows, strict=True):
            one.outputs = row

    def _serve_alone(self, batch: Sequence[_Waiting]) -> None:
        """Encode one after the other, so that only the picture that cannot be encoded is refused."""
        for one in batch:
            try:
                one.outputs = self._encode([one.picture])[0]
            except Exception as error:  # noqa: BLE001 - handed to whom it belongs
                one.error = error
