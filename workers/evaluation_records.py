"""Records of evaluations in Redis: the truth about which wait, run and are done.

As with units of work, the broker's messages only wake workers up. A run of an evaluation holds a lease; what it
reports is taken only while the record still names this run, and the result appears in the same step as the state
"done", so that nothing is ever half-written, whoever dies when.
"""

from __future__ import annotations

import secrets
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import redis

from hashreel.errors import NotFoundError
from indexer.keys import Keys

__all__ = ["MAX_KEPT", "EvaluationRecords"]

MAX_KEPT = 500
EvaluationClaim = Literal["run", "busy", "gone", "poison"]

# KEYS: record, lease, open. ARGV: id, run, worker, now, max tries, lease in ms.
_CLAIM = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'running' then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 'gone'
end
local run = redis.call('GET', KEYS[2])
if run == ARGV[2] then
  -- The reply to this very claim was lost on its way: it is no other start.
  return tonumber(redis.call('HGET', KEYS[1], 'tries')) > tonumber(ARGV[5]) and 'poison' or 'run'
end
if run then return 'busy' end
local tries = redis.call('HINCRBY', KEYS[1], 'tries', 1)
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[6])
redis.call('HSET', KEYS[1], 'state', 'running', 'run', ARGV[2], 'worker', ARGV[3], 'begun_at', ARGV[4],
  'step', '', 'done', 0, 'total', 0)
redis.call('HSETNX', KEYS[1], 'started_at', ARGV[4])
if tries > tonumber(ARGV[5]) then return 'poison' end
return 'run'
"""

# KEYS: record, lease. ARGV: run, lease in ms. Only for the run that the record names.
_RENEW = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""

# KEYS: record. ARGV: run, then fields.
_NOTE = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
"""

# KEYS: record, lease, open. ARGV: id, run, time to send it. Back to the queue.
_RELEASE = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[2] or redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued', 'run', '', 'worker', '', 'step', '', 'done', 0, 'total', 0)
redis.call('DEL', KEYS[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
return 1
"""

# KEYS: record, lease, open, truth, result. ARGV: id, run ('' for any, also one that waits), state, now, time to keep in
# ms, number of parts of the result, then those (format, text), then fields of the record.
_END = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'running' and not (state == 'queued' and ARGV[2] == '') then return 0 end
if ARGV[2] ~= '' and redis.call('HGET', KEYS[1], 'run') ~= ARGV[2] then return 0 end
local last = 6 + 2 * tonumber(ARGV[6])
if last > 6 then
  redis.call('HSET', KEYS[5], unpack(ARGV, 7, last))
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'finished_at', ARGV[4], 'run', '', 'worker', '', 'step', '')
if #ARGV > last then redis.call('HSET', KEYS[1], unpack(ARGV, last + 1)) end
redis.call('DEL', KEYS[2], KEYS[4])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"""


class EvaluationRecords:
    """Reads and changes the records of evaluations.

    Args:
        client: Connection to the data's Redis.
        keys: Key names.
        keep_s: How long the record and the result of one that has ended are kept.
    """

    def __init__(self, client: redis.Redis, keys: Keys, keep_s: float) -> None:
        self.redis = client
        self.keys = keys
        self._keep_ms = int(keep_s * 1000)
        self._claim = client.register_script(_CLAIM)
        self._renew = client.register_script(_RENEW)
        self._note = client.register_script(_NOTE)
        self._release = client.register_script(_RELEASE)
        self._end = client.register_script(_END)

    # Taking in and looking up

    def create(self, fields: Mapping[str, str | int | float], truth: str) -> str:
        """Record an evaluation as queued, with its ground truth; return its id. The oldest that have ended go."""
        evaluation, now = secrets.token_hex(6), time.time()
        record: dict[Any, Any] = {**fields, "state": "queued", "created_at": now}
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hset(self.keys.evaluation(evaluation), mapping=record)
            pipe.set(self.keys.evaluation_truth(evaluation), zlib.compress(truth.encode()))
            pipe.zadd(self.keys.evaluations, {evaluation: now})
            pipe.zadd(self.keys.evaluations_open, {evaluation: now})
            pipe.execute()
        self._forget_oldest()
        return evaluation

    def _forget_oldest(self) -> None:
        surplus = cast("list[bytes]", self.redis.zrange(self.keys.evaluations, 0, -MAX_KEPT - 1))
        for name in (raw.decode() for raw in surplus):
            if self.redis.zscore(self.keys.evaluations_open, name) is None:
                self.redis.delete(self.keys.evaluation(name), self.keys.evaluation_result(name))
                self.redis.zrem(self.keys.evaluations, name)

    def fields(self, evaluation: str) -> dict[str, str]:
        """Return a record.

        Raises:
            NotFoundError: If there is none (any more).
        """
        raw = cast("dict[bytes, bytes]", self.redis.hgetall(self.keys.evaluation(evaluation)))
        if b"state" not in raw:
            raise NotFoundError(f"there is no evaluation {evaluation!r} (any more)")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def newest(self, limit: int) -> list[str]:
        """Return the ids of the newest evaluations; those whose record has expired may be among them."""
        return [raw.decode() for raw in cast("list[bytes]", self.redis.zrevrange(self.keys.evaluations, 0, limit - 1))]

    def forget_name(self, evaluation: str) -> None:
        """Take an evaluation whose record has expired off the list."""
        self.redis.zrem(self.keys.evaluations, evaluation)

    def count_open(self) -> int:
        """Return how many wait or run."""
        return self.redis.zcard(self.keys.evaluations_open)

    def truth(self, evaluation: str) -> str:
        """Return the ground truth of an evaluation that has not ended; NotFoundError if it has."""
        raw = cast("bytes | None", self.redis.get(self.keys.evaluation_truth(evaluation)))
        if raw is None:
            raise NotFoundError(f"evaluation {evaluation!r} has ended; its ground truth is not kept")
        return zlib.decompress(raw).decode()

    def result(self, evaluation: str, format_: str) -> str | None:
        """Return a report of an evaluation; None where there is none."""
        raw = cast("bytes | None", self.redis.hget(self.keys.evaluation_result(evaluation), format_))
        return zlib.decompress(raw).decode() if raw is not None else None

    # Runs

    def claim(self, evaluation: str, worker: str, max_tries: int, lease_s: float) -> tuple[EvaluationClaim, str]:
        """Take an evaluation for a worker; return "run", "busy", "gone" or "poison", and the name of the run."""
        run = secrets.token_hex(8)
        args: list[str | float] = [evaluation, run, worker, time.time(), max_tries, int(lease_s * 1000)]
        reply = cast("bytes", self._claim(keys=self._three(evaluation), args=args))
        return cast("EvaluationClaim", reply.decode()), run

    def release(self, evaluation: str, run: str, delay_s: float) -> bool:
        """Put an evaluation that this run holds back to the queue, to be sent after a delay."""
        args: list[str | float] = [evaluation, run, time.time() + delay_s]
        return bool(self._release(keys=self._three(evaluation), args=args))

    def renew(self, evaluation: str, run: str, lease_s: float) -> bool:
        """Say that a run lives; return whether it is still wanted."""
        return bool(self._renew(keys=self._three(evaluation)[:2], args=[run, int(lease_s * 1000)]))

    def note(self, evaluation: str, run: str, fields: Mapping[str, str | int | float]) -> bool:
        """Set fields of a record; return whether the run is still wanted (nothing is set if not)."""
        args = [run, *(part for pair in fields.items() for part in pair)]
        return bool(self._note(keys=[self.keys.evaluation(evaluation)], args=args))

    def end(
        self,
        evaluation: str,
        state: Literal["done", "failed", "cancelled"],
        *,
        run: str = "",
        result: Mapping[str, bytes] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> bool:
        """End an evaluation in one step with all that it leaves; return whether it had not ended before.

        Args:
            evaluation: Which one.
            state: How it ends.
            run: The run that says so; empty for anyone, also while it waits.
            result: Format to report, compressed.
            fields: To set in the record.
        """
        parts = [part for pair in (result or {}).items() for part in pair]
        rest = [part for pair in (fields or {}).items() for part in pair]
        keys = [
            *self._three(evaluation),
            self.keys.evaluation_truth(evaluation),
            self.keys.evaluation_result(evaluation),
        ]
        args: list[Any] = [evaluation, run, state, time.time(), self._keep_ms, len(parts) // 2, *parts, *rest]
        return bool(self._end(keys=keys, args=args))

    def _three(self, evaluation: str) -> list[Any]:
        keys = self.keys
        return [keys.evaluation(evaluation), keys.evaluation_lease(evaluation), keys.evaluations_open]

    # Looking for what fell through

    def running(self) -> dict[str, float]:
        """Return worker to start time of the runs that go on."""
        found = {}
        for name in self._open():
            state, worker, begun = cast(
                "list[bytes | None]", self.redis.hmget(self.keys.evaluation(name), "state", "worker", "begun_at")
            )
            if state == b"running" and worker and begun:
                found[worker.decode()] = float(begun)
        return found

    def stray(self, sent_before: float) -> list[str]:
        """Return those that wait, due before a time, or whose run is dead; the caller sends those without message."""
        due = cast("list[bytes]", self.redis.zrangebyscore(self.keys.evaluations_open, "-inf", sent_before))
        names = [raw.decode() for raw in due]
        return [name for name in names if not self.redis.exists(self.keys.evaluation_lease(name))]

    def touch(self, evaluations: Iterable[str]) -> None:
        """Note that evaluations were sent just now."""
        for name in evaluations:
            self.redis.zadd(self.keys.evaluations_open, {name: time.time()}, xx=True)

    def _open(self) -> list[str]:
        return [raw.decode() for raw in cast("list[bytes]", self.redis.zrange(self.keys.evaluations_open, 0, -1))]
