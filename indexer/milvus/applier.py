"""Writes the log into Milvus: one process at a time, whoever holds the lease.

Every search service has an applier, and one of them works. It continues from the stored position; where the log
does not hold that position (a restored backup), or nothing was built yet, it loads all stored values into a new
Milvus collection beside the old one, which is searched until the new one has caught up.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import redis
from numpy.typing import NDArray

from encoder.codes import Codes
from hashreel.errors import HashreelError, LogCorruptError, NotFoundError
from indexer.chunks import chunk_base, value_sha, video_range
from indexer.log import Entry, Log, LogBrokenError
from indexer.milvus.collection import Connection, MilvusCollection
from indexer.milvus.lease import Applied, Lease, LeaseLostError, read_applied
from indexer.ranges import check_ranges
from indexer.records import Generation, LogPosition
from indexer.store import Store, checked_chunk

__all__ = ["Applier", "collection_prefix"]

logger = logging.getLogger(__name__)

SCAN_VIDEOS = 50
ENTRIES = 256
IDLE_WAIT_MS = 250
RETRY_S = 0.5
# A lease that was given back is taken up this soon; one that ran out, after its own time.
ASK_S = 1.0


def collection_prefix(prefix: str, generation: Generation) -> str:
    """Return how the names of a generation's Milvus collections begin."""
    return f"{prefix}_g{generation.id}_"


class Applier:
    """Keeps the Milvus collection of one generation equal to its log.

    Args:
        store: The stored state.
        generation: Whose codes.
        connection: To Milvus; its timeout has to be at most a third of the lease.
        prefix: Of the names of Milvus collections.
        lease_s: See :class:`~indexer.milvus.lease.Lease`.
    """

    def __init__(
        self, store: Store, generation: Generation, connection: Connection, prefix: str, lease_s: float
    ) -> None:
        self.problem = ""
        self.lease = Lease(store.redis, store.keys, generation.id, lease_s)
        self._store = store
        self._generation = generation
        self._connection = connection
        self._prefix = collection_prefix(prefix, generation)
        self._log = Log(store.redis, generation.id, store.keys)
        self._held: Applied | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"milvus-{generation.id}", daemon=True)

    def start(self) -> None:
        """Write in the background, whenever the lease is free."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and give the lease back."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self.lease.take():
                    self._write_on()
                self._stop.wait(min(ASK_S, self.lease.lease_s / 4))
            except LeaseLostError as exc:
                logger.warning("%s", exc, extra={"action": "milvus_lease_lost", "generation": self._generation.id})
            except (HashreelError, redis.RedisError) as exc:
                self.problem = str(exc)
                logger.warning("Milvus is not written: %s", exc, extra={"action": "milvus_failed"})
                self._stop.wait(RETRY_S)
            except Exception as exc:
                # It must outlive any one bad entry, and say so.
                self.problem = f"{type(exc).__name__}: {exc}"
                logger.exception("the log could not be written into Milvus", extra={"action": "milvus_failed"})
                self._stop.wait(RETRY_S)

    def _write_on(self) -> None:
        try:
            applied = self.begin()
            while not self._stop.is_set():
                applied = self.step(applied)
        finally:
            with suppress(redis.RedisError):  # then it runs out by itself
                self.lease.end()

    # One step after the other; tests take them by hand.

    def begin(self) -> Applied:
        """Return what Milvus holds, after building it if need be; the lease must be ours.

        Raises:
            LeaseLostError: If it is not.
            UnavailableError: If Milvus does not answer.
        """
        applied = read_applied(self._store.redis, self._store.keys, self._generation.id)
        if applied is not None and self._continues(applied):
            return self._stored(applied.collection, applied.position)
        return self._build()

    def _continues(self, applied: Applied) -> bool:
        """Return whether Milvus holds what is stored, and no more than the log after it will say again."""
        if applied != self._held and applied.run != self._store.server_run():
            # Redis was restarted since, and nobody remembers whether it had been further: what Milvus was told to
            # delete then may be alive again.
            return False
        if applied.collection not in self._connection.collections(self._prefix):
            return False
        try:
            self._log.read(applied.position, limit=1)
        except LogBrokenError:
            return False
        return True

    def step(self, applied: Applied) -> Applied:
        """Write the next entries of the log, or wait a moment for some; return what Milvus holds then."""
        self.lease.guard()
        entries = self._log.read(applied.position, limit=ENTRIES)
        if not entries:
            self.problem = ""
            self._log.wait(applied.position, IDLE_WAIT_MS)
            return applied
        # Until the position is stored, Redis may forget what Milvus is told now.
        self._held = None
        self._apply(self._collection(applied.collection), entries)
        return self._stored(applied.collection, entries[-1].position)

    def _stored(self, collection: str, position: LogPosition) -> Applied:
        applied = Applied(collection, position, self._store.server_run())
        self.lease.store(applied)
        self._held = applied
        return applied

    def _collection(self, name: str) -> MilvusCollection:
        return MilvusCollection(self._connection, name, self._generation.bits)

    def _apply(self, collection: MilvusCollection, entries: Sequence[Entry]) -> None:
        """Write what entries say. A number never comes back, so all deletions may follow all puts."""
        gone = sorted({entry.video for entry in entries if entry.op in {"delete", "replace"}})
        puts = [entry for entry in entries if entry.op == "put" and entry.video not in gone]
        values = self._store.values_of([(entry.video, entry.chunk) for entry in puts])
        parts = [
            self._rows(entry.video, entry.chunk, value, entry.sha) for entry, value in zip(puts, values, strict=True)
        ]
        ids, codes = self._joined(parts)
        if len(ids):
            self.lease.guard()
            collection.upsert(ids, codes, self.lease.guard)
        if gone:
            self.lease.guard()
            collection.delete(check_ranges(np.array([video_range(video) for video in gone], np.int64)))

    def _rows(self, video: int, number: int, value: bytes | None, sha: str) -> tuple[NDArray[np.int64], Codes] | None:
        """Return the frames of a stored value; None if it cannot be had, which the searchers report."""
        if value is None or value_sha(value) != sha:
            return None
        try:
            chunk = checked_chunk(value, self._generation)
        except LogCorruptError:
            return None
        base = chunk_base(video, number)
        return np.arange(base, base + len(chunk), dtype=np.int64), chunk.codes

    def _joined(self, parts: Sequence[tuple[NDArray[np.int64], Codes] | None]) -> tuple[NDArray[np.int64], Codes]:
        there = [part for part in parts if part is not None and len(part[0])]
        if not there:
            return np.empty(0, np.int64), np.empty((0, 0), np.uint8)
        return np.concatenate([ids for ids, _ in there]), np.concatenate([codes for _, codes in there])

    # Building

    def _build(self) -> Applied:
        """Load all live values into a new collection, replay the log over it, and let the searchers turn to it."""
        name = self._prefix + secrets.token_hex(4)
        before = self._log.tail()
        self.lease.guard()
        collection = self._connection.create(name, self._generation.bits)
        numbers = self._store.video_numbers(self._generation.id)
        for first in range(0, len(numbers), SCAN_VIDEOS):
            self._load(collection, numbers[first : first + SCAN_VIDEOS])
        position, tail = before, self._log.tail()
        while position.order < tail.order and (entries := self._log.read(position, limit=ENTRIES)):
            self._apply(collection, entries)
            position = entries[-1].position
        applied = self._stored(name, position)
        for old in self._connection.collections(self._prefix):
            if old != name:
                self.lease.guard()
                self._connection.drop(old)
        logger.info("Milvus loaded", extra={"action": "milvus_built", "collection": name, "videos": len(numbers)})
        return applied

    def _load(self, collection: MilvusCollection, numbers: Sequence[int]) -> None:
        """Write all chunks of videos; the collection is new, so they need not be looked for."""
        parts = []
        shas, values = self._store.chunk_shas(numbers), self._store.chunk_values(numbers)
        for record, committed, stored in zip(self._store.find_videos(numbers), shas, values, strict=True):
            if record is not None and record.state not in {"deleted", "cancelled"}:
                parts += [self._rows(record.id, n, stored.get(n), sha) for n, sha in sorted(committed.items())]
        ids, codes = self._joined(parts)
        if len(ids):
            collection.insert(ids, codes, self.lease.guard)

    def discard(self) -> None:
        """Remove the generation's collections from Milvus; it is being dropped."""
        self.close()
        try:
            for name in self._connection.collections(self._prefix):
                self._connection.drop(name)
            self._store.redis.delete(self._store.keys.milvus(self._generation.id))
        except (HashreelError, NotFoundError) as exc:
            logger.warning("collections stay in Milvus: %s", exc, extra={"action": "milvus_failed"})
