"""Which units may run side by side in one process: bounded memory, and no innocent beside a suspect.

A decoder's memory follows from the size of its frames, so as many videos are decoded at a time as fit together; one
that is larger than all the room runs by itself. A unit that was started before may be what killed its worker. It runs
by itself too: should it do so again, only its own tries are used up, not those of its neighbours.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["UNKNOWN_BYTES", "Room", "decoder_bytes"]

FRAMES = 10
"""Frames that a decoder and the scaler behind it hold: codecs allow 16 small ones as references, or 4 to 8 large."""
PIXEL_BYTES = 3
"""A pixel of 10 bits at 4:2:0, or of 8 bits at 4:4:4; what is larger is rare."""
UNKNOWN_BYTES = 256 * 2**20
"""For what was not probed yet: a few frames of 8K."""


def decoder_bytes(width: int, height: int) -> int:
    """Return about how much memory the decoding of a video takes; sizes of 0 are unknown."""
    return FRAMES * PIXEL_BYTES * width * height or UNKNOWN_BYTES


class Room:
    """Lets units in, in the order in which they came.

    Args:
        total_bytes: What all that are inside may take together.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._taken: list[int] = []
        self._is_closed = False

    def close(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @contextmanager
    def hold(self, wanted: int, *, alone: bool = False) -> Iterator[bool]:
        """Wait for a place, and give it back at the end; yield False, at once, when the room is or gets closed.

        Args:
            wanted: Bytes; more than the whole room counts as the whole.
            alone: Wait until nobody else is inside, and let nobody in.
        """
        share = self._total if alone else max(1, min(wanted, self._total))
        if not self._enter(share):
            yield False
            return
        try:
            yield True
        finally:
            with self._changed:
                self._taken.remove(share)
                self._changed.notify_all()

    def _enter(self, share: int) -> bool:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._is_closed or self._is_next(ticket, share))
                if not self._is_closed:
                    self._taken.append(share)
                return not self._is_closed
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _is_next(self, ticket: object, share: int) -> bool:
        return self._waiting[0] is ticket and sum(self._taken) + share <= self._total
