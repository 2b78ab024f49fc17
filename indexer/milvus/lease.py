"""The lease of the one process that writes a generation's codes into Milvus, and the log position it has reached.

Milvus knows no conditional writes, so the fence is on our side, and in what is written. Every write is preceded by
a look at the lease, with a bound on the write's time that lies inside what is left of it; the position is stored by
a script that compares the holder. A write that is late all the same changes no answer: rows are immutable and
numbers of videos never come back, so it can only repeat what is there, or bring back frames of a deleted video,
which no searcher shows.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import cast

import redis

from hashreel.errors import HashreelError
from indexer.keys import Keys
from indexer.records import LogPosition

__all__ = ["Applied", "Lease", "LeaseLostError", "read_applied"]

# KEYS: lease. ARGV: holder, time in ms.
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: lease. ARGV: holder.
_END = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

# KEYS: lease, applied. ARGV: holder, collection, log id, running hash, run of the Redis server.
_STORE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'collection', ARGV[2], 'id', ARGV[3], 'hash', ARGV[4], 'run', ARGV[5])
return 1
"""


class LeaseLostError(HashreelError):
    """Another process may write into Milvus now."""


@dataclass(frozen=True)
class Applied:
    """What Milvus holds.

    Attributes:
        collection: Name of the Milvus collection.
        position: The log position that it reflects (it may hold a little of what comes after).
        run: Of the Redis server that stored this. After a restart Redis may have forgotten what Milvus holds.
    """

    collection: str
    position: LogPosition
    run: str


def read_applied(client: redis.Redis, keys: Keys, generation: str) -> Applied | None:
    """Return what the applier has stored last; None before a first build."""
    stored = cast("dict[bytes, bytes]", client.hgetall(keys.milvus(generation)))
    if not stored:
        return None
    collection, log_id, chain, run = (stored[name].decode() for name in (b"collection", b"id", b"hash", b"run"))
    return Applied(collection, LogPosition(log_id, chain), run)


class Lease:
    """The right to write one generation's codes.

    Args:
        client: Connection to the data's Redis.
        keys: Key names.
        generation: Whose codes.
        lease_s: How long it lasts without being renewed. A third of it is the longest that one write may take.
    """

    def __init__(self, client: redis.Redis, keys: Keys, generation: str, lease_s: float) -> None:
        self.holder = secrets.token_hex(8)
        self.lease_s = lease_s
        self._redis = client
        self._key, self._applied = keys.milvus_lease(generation), keys.milvus(generation)
        self._until = 0.0
        self._renew = client.register_script(_RENEW)
        self._end = client.register_script(_END)
        self._store = client.register_script(_STORE)

    def take(self) -> bool:
        """Take the lease if nobody holds it; return whether it is ours."""
        begun = time.monotonic()
        if self._redis.set(self._key, self.holder, nx=True, px=self._ms) or self._renewed():
            self._until = begun + self.lease_s
            return True
        return False

    def guard(self) -> None:
        """Return if a write may begin now.

        Raises:
            LeaseLostError: If the lease is not ours any more.
            redis.RedisError: If Redis does not answer; then nothing may be written either.
        """
        # Counted from before the call: Redis counts from some moment after it.
        begun = time.monotonic()
        if self._until - begun > self.lease_s * 2 / 3:
            return
        if not self._renewed():
            self._until = 0.0
            raise LeaseLostError("the lease of the Milvus applier has gone to another process")
        self._until = begun + self.lease_s

    def store(self, applied: Applied) -> None:
        """Store what Milvus holds now; LeaseLostError if the lease is not ours, and then nothing is stored."""
        position = applied.position
        args = [self.holder, applied.collection, position.log_id, position.chain, applied.run]
        if not self._store(keys=[self._key, self._applied], args=args):
            self._until = 0.0
            raise LeaseLostError("the lease of the Milvus applier has gone to another process")

    def end(self) -> None:
        """Give the lease back, so that another need not wait for its end."""
        self._until = 0.0
        self._end(keys=[self._key], args=[self.holder])

    @property
    def _ms(self) -> int:
        return max(1, int(self.lease_s * 1000))

    def _renewed(self) -> bool:
        return bool(self._renew(keys=[self._key], args=[self.holder, self._ms]))
