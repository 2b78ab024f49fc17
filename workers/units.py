"""Records of the units of work in Redis: the truth about what waits, runs and is done.

A unit is queued, running or gone (done, failed, cancelled). The broker's messages only wake workers up; a
message whose unit is gone or runs elsewhere is dropped, and a unit whose message was lost is sent again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Literal, cast

import redis

from indexer.keys import Keys
from workers.messages import Unit

__all__ = ["Claim", "Units"]

Claim = Literal["run", "busy", "gone", "poison"]

# KEYS: queued, running, tries, owner, attempt. ARGV: unit, worker, now, max tries, prefix of worker leases, attempt.
_CLAIM = """
local owner = redis.call('HGET', KEYS[4], ARGV[1])
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  if redis.call('HGET', KEYS[5], ARGV[1]) == ARGV[6] then
    -- The reply to this very claim was lost on its way: it is no other start.
    return tonumber(redis.call('HGET', KEYS[3], ARGV[1])) > tonumber(ARGV[4]) and 'poison' or 'run'
  end
  if owner and owner ~= ARGV[2] and redis.call('GET', ARGV[5] .. owner) == ARGV[1] then return 'busy' end
elseif not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 'gone'
end
local tries = redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[1], ARGV[6])
if tries > tonumber(ARGV[4]) then return 'poison' end
return 'run'
"""

# KEYS: queued, running, tries, owner. ARGV: time, then units. Units that run already stay as they are.
_QUEUE = """
local added = 0
for i = 2, #ARGV do
  if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    added = added + redis.call('ZADD', KEYS[1], 'NX', ARGV[1], ARGV[i])
  end
end
return added
"""

# KEYS: queued, running, tries, owner. ARGV: unit, worker ('' for any), time to send it, 1 if the start counts. Back to
# the queue.
_RELEASE = """
local owner = redis.call('HGET', KEYS[4], ARGV[1])
if ARGV[2] ~= '' and owner ~= ARGV[2] then return 0 end
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
if ARGV[4] ~= '1' then redis.call('HINCRBY', KEYS[3], ARGV[1], -1) end
return 1
"""


class Units:
    """Reads and changes the records of units.

    Args:
        client: Connection to the data's Redis.
        keys: Key names.
    """

    def __init__(self, client: redis.Redis, keys: Keys | None = None) -> None:
        self.redis = client
        self.keys = keys or Keys()
        self._all = [
            self.keys.units_queued,
            self.keys.units_running,
            self.keys.units_tries,
            self.keys.units_owner,
            self.keys.units_attempt,
        ]
        self._claim = client.register_script(_CLAIM)
        self._queue = client.register_script(_QUEUE)
        self._release = client.register_script(_RELEASE)

    def queue(self, units: Iterable[Unit]) -> int:
        """Record units as queued; those that are queued or running stay as they are. Return how many are new."""
        names = [str(unit) for unit in units]
        added = 0
        for start in range(0, len(names), 1000):
            args: list[str | float] = [time.time(), *names[start : start + 1000]]
            added += cast("int", self._queue(keys=self._all, args=args))
        return added

    def claim(self, unit: Unit, worker: str, max_tries: int, attempt: str = "") -> Claim:
        """Take a unit for a worker.

        Args:
            unit: Which.
            worker: For whom.
            max_tries: Starts that it may have.
            attempt: Tells this start from any other, so that a claim that is sent again, because its reply was lost,
                counts once. Empty: one is made up.

        Returns:
            "run" if it is this worker's now; "poison" if it is, but was started too often before; "busy" if
            another live worker runs it; "gone" if there is nothing to do.
        """
        args: list[str | float] = [str(unit), worker, time.time(), max_tries, self.keys.worker("")]
        args.append(attempt or secrets.token_hex(8))
        reply = cast("bytes", self._claim(keys=self._all, args=args))
        return cast("Claim", reply.decode())

    def release(self, unit: Unit, *, worker: str = "", delay_s: float = 0.0, is_counted: bool = True) -> bool:
        """Put a running unit back to the queue, to be sent after a delay; return whether it was running.

        Args:
            unit: Which.
            worker: Whose it has to be; empty for anybody's.
            delay_s: When it is to be sent again.
            is_counted: Whether its start counts as a try; not if its worker was asked to end.
        """
        args: list[str | float] = [str(unit), worker, time.time() + delay_s, int(is_counted)]
        return bool(self._release(keys=self._all, args=args))

    def finish(self, units: Iterable[Unit]) -> None:
        """Forget units: they are done, failed or cancelled."""
        names = [str(unit) for unit in units]
        if not names:
            return
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.zrem(self.keys.units_queued, *names)
            pipe.zrem(self.keys.units_running, *names)
            pipe.hdel(self.keys.units_tries, *names)
            pipe.hdel(self.keys.units_owner, *names)
            pipe.hdel(self.keys.units_attempt, *names)
            pipe.execute()

    def counts(self) -> tuple[int, int]:
        """Return how many units are queued, and how many run."""
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.zcard(self.keys.units_queued)
            pipe.zcard(self.keys.units_running)
            queued, running = pipe.execute()
        return queued, running

    def touch(self, unit: Unit) -> None:
        """Note that a queued unit was sent just now."""
        self.redis.zadd(self.keys.units_queued, {str(unit): time.time()}, xx=True)

    def tries(self, unit: Unit) -> int:
        """Return how often a unit was started."""
        return int(self.redis.hget(self.keys.units_tries, str(unit)) or 0)

    def queued_before(self, at: float) -> list[Unit]:
        """Return the queued units that were (or are to be) sent before a time, the oldest first."""
        names = cast("list[bytes]", self.redis.zrangebyscore(self.keys.units_queued, "-inf", at))
        return [Unit.parse(name) for name in names]

    def started_and_due(self, after: float, before: float) -> list[Unit]:
        """Return the queued units with a start behind them that are to be sent in [after, before]."""
        names = cast("list[bytes]", self.redis.zrangebyscore(self.keys.units_queued, after, before))
        if not names:
            return []
        tries = cast("list[bytes | None]", self.redis.hmget(self.keys.units_tries, names))
        return [Unit.parse(name) for name, count in zip(names, tries, strict=True) if count is not None]

    def count_queued(self) -> int:
        """Return how many units wait."""
        return self.redis.zcard(self.keys.units_queued)

    def running(self) -> list[tuple[Unit, str, float]]:
        """Return (unit, worker, start time) of all units that run."""
        rows = cast("list[tuple[bytes, float]]", self.redis.zrange(self.keys.units_running, 0, -1, withscores=True))
        if not rows:
            return []
        owners = cast("list[bytes | None]", self.redis.hmget(self.keys.units_owner, [name for name, _ in rows]))
        return [
            (Unit.parse(name), owner.decode() if owner else "", float(start))
            for (name, start), owner in zip(rows, owners, strict=True)
        ]

    def lease(self, worker: str, current: Unit | None, lease_s: float) -> None:
        """Say that a worker lives, and what it runs."""
        self.redis.set(self.keys.worker(worker), str(current or ""), px=int(lease_s * 1000))

    def leased(self, worker: str) -> str | None:
        """Return what a worker says it runs; None if its lease ran out."""
        raw = cast("bytes | None", self.redis.get(self.keys.worker(worker)))
        return raw.decode() if raw is not None else None

    def end_lease(self, worker: str) -> None:
        """Give a worker's lease back."""
        self.redis.delete(self.keys.worker(worker))
