"""What is to be sent to webhooks: deliveries, each of up to a hundred hits of one watch.

A delivery is made of hits that were not reported yet in one step, and is there until somebody took it: it is sent at
least once. Whoever sends it holds it for a while; if they die, it is due again.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal, cast

from indexer.store import Store
from indexer.watch_scripts import CLAIM_DELIVERY, END_DELIVERY, TAKE_DELIVERY

__all__ = ["Deliveries", "Delivery", "DeliveryState"]

MAX_HITS_OF_ONE = 100
KEEP_DELIVERED_S = 7 * 86400.0
DeliveryState = Literal["waiting", "delivered", "dead"]


@dataclass(frozen=True)
class Delivery:
    """One message to a webhook.

    Attributes:
        id: Also its idempotency key.
        hits: (frame id, time in ms, distance, found at).
        body: What is sent, the same at every try; empty before the first.
        next_at: When it is sent (again), while it waits.
        status: HTTP status of the last try, 0 if there was no answer.
    """

    id: str
    watch: str
    generation: str
    state: DeliveryState
    hits: list[tuple[int, int, int, float]]
    body: bytes
    tries: int
    created_at: float
    next_at: float
    status: int
    reason: str


class Deliveries:
    """Reads and changes deliveries.

    Args:
        store: The stored state.
    """

    def __init__(self, store: Store) -> None:
        self._redis, self._keys = store.redis, store.keys
        self._take = self._redis.register_script(TAKE_DELIVERY)
        self._claim = self._redis.register_script(CLAIM_DELIVERY)
        self._end = self._redis.register_script(END_DELIVERY)

    def take(self, generation: str) -> bool:
        """Make deliveries of all hits of a generation that were not reported; return whether there were any."""
        made = False
        while True:
            args: list[Any] = [self._keys.prefix, generation, secrets.token_hex(12), time.time(), MAX_HITS_OF_ONE]
            reply = self._take(args=args)
            made = made or bool(reply == b"ok")
            if reply == b"none":
                return made

    def claim(self, lease_s: float) -> Delivery | None:
        """Take one that is due, for a while; None if none is."""
        raw = cast("bytes | None", self._claim(args=[self._keys.prefix, time.time(), lease_s]))
        return self.find(raw.decode()) if raw is not None else None

    def find(self, delivery: str) -> Delivery | None:
        """Return a delivery; None if there is none (any more)."""
        raw = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.delivery(delivery)))
        if b"state" not in raw:
            return None
        text = {name.decode(): value for name, value in raw.items()}
        return Delivery(
            id=delivery,
            watch=text["watch"].decode(),
            generation=text["generation"].decode(),
            state=cast("DeliveryState", text["state"].decode()),
            hits=[_hit(line) for line in text.get("hits", b"").decode().splitlines()],
            body=text.get("body", b""),
            tries=int(text["tries"]),
            created_at=float(text["created_at"]),
            next_at=float(text["next_at"]),
            status=int(text.get("status", b"0")),
            reason=text.get("reason", b"").decode(),
        )

    def set_body(self, delivery: str, body: bytes) -> bytes:
        """Set what is sent, unless that is decided already; return what is."""
        self._redis.hsetnx(self._keys.delivery(delivery), "body", cast("Any", body))
        stored = cast("bytes | None", self._redis.hget(self._keys.delivery(delivery), "body"))
        return body if stored is None else stored

    def delivered(self, delivery: str, status: int) -> None:
        """Note that it was taken."""
        self._finish(delivery, "delivered", 0.0, status, "")

    def failed(self, delivery: str, status: int, reason: str, next_at: float) -> None:
        """Note that a try failed, and when the next one is."""
        self._finish(delivery, "waiting", next_at, status, reason)

    def give_up(self, delivery: str, status: int, reason: str) -> None:
        """Put it on the list of what could not be delivered."""
        self._finish(delivery, "dead", 0.0, status, reason)

    def retry(self, delivery: str) -> None:
        """Send one again that was given up, now."""
        self._finish(delivery, "waiting", time.time(), 0, "")
        self._redis.hset(self._keys.delivery(delivery), "tries", 0)

    def _finish(self, delivery: str, state: DeliveryState, next_at: float, status: int, reason: str) -> None:
        keep_ms = int(KEEP_DELIVERED_S * 1000)
        self._end(args=[self._keys.prefix, delivery, state, next_at, status, reason[:500], keep_ms])

    def of_watch(self, watch: str, state: str | None = None, limit: int = 100) -> list[Delivery]:
        """Return deliveries of a watch, newest first."""
        names = cast("list[bytes]", self._redis.zrevrange(self._keys.watch_deliveries(watch), 0, -1))
        found: list[Delivery] = []
        for name in (raw.decode() for raw in names):
            delivery = self.find(name)
            if delivery is not None and (state is None or delivery.state == state):
                found.append(delivery)
            if len(found) == limit:
                break
        return found

    def count_dead(self, watch: str) -> int:
        """Return how many deliveries of a watch were given up."""
        return self._redis.scard(self._keys.watch_dead(watch))

    def count_waiting(self) -> int:
        """Return how many deliveries of all watches wait."""
        return self._redis.zcard(self._keys.deliveries)


def _hit(line: str) -> tuple[int, int, int, float]:
    frame, _, time_ms, distance, found = line.split(" ")
    return int(frame), int(time_ms), int(distance), int(found) / 1000
