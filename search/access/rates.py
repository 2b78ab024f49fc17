"""How often a key may ask: a token bucket each, in the memory of one service."""

from __future__ import annotations

import threading
import time

from hashreel.errors import RateLimitedError

__all__ = ["RateLimit"]

BUCKETS_KEPT = 10_000


class RateLimit:
    """Counts requests and queries by caller.

    Args:
        per_s: How many a second in the long run; 0 for no limit.
        burst: How many at once after a pause.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self.per_s = per_s
        self.burst = max(1.0, float(burst))
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str) -> None:
        """Count one.

        Raises:
            RateLimitedError: if the caller has to wait; it says for how long.
        """
        if not self.per_s:
            return
        now = time.monotonic()
        with self._lock:
            level, at = self._buckets.get(caller, (self.burst, now))
            level = min(self.burst, level + (now - at) * self.per_s)
            if level >= 1:
                if len(self._buckets) >= BUCKETS_KEPT:
                    self._buckets.clear()
                self._buckets[caller] = (level - 1, now)
                return
        raise RateLimitedError(
            f"more than {self.per_s:g} requests a second, the limit of one key "
            f"(rate_per_s, HASHREEL_RATE_PER_S; a batch counts its queries); wait and try again",
            retry_after_s=(1 - level) / self.per_s,
        )
