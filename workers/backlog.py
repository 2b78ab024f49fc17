"""Units that wait to be sent: the broker holds a bounded number of messages, these records hold the rest.

A queue's backlog is shared out by turns: of the jobs that wait, the one that has had the fewest units sent is next, so
a job of ten videos is not stuck behind one of a hundred thousand. Inside a job, chunks of videos that were begun come
before videos that were not.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import redis

from indexer.keys import Keys
from workers.messages import Unit

__all__ = ["Backlog"]

FEEDING_S = 30.0
FEEDING_TRIES = 50
SLICE = 1000
# Below every video number, and exact as a double: video and chunk numbers have 31 and 12 bits.
BEGUN = -(2**44)

# KEYS: queued units, turns, the job's backlog. ARGV: job, then score and unit by turns. A queued unit whose time is
# infinite is one that was not sent, so nobody misses its message.
_ADD = """
for i = 2, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i + 1]) then
    redis.call('ZADD', KEYS[1], '+inf', ARGV[i + 1])
    redis.call('ZADD', KEYS[3], ARGV[i], ARGV[i + 1])
  end
end
if redis.call('EXISTS', KEYS[3]) == 1 and not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  -- Whoever comes later starts where the others are: the past is not made up for.
  local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[2], first[2] or '0', ARGV[1])
end
return redis.call('ZCARD', KEYS[3])
"""

# KEYS: queued units, turns. ARGV: how many, now, start of the names of backlogs.
_TAKE = """
local taken = {}
while #taken < tonumber(ARGV[1]) do
  local job = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not job then break end
  local backlog = ARGV[3] .. job
  local unit = redis.call('ZPOPMIN', backlog)[1]
  -- What was cancelled, or taken in another way meanwhile, is not queued as unsent any more.
  if unit and redis.call('ZSCORE', KEYS[1], unit) == 'inf' then
    redis.call('ZADD', KEYS[1], ARGV[2], unit)
    redis.call('ZINCRBY', KEYS[2], 1, job)
    taken[#taken + 1] = unit
  end
  if redis.call('EXISTS', backlog) == 0 then redis.call('ZREM', KEYS[2], job) end
end
return taken
"""

# KEYS: the lock. ARGV: who holds it.
_LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Backlog:
    """Reads and changes the units that wait to be sent.

    Args:
        client: Connection to the data's Redis.
        keys: Key names.
    """

    def __init__(self, client: redis.Redis, keys: Keys | None = None) -> None:
        self._redis = client
        self._keys = keys or Keys()
        self._add = client.register_script(_ADD)
        self._take = client.register_script(_TAKE)
        self._let_go = client.register_script(_LET_GO)

    def add(self, queue: str, job: str, units: Sequence[Unit], *, pipe: Any = None) -> None:
        """Let queued units wait to be sent; those that are not queued (any more) are passed over.

        Args:
            queue: Where they are to be sent.
            job: Whose they are; empty for no job's.
            units: What waits.
            pipe: A transaction to do it in.
        """
        keys = [self._keys.units_queued, self._keys.units_turns(queue), self._keys.units_backlog(queue, job)]
        for start in range(0, len(units), SLICE):
            rows = [part for unit in units[start : start + SLICE] for part in (_rank(unit), str(unit))]
            self._add(keys=keys, args=[job, *rows], client=pipe)

    def take(self, queue: str, count: int) -> list[Unit]:
        """Take up to ``count`` units that are to be sent now; a unit that is not sent then is missed as a lost one."""
        keys = [self._keys.units_queued, self._keys.units_turns(queue)]
        args: list[Any] = [count, time.time(), self._keys.units_backlog(queue, "")]
        return [Unit.parse(name) for name in cast("list[bytes]", self._take(keys=keys, args=args))]

    def is_empty(self, queue: str) -> bool:
        """Return whether nothing waits to be sent to a queue."""
        return not self._redis.exists(self._keys.units_turns(queue))

    def drop(self, queue: str, job: str) -> None:
        """Forget what a job has waiting."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._keys.units_backlog(queue, job))
            pipe.zrem(self._keys.units_turns(queue), job)
            pipe.execute()

    def queues(self) -> set[str]:
        """Return the queues that something waits to be sent to."""
        start = self._keys.units_turns("")
        return {key.decode().removeprefix(start) for key in self._redis.scan_iter(f"{start}*", count=SLICE)}

    def clear(self, queue: str) -> list[Unit]:
        """Forget all that waits to be sent to a queue; return it, for the caller to finish."""
        units: list[Unit] = []
        for raw in cast("list[bytes]", self._redis.zrange(self._keys.units_turns(queue), 0, -1)):
            job = raw.decode()
            names = cast("list[bytes]", self._redis.zrange(self._keys.units_backlog(queue, job), 0, -1))
            units += [Unit.parse(name) for name in names]
            self.drop(queue, job)
        return units

    @contextmanager
    def feeding(self, queue: str) -> Iterator[bool]:
        """Yield whether this process is the one that may fill a queue now, so that not two do it beyond its bound."""
        key, name = self._keys.units_feeding(queue), secrets.token_hex(8)
        is_mine = False
        for _ in range(FEEDING_TRIES):
            is_mine = bool(self._redis.set(key, name, nx=True, px=int(FEEDING_S * 1000)))
            if is_mine:
                break
            time.sleep(0.01)
        try:
            yield is_mine
        finally:
            if is_mine:
                self._let_go(keys=[key], args=[name])


def _rank(unit: Unit) -> int:
    """Return a unit's place in its job: chunks of begun videos first, then videos, each by number."""
    return unit.video if unit.chunk is None else BEGUN + unit.video * 4096 + unit.chunk
