"""Pictures from many threads to one network: a bounded queue, and batches that mix where the pictures come from.

A thread that decodes opens a stream, puts pictures in and takes their codes when all are in. A batch takes what waits,
up to the network's fixed shape, and is never waited for: while the network is what limits the whole, pictures pile up
and batches are full; while decoding is, the network has time to spare. So there is no timer, and no stream's last
pictures wait for another stream.

Every picture has its network's size when it is queued, so the queue's bound in pictures is one in bytes, whatever the
resolution of the videos.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from encoder.picture_stream import PictureItem, PictureStream
from encoder.runtime import RawOutput
from hashreel.errors import UnavailableError

if TYPE_CHECKING:
    from encoder.model import Model

__all__ = ["QUEUE_BYTES", "Batcher"]

logger = logging.getLogger(__name__)

QUEUE_BYTES = 64 * 2**20
"""Pictures of so many bytes may wait for the network; one batch may always wait, however large it is."""


@dataclass(frozen=True, eq=False)
class _Flight:
    """A batch that was handed to the network."""

    items: list[PictureItem]
    wait: Callable[[], RawOutput]
    started: float


class Batcher:
    """Owns a network, and runs it on the pictures of all open streams. Use it as a context manager.

    Args:
        model: its runtime is used by this batcher alone.
        threads: how many batches are computed at a time; above 1 only for a runtime whose calls run side by side.
        queue_bytes: bound of the pictures that wait.
    """

    def __init__(self, model: Model, *, threads: int = 1, queue_bytes: int = QUEUE_BYTES) -> None:
        self.model = model
        runtime, size, crops = model.runtime, model.transform.size, model.transform.num_crops
        self._runtime = runtime
        self._per_batch = max(1, runtime.batch_size // crops)
        self._bound = max(self._per_batch, queue_bytes // (crops * size * size * 3))
        self._items: deque[PictureItem] = deque()
        self._lock = threading.Lock()
        self._more, self._room = threading.Condition(self._lock), threading.Condition(self._lock)
        self._is_closed = False
        self.batches = 0
        self.pictures = 0
        count = threads if runtime.runs_side_by_side else 1
        self._threads = [threading.Thread(target=self._work, name=f"network-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Batcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the network's threads; streams that are still open fail."""
        with self._lock:
            self._is_closed = True
            lost = {item.stream for item in self._items}
            self._items.clear()
            for stream in lost:
                stream.fail(UnavailableError("the network was closed"))
            self._more.notify_all()
            self._room.notify_all()
        for thread in self._threads:
            thread.join()

    def open(self) -> PictureStream:
        """Return a new stream of pictures; use it as a context manager."""
        return PictureStream(self.model, self._lock, put=self._put, forget=self._forget)

    # For streams, whose guarded part belongs to this class

    def _put(self, item: PictureItem) -> None:
        stream = item.stream
        with self._lock:
            while len(self._items) >= self._bound and not self._is_closed and stream.error is None:
                self._room.wait()
            if self._is_closed:
                raise UnavailableError("the network was closed")
            if stream.error is not None:
                raise stream.error
            self._items.append(item)
            stream.pending += 1
            self._more.notify()

    def _forget(self, stream: PictureStream) -> None:
        with self._lock:
            stream.is_open = False
            self._items = deque(item for item in self._items if item.stream is not stream)
            self._room.notify_all()

    # The network's threads

    def _work(self) -> None:
        flying: deque[_Flight] = deque()
        while True:
            items = self._take(may_wait=not flying)
            if items:
                flying.append(self._launch(items))
            elif not flying:
                return
            if not items or len(flying) > self._runtime.ahead:
                self._land(flying.popleft())

    def _take(self, *, may_wait: bool) -> list[PictureItem]:
        """Return what waits, at most a batch; nothing only if there is nothing and this may not wait, or at the end."""
        with self._lock:
            while may_wait and not self._items and not self._is_closed:
                self._more.wait()
            items = [self._items.popleft() for _ in range(min(self._per_batch, len(self._items)))]
            self._room.notify(len(items))
            return items

    def _launch(self, items: list[PictureItem]) -> _Flight:
        started = time.perf_counter()
        inputs = np.concatenate([item.inputs for item in items])
        try:
            return _Flight(items, self._runtime.start(inputs), started)
        except Exception as exc:  # noqa: BLE001 - raised where the result is waited for
            return _Flight(items, _raiser(exc), started)

    def _land(self, flight: _Flight) -> None:
        try:
            raw = flight.wait()
        except Exception as exc:
            # Whatever it is, those who put the pictures in have to hear of it; the next batch may work.
            logger.exception("batch failed", extra={"action": "batch_failed", "pictures": len(flight.items)})
            with self._lock:
                for item in flight.items:
                    item.stream.fail(exc)
                self._room.notify_all()
            return
        seconds = (time.perf_counter() - flight.started) / len(flight.items)
        crops = self.model.transform.num_crops
        parts = [
            (stream, [flight.items[row].place for row in rows], _rows_of(raw, rows, crops))
            for stream, rows in _by_stream(flight.items).items()
        ]
        with self._lock:
            self.batches += 1
            self.pictures += len(flight.items)
            for stream, places, part in parts:
                stream.receive(places, part, seconds * len(places))


def _raiser(error: Exception) -> Callable[[], RawOutput]:
    def wait() -> RawOutput:
        raise error

    return wait


def _by_stream(items: Sequence[PictureItem]) -> dict[PictureStream, list[int]]:
    rows: dict[PictureStream, list[int]] = {}
    for row, item in enumerate(items):
        rows.setdefault(item.stream, []).append(row)
    return rows


def _rows_of(raw: RawOutput, rows: Sequence[int], crops: int) -> RawOutput:
    """Return a copy of some pictures' rows, which does not keep the whole batch in memory."""
    chosen = (np.asarray(rows)[:, None] * crops + np.arange(crops)).ravel()
    return RawOutput(raw.outputs[chosen], None if raw.mask_scores is None else raw.mask_scores[chosen])
