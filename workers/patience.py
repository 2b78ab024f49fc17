"""Waiting for a Redis that is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis

__all__ = ["REPEATS", "insist"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

REPEATS = 4
"""How often workers and reconcilers send a request again at once whose connection broke. Each of their requests may be
carried out twice; without this, a reconciler that loses one request in twenty never gets to its end."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


def insist(call: Callable[[], Result]) -> Result:
    """Return what a call to Redis returns, waiting as long as Redis is away or out of memory.

    A worker has nothing better to do, and the work it holds is worth more than its time.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.OutOfMemoryError) as exc:
            logger.warning("waiting for Redis: %s", exc, extra={"action": "redis_wait"})
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
