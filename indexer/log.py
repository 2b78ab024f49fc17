"""Reading the log: entries after a position, and proof that it is still the same log."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, cast

import redis

from hashreel.errors import HashreelError, NotFoundError
from indexer.keys import Keys
from indexer.records import LogPosition

__all__ = ["Entry", "Log", "LogBrokenError"]


class LogBrokenError(HashreelError):
    """The log no longer holds the position that was read up to: rolled back, replaced or trimmed."""


@dataclass(frozen=True)
class Entry:
    """One entry of the log.

    Attributes:
        position: Where it stands.
        op: "put", "delete", "replace" or "meta".
        video: Number of the video that it is about (for "replace", the old one).
        chunk: Chunk number of a put.
        sha: SHA-256 of the value of a put, hex.
        tags: All tags of the video, of a meta entry that changes them.
        source: The video's new name, of a meta entry that changes it.
    """

    position: LogPosition
    op: str
    video: int
    chunk: int = 0
    sha: str = ""
    tags: dict[str, str] | None = None
    source: str | None = None


class Log:
    """The log of one generation, as a reader sees it."""

    def __init__(self, client: redis.Redis, generation: str, keys: Keys | None = None) -> None:
        self.redis = client
        self.generation = generation
        keys = keys or Keys()
        self._log, self._head = keys.log(generation), keys.head(generation)

    def tail(self) -> LogPosition:
        """Return the position of the last entry (the epoch's, in an empty log)."""
        log_id, chain = cast("list[bytes | None]", self.redis.hmget(self._head, "id", "hash"))
        if log_id is None or chain is None:
            raise NotFoundError(f"there is no log of generation {self.generation}")
        return LogPosition(log_id.decode(), chain.decode())

    def read(self, after: LogPosition, *, limit: int = 512) -> list[Entry]:
        """Return up to ``limit`` entries that follow a position.

        Raises:
            LogBrokenError: If the log does not hold that position with that running hash.
        """
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hget(self._head, "epoch")
            pipe.xrange(self._log, after.log_id, after.log_id)
            pipe.xrange(self._log, f"({after.log_id}", "+", count=limit)
            epoch, here, following = pipe.execute()
        if after.log_id == "0-0":
            known = epoch is not None and epoch.decode() == after.chain
        else:
            known = bool(here) and here[0][1].get(b"h") == after.chain.encode()
        if not known:
            raise LogBrokenError(f"the log of generation {self.generation} does not hold {after.log_id} any more")
        entries, chain = [], after.chain
        for raw in following:
            entry = _entry(raw)
            chain = _continue(chain, raw[1])
            if entry.position.chain != chain:
                # The beginning was trimmed, or what is stored is not what was appended.
                raise LogBrokenError(f"entry {entry.position.log_id} does not continue the log that was read so far")
            entries.append(entry)
        return entries

    def wait(self, after: LogPosition, timeout_ms: int) -> None:
        """Return when an entry after a position exists, or when the time is up."""
        self.redis.xread({self._log: after.log_id}, count=1, block=timeout_ms)


def _continue(chain: str, fields: dict[bytes, Any]) -> str:
    """Return the running hash after an entry; the twin of ``append`` in the scripts."""
    parts = [part for pair in fields.items() if pair[0] != b"h" for part in pair]
    return hashlib.sha1(b"\0".join([chain.encode(), *parts]), usedforsecurity=False).hexdigest()


def _entry(raw: tuple[bytes, dict[bytes, Any]]) -> Entry:
    log_id, fields = raw
    try:
        return Entry(
            position=LogPosition(log_id.decode(), fields[b"h"].decode()),
            op=fields[b"op"].decode(),
            video=int(fields[b"v"]),
            chunk=int(fields.get(b"c", 0)),
            sha=fields.get(b"s", b"").decode(),
            tags=json.loads(fields[b"tags"]) if b"tags" in fields else None,
            source=fields[b"source"].decode("utf-8", "replace") if b"source" in fields else None,
        )
    except (KeyError, ValueError) as exc:
        raise LogBrokenError(f"entry {log_id.decode()} of the log is not one that Hashreel writes") from exc
