"""The audit log: a Redis stream that is only ever appended to, and trimmed at its old end.

An entry that Redis does not take waits in memory, in order, and is written when Redis is back. What is waiting and what
had to be given up is counted, logged and shown; nothing is lost without a word.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from typing import Any, cast

import redis

from hashreel.errors import UnavailableError
from hashreel.schemas import AuditEntry, AuditPage
from indexer.keys import Keys

__all__ = ["AuditLog"]

logger = logging.getLogger(__name__)

Row = tuple[Any, dict[Any, Any]]
WAITING_KEPT = 10_000
RETRY_S = 1.0
SCAN = 1000


class AuditLog:
    """Writes and reads the log.

    Args:
        client: Connection to the data's Redis.
        keys: Key names.
        entries: The log keeps about so many, the newest.
    """

    def __init__(self, client: redis.Redis, keys: Keys | None = None, entries: int = 200_000) -> None:
        self._redis = client
        self._stream = (keys or Keys()).audit
        self._entries = entries
        self._waiting: deque[dict[str, Any]] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many entries Redis has not taken yet."""
        return len(self._waiting)

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry now; UnavailableError if that cannot be done."""
        try:
            self._append([entry])
        except redis.RedisError as exc:
            raise UnavailableError(
                f"the audit log cannot be written ({exc}), and this service answers nothing without it (audit=strict)"
            ) from exc

    def put(self, entry: dict[str, Any]) -> None:
        """Append an entry soon; returns at once."""
        with self._change:
            if len(self._waiting) >= WAITING_KEPT:
                self._waiting.popleft()
                self.lost += 1
                logger.error("an audit entry was lost: too many wait for Redis", extra={"action": "audit"})
            self._waiting.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()
            self._change.notify()

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, and end."""
        with self._change:
            self._closed = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self._waiting:
            self.lost += len(self._waiting)
            logger.error(
                "audit entries were lost: Redis did not take them before the end",
                extra={"action": "audit", "entries": len(self._waiting)},
            )

    def page(
        self, *, limit: int = 100, before: str | None = None, action: str | None = None, key: str | None = None
    ) -> AuditPage:
        """Return entries, newest first; filters apply before the page is cut."""
        found: list[AuditEntry] = []
        end = f"({before}" if before else "+"
        # Redis refuses to look before its very first place.
        is_first = before is not None and not any(map(int, before.split("-")))
        while len(found) <= limit and not is_first:
            rows = cast("list[Row]", self._redis.xrevrange(self._stream, max=end, min="-", count=SCAN))
            if not rows:
                break
            entries = (_entry(row) for row in rows)
            found += [e for e in entries if (action is None or e.action == action) and (key is None or e.key == key)]
            end = f"({_text(rows[-1][0])}"
        more = len(found) > limit
        found = found[:limit]
        return AuditPage(entries=found, next=found[-1].id if more else None, waiting=self.waiting, lost=self.lost)

    def _run(self) -> None:
        is_down = False
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed, timeout=None)
                batch = [self._waiting[place] for place in range(min(len(self._waiting), 500))]
                closed = self._closed
            if not batch:
                return
            try:
                self._append(batch)
            except redis.RedisError as exc:
                if not is_down:
                    logger.error("audit entries wait: Redis does not answer: %s", exc, extra={"action": "audit"})
                is_down = True
                if closed:
                    return
                with self._change:
                    self._change.wait_for(lambda: self._closed, timeout=RETRY_S)
                continue
            is_down = False
            with self._change:
                for entry in batch:
                    if self._waiting and self._waiting[0] is entry:
                        self._waiting.popleft()

    def _append(self, batch: list[dict[str, Any]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for entry in batch:
            pipeline.xadd(self._stream, {"entry": json.dumps(entry)}, maxlen=self._entries, approximate=True)
        pipeline.execute()


def _entry(row: Row) -> AuditEntry:
    place, fields = row
    raw = fields.get(b"entry") or fields.get("entry")
    return AuditEntry.model_validate({"id": _text(place), **json.loads(raw or "{}")})


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
