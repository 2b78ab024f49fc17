"""Sends the hits of watches to their webhooks: at least once, each message under one idempotency key.

Several threads of several processes may do this side by side: what one of them holds, no other takes; what the dead
held is due again after a while. The body of a message is decided before its first try and never changes.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import redis

from hashreel.errors import NotFoundError
from hashreel.webhooks import Outcome, headers_of, send
from indexer.deliveries import Deliveries, Delivery
from indexer.members import Members
from indexer.store import printable
from indexer.watches import Watches, WatchRecord

if TYPE_CHECKING:
    from hashreel.settings import Settings
    from indexer.store import Store

__all__ = ["WebhookSender"]

logger = logging.getLogger(__name__)

THREADS = 3
IDLE_S = 0.5
LONGEST_PAUSE_S = 3600.0
GONE = 410


class WebhookSender:
    """Turns fresh hits into deliveries and sends those that are due.

    Args:
        store: The stored state.
        settings: Allowed hosts, timeout, pauses and tries.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._watches, self._deliveries, self._members = Watches(store), Deliveries(store), Members(store)

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop; a try that goes on then is finished by nobody and repeated by the next sender."""
        threads = [threading.Thread(target=self._loop, args=(stop,), daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _loop(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if self.step():
                    continue
            except redis.RedisError as exc:
                logger.warning("no webhooks were sent: %s", exc, extra={"action": "webhooks_wait"})
            except Exception:
                # One strange record must not end all messages.
                logger.exception("a webhook could not be sent", extra={"action": "webhook_failed"})
            stop.wait(IDLE_S)

    def step(self) -> bool:
        """Send one message that is due; return whether there was one."""
        for generation in self._store.collections().values():
            # What a generation finds that is not live waits until it is.
            self._deliveries.take(generation.id)
        delivery = self._deliveries.claim(2 * self._settings.webhook_timeout_s + 1)
        if delivery is None:
            return False
        try:
            watch = self._watches.find(delivery.watch)
        except NotFoundError:
            return True  # removed since, and its deliveries with it
        self._settle(delivery, self._send(delivery, watch))
        return True

    def _send(self, delivery: Delivery, watch: WatchRecord) -> Outcome:
        if not watch.webhook:
            return Outcome(False, GONE, "the watch has no webhook any more")
        body = delivery.body or self._deliveries.set_body(delivery.id, self._body(delivery, watch))
        headers = headers_of(watch.signing(time.time()), delivery.id, body)
        return send(watch.webhook, self._settings.webhook_hosts, headers, body, self._settings.webhook_timeout_s)

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        facts = {"action": "webhook", "watch": delivery.watch, "delivery": delivery.id, "tries": delivery.tries}
        if outcome.ok:
            self._deliveries.delivered(delivery.id, outcome.status)
            logger.info("webhook delivered", extra=facts)
        elif outcome.status == GONE or delivery.tries >= self._settings.webhook_tries:
            self._deliveries.give_up(delivery.id, outcome.status, outcome.reason)
            logger.error("webhook given up: %s", outcome.reason, extra=facts)
        else:
            pause_s = min(self._settings.webhook_retry_s * 2 ** (delivery.tries - 1), LONGEST_PAUSE_S)
            self._deliveries.failed(delivery.id, outcome.status, outcome.reason, time.time() + pause_s)
            logger.warning("webhook fails: %s; again in %.0f s", outcome.reason, pause_s, extra=facts)

    def _body(self, delivery: Delivery, watch: WatchRecord) -> bytes:
        videos = sorted({frame >> 32 for frame, *_ in delivery.hits})
        records = dict(zip(videos, self._store.find_videos(videos), strict=True))
        hits: list[dict[str, Any]] = []
        for frame, time_ms, distance, found_at in delivery.hits:
            record = records[frame >> 32]
            hits.append(
                {
                    "frame_id": str(frame),
                    "video": frame >> 32,
                    "source": record.source if record is not None else "",
                    "member": printable(member) if (member := self._members.name(frame >> 32, time_ms)) else None,
                    "tags": record.tags if record is not None else {},
                    "time_ms": time_ms,
                    "distance": distance,
                    "found_at": found_at,
                }
            )
        message = {
            "id": delivery.id,
            "type": "watch.hits",
            "watch": {"id": watch.id, "name": watch.name, "note": watch.note, "collection": watch.collection},
            "generation": delivery.generation,
            "hits": hits,
        }
        return json.dumps(message, ensure_ascii=False).encode()
