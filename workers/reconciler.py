"""Finds work that fell through, and sends it again.

Redis as a broker can lose a message between taking it and recording that it is unacknowledged, and a killed
worker's messages come back only after the visibility timeout. The records know better: a unit that runs on
a worker whose lease ran out, or that is queued although no message for it waits, is sent again. A message too
many is harmless (see ``workers.units``).
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import redis

from indexer.generations import Generations
from indexer.thumbnail_store import ThumbnailStore
from workers.evaluation_queue import resend_evaluations
from workers.evaluation_records import EvaluationRecords
from workers.messages import LANES, Unit, queue_name
from workers.sending import Dispatcher

if TYPE_CHECKING:
    from hashreel.settings import Settings
    from indexer.records import Generation
    from indexer.store import Store
    from workers.sending import Sender
    from workers.units import Units

__all__ = ["Reconciler"]

logger = logging.getLogger(__name__)

QUEUE_AGE_S = 10.0
BACKOFF_S = 5.0
PURGE_EVERY_S = 60.0
PURGE_SLICE = 1000
PAGE = 1000
SHORT_LOOK_S = 0.1
LOOK_SHARE = 20.0


class Reconciler:
    """Checks the records against the queue at intervals, in one process at a time.

    Args:
        store: The stored state.
        units: Records of the units.
        send: Sends units again.
        broker: Connection to the queues' Redis.
        settings: Intervals and grace periods.
    """

    def __init__(self, store: Store, units: Units, send: Sender, broker: redis.Redis, settings: Settings) -> None:
        self._store = store
        self._units = units
        self._send = send
        self._dispatcher = Dispatcher(store, send)
        self._thumbnails = ThumbnailStore(store, settings.thumbnail_store, settings.thumbnail_store_bytes)
        self._broker = broker
        self._settings = settings
        self._evaluations = EvaluationRecords(store.redis, store.keys, settings.job_keep_s)
        self._name = secrets.token_hex(8)
        self._purged_at = 0.0
        self._look_after = 0.0

    def run(self, stop: threading.Event) -> None:
        """Check until told to stop."""
        while not stop.wait(self._settings.reconcile_s):
            try:
                if self._is_mine():
                    self.check()
            except redis.RedisError as exc:
                logger.warning("nothing could be checked: %s", exc, extra={"action": "reconcile_failed"})
            except Exception:
                # One strange record must not end the search for lost work.
                logger.exception("the check for lost work failed", extra={"action": "reconcile_failed"})

    def _is_mine(self) -> bool:
        """Return whether this process holds the lease; take it if nobody does."""
        key, lease_ms = self._store.keys.reconciler, int(self._settings.reconcile_s * 3000)
        if self._store.redis.set(key, self._name, nx=True, px=lease_ms):
            return True
        holder = cast("bytes | None", self._store.redis.get(key))
        if holder is None or holder.decode() != self._name:
            return False
        self._store.redis.pexpire(key, lease_ms)
        return True

    def check(self) -> int:
        """Send what was lost, and fill the queues up; return how many units and evaluations were lost."""
        for unit in self._abandoned():
            self._units.release(unit, delay_s=_pause_s(self._units.tries(unit)))
        lost = self._without_message()
        self._resend(lost)
        for fingerprint in self._fingerprints():
            self._dispatcher.feed(fingerprint)
        again = resend_evaluations(self._evaluations, self._send, self._broker)
        self._housekeeping()
        return len(lost) + again

    def _abandoned(self) -> list[Unit]:
        """Return units that run on workers that are gone, or that have gone on to other work."""
        current: dict[str, str | None] = {}
        abandoned = []
        for unit, worker, started in self._units.running():
            if worker not in current:
                current[worker] = self._units.leased(worker)
            if current[worker] != str(unit) and time.time() - started > 1.0:
                abandoned.append(unit)
        return abandoned

    def _without_message(self) -> list[Unit]:
        """Return queued units that no message waits for.

        Fresh ones are let alone for a while, since their message may be on its way. Those that were started
        before and put back have no message, and are sent as soon as they are due. Those that wait for their turn
        were not sent yet (see ``workers.backlog``), so as many are looked at as the broker's queues hold.
        """
        begun = time.monotonic()
        if begun < self._look_after:
            return []
        fresh = time.time() - QUEUE_AGE_S
        due = [*self._units.queued_before(fresh), *self._units.started_and_due(fresh, time.time())]
        waiting = self._waiting() if due else set()
        # A long queue takes long to read; whatever its length, reading it takes a small share of the time.
        seconds = time.monotonic() - begun
        self._look_after = time.monotonic() + LOOK_SHARE * seconds if seconds > SHORT_LOOK_S else 0.0
        return [unit for unit in dict.fromkeys(due) if str(unit) not in waiting]

    def _waiting(self) -> set[str]:
        """Return the names of all units that a message waits for."""
        names: set[str] = set()
        for queue in (queue_name(fingerprint, lane) for fingerprint in self._fingerprints() for lane in LANES):
            start = 0
            # New messages come in at the left, so between two pages none can move past the reader unseen.
            while page := cast("list[bytes]", self._broker.lrange(queue, start, start + PAGE - 1)):
                names.update(_task_id(raw) for raw in page)
                start += PAGE
        return names

    def _fingerprints(self) -> set[str]:
        return {generation.fingerprint for generation in self._generations()}

    def _generations(self) -> list[Generation]:
        """Return all generations, those too that are still being made or can be rolled back to."""
        collections, every = self._store.collections(), Generations(self._store)
        return [*collections.values(), *(generation for name in collections for generation in every.of(name))]

    def _resend(self, units: Sequence[Unit]) -> None:
        by_model: dict[str, list[Unit]] = {}
        models = {generation.id: generation.fingerprint for generation in self._generations()} if units else {}
        for unit, record in zip(units, self._store.find_videos(unit.video for unit in units), strict=True):
            if record is None or record.state not in {"queued", "encoding"} or record.generation not in models:
                self._units.finish([unit])
                continue
            by_model.setdefault(models[record.generation], []).append(unit)
        for fingerprint, lost in by_model.items():
            logger.info("sending %d units again", len(lost), extra={"action": "resend", "units": len(lost)})
            self._dispatcher.dispatch(lost, fingerprint)

    def _housekeeping(self) -> None:
        now = time.time()
        if now - self._purged_at < PURGE_EVERY_S:
            return
        gone = self._store.purge(self._settings.delete_grace_s, limit=PURGE_SLICE, also=self._thumbnails.drop)
        # More than a slice, as of a dropped generation, goes on at the next check.
        self._purged_at = now if gone < PURGE_SLICE else 0.0
        self._store.forget_jobs(self._settings.job_keep_s)
        self._units.finish(self._dispatcher.clear_others(self._fingerprints))
        for number in {generation.id for generation in self._generations()}:
            self._store.trim_log(number, self._settings.log_max_entries, self._settings.log_keep_s)


def _pause_s(tries: int) -> float:
    """Return how long a unit waits whose worker died: most die of something else, so the first time it does not."""
    return BACKOFF_S * 2 ** (tries - 2) if tries > 1 else 0.0


def _task_id(message: bytes) -> str:
    try:
        document: dict[str, Any] = json.loads(message)
        return str(document["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""
