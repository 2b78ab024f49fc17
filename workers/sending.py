"""From records to messages: what is sent to the broker, in which lane, and how much at a time."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import redis
from kombu.exceptions import KombuError, OperationalError

from workers.backlog import Backlog
from workers.message_context import headers_of_units
from workers.messages import (
    EVALUATION_QUEUE,
    LANES,
    RUN_EVALUATION,
    RUN_UNIT,
    Lane,
    Unit,
    evaluation_payload,
    payload,
    queue_name,
)

if TYPE_CHECKING:
    from celery import Celery

    from indexer.store import Store

__all__ = ["MAX_WAITING", "Dispatcher", "Sender"]

logger = logging.getLogger(__name__)

MAX_WAITING = 256
"""Messages that a queue of the broker may hold; workers and the reconciler fill it up again as they are taken."""
BROKER_ERRORS = (OperationalError, KombuError, OSError, redis.RedisError)


class Sender:
    """Sends units to the queue of a model.

    A message that cannot be sent is no loss: the unit is recorded as queued, and the reconciler sends it.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(
        self,
        units: Iterable[Unit],
        fingerprint: str,
        lane: Lane = "bulk",
        headers: Iterable[Mapping[str, str]] = (),
    ) -> None:
        """Send one message a unit, with the headers of each, if they are given."""
        try:
            for unit, more in itertools.zip_longest(units, headers):
                self._app.send_task(
                    RUN_UNIT,
                    kwargs=payload(unit),
                    headers=dict(more or {}),
                    task_id=str(unit),
                    queue=queue_name(fingerprint, lane),
                    ignore_result=True,
                )
        except BROKER_ERRORS as exc:
            logger.warning("units stay queued, the broker does not answer: %s", exc, extra={"action": "send_failed"})

    def waiting(self, queue: str) -> int | None:
        """Return how many messages wait in a queue; None if the broker does not answer."""
        try:
            with self._app.pool.acquire(block=True, timeout=10) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0.1)
                return int(connection.default_channel.client.llen(queue))
        except BROKER_ERRORS as exc:
            logger.warning("units stay queued, the broker does not answer: %s", exc, extra={"action": "send_failed"})
            return None

    def evaluations(self, names: Iterable[str]) -> None:
        """Send one message an evaluation, to whatever worker is free first."""
        try:
            for name in names:
                self._app.send_task(
                    RUN_EVALUATION,
                    kwargs=evaluation_payload(name),
                    task_id=name,
                    queue=EVALUATION_QUEUE,
                    ignore_result=True,
                )
        except BROKER_ERRORS as exc:
            logger.warning("evaluations stay queued: %s", exc, extra={"action": "send_failed"})


class Dispatcher:
    """Lets units wait for their turn, and keeps the broker's queues filled up to their bound.

    Args:
        store: The stored state.
        send: Sends units.
    """

    def __init__(self, store: Store, send: Sender) -> None:
        self._store = store
        self._send = send
        self._backlog = Backlog(store.redis, store.keys)

    def enlist(self, pipe: Any, units: Sequence[Unit], *, job: str, fingerprint: str, lane: Lane) -> None:
        """Let a job's queued units wait for their turn, in a transaction; ``feed`` sends them."""
        self._backlog.add(queue_name(fingerprint, lane), job, units, pipe=pipe)

    def dispatch(self, units: Sequence[Unit], fingerprint: str) -> None:
        """Let queued units of any jobs wait for their turn, and send what there is room for."""
        for job, own in self._by_job(units).items():
            self._backlog.add(queue_name(fingerprint, self.lane_of(job)), job, own)
        self.feed(fingerprint)

    def _by_job(self, units: Sequence[Unit]) -> dict[str, list[Unit]]:
        videos = list(dict.fromkeys(unit.video for unit in units))
        with self._store.redis.pipeline(transaction=False) as pipe:
            for video in videos:
                pipe.hget(self._store.keys.video(video), "job")
            jobs = dict(zip(videos, (raw.decode() if raw else "" for raw in pipe.execute()), strict=True))
        found: dict[str, list[Unit]] = {}
        for unit in units:
            found.setdefault(jobs[unit.video], []).append(unit)
        return found

    def lane_of(self, job: str) -> Lane:
        """Return the lane of a job; what is of no job (any more) is bulk."""
        raw = cast("bytes | None", self._store.redis.hget(self._store.keys.job(job), "lane")) if job else None
        return "interactive" if raw == b"interactive" else "bulk"

    def feed(self, fingerprint: str) -> int:
        """Fill the queues of a model up to their bound; return how many units were sent."""
        return sum(self._feed(fingerprint, lane) for lane in LANES)

    def _feed(self, fingerprint: str, lane: Lane) -> int:
        queue = queue_name(fingerprint, lane)
        if self._backlog.is_empty(queue):
            return 0
        with self._backlog.feeding(queue) as is_mine:
            waiting = self._send.waiting(queue) if is_mine else None
            if waiting is None or waiting >= MAX_WAITING:
                return 0
            units = self._backlog.take(queue, MAX_WAITING - waiting)
            self._send(units, fingerprint, lane, headers_of_units(self._store, units))
        return len(units)

    def clear_others(self, fingerprints: Callable[[], Collection[str]]) -> list[Unit]:
        """Forget what waits for other models than these, and return it; such models are of dropped generations."""
        # Looked at before the models are: a generation is made before anything waits for it.
        queues = self._backlog.queues()
        known = {queue_name(fingerprint, lane) for fingerprint in fingerprints() for lane in LANES}
        return [unit for queue in queues - known for unit in self._backlog.clear(queue)]

    def drop(self, job: str, fingerprint: str) -> None:
        """Forget what a job has waiting; its units are finished by the caller."""
        for lane in LANES:
            self._backlog.drop(queue_name(fingerprint, lane), job)
