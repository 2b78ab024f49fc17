"""Which queue a worker looks into first: interactive work, without starving bulk work."""

from __future__ import annotations

from collections.abc import Iterable

from workers.messages import Lane

__all__ = ["PATIENCE", "LaneCycle"]

PATIENCE = 4
"""After so many units from other queues in a row, bulk work is looked for first."""


class LaneCycle:
    """The order in which kombu's Redis transport asks queues for a message (its ``queue_order_strategy``).

    A worker that is busy with interactive jobs only does one bulk unit for every ``PATIENCE`` others; one with bulk
    work only loses nothing, for an empty queue costs no time.
    """

    def __init__(self, queues: Iterable[str] = ()) -> None:
        self._queues = list(queues)
        self._others = 0

    def update(self, queues: Iterable[str]) -> None:
        """Listen to these queues from now on."""
        self._queues = list(queues)

    def consume(self, count: int) -> list[str]:
        """Return up to ``count`` queues, the one to be looked into first in front."""
        is_bulk_due = self._others >= PATIENCE
        return sorted(self._queues, key=lambda queue: (lane_of_queue(queue) == "bulk") != is_bulk_due)[:count]

    def rotate(self, last_used: str) -> None:
        """Learn which queue gave a message."""
        if lane_of_queue(last_used) == "bulk":
            self._others = 0
            return
        self._others += 1
        if last_used in self._queues:  # evaluations and interactive jobs take turns
            self._queues.remove(last_used)
            self._queues.append(last_used)


def lane_of_queue(queue: str) -> Lane | None:
    """Return the lane of a queue's name; None for one of evaluations."""
    if not queue.startswith("hashreel.encode."):
        return None
    return "interactive" if queue.endswith(".interactive") else "bulk"
