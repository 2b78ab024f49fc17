"""Several units at a time in one process, each under a claim and a lease of its own."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.encoding import UnitRunner
    from workers.messages import Unit
    from workers.room import Room

__all__ = ["Slots", "process_of", "slot_name"]

MARK = "#"


def slot_name(process: str, number: int) -> str:
    """Return the name under which a slot of a worker process claims units; the first has the process's own."""
    return f"{process}{MARK}{number}" if number else process


def process_of(worker: str) -> str:
    """Return the worker process that a slot belongs to."""
    return worker.partition(MARK)[0]


class Slots:
    """Hands each unit to a runner that is free; there are as many as units run at a time.

    Args:
        runners: One a slot.
        room: Where they run.
    """

    def __init__(self, runners: Sequence[UnitRunner], room: Room) -> None:
        self._runners = list(runners)
        self._room = room
        self._free: queue.SimpleQueue[UnitRunner] = queue.SimpleQueue()
        for runner in runners:
            self._free.put(runner)

    def __len__(self) -> int:
        return len(self._runners)

    def run(self, unit: Unit) -> None:
        """Run a unit in this thread, once a slot is free."""
        runner = self._free.get()
        try:
            runner.run(unit)
        finally:
            self._free.put(runner)

    def renew(self) -> None:
        """Renew the leases of all slots.

        Raises:
            redis.RedisError: If Redis does not answer.
        """
        for runner in self._runners:
            runner.renew()

    def end_leases(self) -> None:
        """Give the leases back.

        Raises:
            redis.RedisError: If Redis does not answer.
        """
        for runner in self._runners:
            runner.end_lease()

    def begin_nothing(self) -> None:
        """Let no other unit begin."""
        self._room.close()

    def give_back(self) -> None:
        """Have the units that run go back to the queue, uncounted, at their next key-frame."""
        for runner in self._runners:
            runner.give_back()
