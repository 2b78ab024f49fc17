"""Watch-lists in Redis: the watches, what they found, and what was said of it.

A watch belongs to a collection and keeps its pictures; each generation has its own table of entries (see
``indexer.watch_table``) and its own hits, so that a new model is watched for beside the live one and its hits show from
the moment of the cut-over on.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import redis

from hashreel.errors import NotFoundError
from indexer import scripts, watch_scripts
from indexer.chunks import split_frame_id
from indexer.store import Store
from indexer.watch_table import MAX_HITS, Matched, WatchEntry, WatchTable, read_table

__all__ = ["StoredHit", "WatchExample", "WatchRecord", "Watches"]

# Only what this token asked for is done; what was asked for since stays.
_SEARCHED = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end"
LAST = "\x7f"  # sorts after every digit


@dataclass(frozen=True)
class WatchExample:
    """What a watch looks for: a code of one model and, to be encoded by others, a picture.

    Attributes:
        code: Hex, by the model that was live when the watch was made.
        fingerprint: Of that model.
        has_picture: Whether a picture is kept.
    """

    code: str
    fingerprint: str
    has_picture: bool


@dataclass(frozen=True)
class WatchRecord:
    """A watch as stored.

    Attributes:
        secret: Signs what is sent to its webhook.
        old_secret: The one before; signs, too, until ``old_until`` (seconds since 1970).
    """

    id: str
    collection: str
    name: str
    note: str
    radius: int
    examples: tuple[WatchExample, ...]
    tags: dict[str, list[str]]
    between_ms: tuple[int, int] | None
    concepts: tuple[str, ...]
    min_area: float | None
    with_suppressed: bool
    webhook: str
    secret: str
    created_at: float
    paused: bool = False
    old_secret: str = ""
    old_until: float = 0.0

    @classmethod
    def from_json(cls, text: str | bytes) -> WatchRecord:
        """Return the record of its stored form."""
        # A newer process may have stored more.
        known = {one.name for one in fields(cls)}
        raw = {name: value for name, value in json.loads(text).items() if name in known}
        raw["examples"] = tuple(WatchExample(**example) for example in raw["examples"])
        raw["concepts"] = tuple(raw["concepts"])
        raw["between_ms"] = tuple(raw["between_ms"]) if raw["between_ms"] else None
        return cls(**raw)

    def signing(self, now: float) -> tuple[str, ...]:
        """Return the secrets that a message is signed with now."""
        return (self.secret, self.old_secret) if now < self.old_until else (self.secret,)


@dataclass(frozen=True)
class StoredHit:
    """A hit of a watch.

    Attributes:
        identity: Which moment of which content it is, whatever the model.
        place: Where in the list; ``before`` takes it.
        mark: What was said of it: state, by, at, note; empty while it is new.
    """

    frame_id: int
    identity: str
    time_ms: int
    distance: int
    found_at: float
    place: str
    mark: dict[str, Any]


class Watches:
    """Reads and changes watches and their hits.

    Args:
        store: The stored state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._redis, self._keys = store.redis, store.keys
        self._set = self._redis.register_script(watch_scripts.SET_ENTRIES)
        self._keep = self._redis.register_script(scripts.KEEP_HITS)
        self._searched = self._redis.register_script(_SEARCHED)

    # Watches

    def save(self, record: WatchRecord, pictures: Mapping[int, bytes] | None = None) -> None:
        """Store a watch, new or changed, with its pictures by the number of their example."""
        with self._redis.pipeline(transaction=True) as pipe:
            for number, picture in (pictures or {}).items():
                pipe.hset(self._keys.watch_pictures, f"{record.id}:{number}", picture)
            pipe.hset(self._keys.watches, record.id, json.dumps(asdict(record)))
            pipe.execute()

    def change(self, watch: str, change: Callable[[WatchRecord], WatchRecord]) -> tuple[WatchRecord, WatchRecord]:
        """Change a stored watch, and lose nothing that somebody else changes meanwhile; return it before and after.

        Raises:
            NotFoundError: If there is none (any more).
        """
        with self._redis.pipeline(transaction=True) as pipe:
            while True:
                with suppress(redis.WatchError):
                    pipe.watch(self._keys.watches)  # type: ignore[no-untyped-call]
                    before = self.find(watch)
                    after = change(before)
                    pipe.multi()
                    pipe.hset(self._keys.watches, watch, json.dumps(asdict(after)))
                    pipe.execute()
                    return before, after

    def find(self, watch: str) -> WatchRecord:
        """Return a watch; NotFoundError if there is none."""
        raw = cast("bytes | None", self._redis.hget(self._keys.watches, watch))
        if raw is None:
            raise NotFoundError(f"there is no watch {watch!r}")
        return WatchRecord.from_json(raw)

    def of(self, collection: str) -> list[WatchRecord]:
        """Return the watches of a collection, oldest first."""
        rows = map(WatchRecord.from_json, cast("list[bytes]", self._redis.hvals(self._keys.watches)))
        return sorted((r for r in rows if r.collection == collection), key=lambda r: (r.created_at, r.id))

    def picture(self, watch: str, number: int) -> bytes:
        """Return an example's picture (JPEG); NotFoundError if none is kept."""
        raw = cast("bytes | None", self._redis.hget(self._keys.watch_pictures, f"{watch}:{number}"))
        if raw is None:
            raise NotFoundError(f"watch {watch} keeps no picture {number}")
        return raw

    def remove(self, record: WatchRecord, generations: Collection[str]) -> None:
        """Forget a watch with its hits and all that was to be sent."""
        self._redis.hdel(self._keys.watches, record.id)
        for generation in generations:
            self.set_entries(generation, {record.id: None})
            self._drop_hits(generation, record.id)
        deliveries = cast("list[bytes]", self._redis.zrange(self._keys.watch_deliveries(record.id), 0, -1))
        keys = self._keys
        with self._redis.pipeline(transaction=True) as pipe:
            for name in (raw.decode() for raw in deliveries):
                pipe.zrem(keys.deliveries, name)
                pipe.delete(keys.delivery(name))
            pipe.hdel(keys.watch_pictures, *(f"{record.id}:{number}" for number in range(len(record.examples))))
            pipe.delete(*(f(record.id) for f in (keys.watch_marks, keys.watch_sent, keys.watch_deliveries)))
            pipe.delete(keys.watch_dead(record.id))
            pipe.execute()

    def _drop_hits(self, generation: str, watch: str) -> None:
        keys = self._keys
        places = self._redis.zrangebylex(keys.watch_order(generation), f"[{watch}:", f"[{watch}:{LAST}")
        frames = [int(place.rpartition(b":")[2]) for place in cast("list[bytes]", places)]
        with self._redis.pipeline(transaction=True) as pipe:
            for frame in frames:
                pipe.hdel(keys.watch_hits(generation), f"{watch}:{frame}")
                pipe.srem(keys.hits_of_video(split_frame_id(frame)[0]), f"{watch}:{frame}")
            pipe.zremrangebylex(keys.watch_order(generation), f"[{watch}:", f"[{watch}:{LAST}")
            pipe.hdel(keys.watch_lost(generation), f"{watch}:new", f"{watch}:stored")
            pipe.execute()

    # What workers compare with

    def table(self, generation: str, bits: int) -> WatchTable:
        """Return the entries of a generation."""
        return read_table(self._redis, self._keys, generation, bits)

    def entry_ids(self, generation: str) -> set[str]:
        """Return the ids of a generation's entries."""
        return {raw.decode() for raw in cast("list[bytes]", self._redis.hkeys(self._keys.watch_entries(generation)))}

    def set_entries(
        self, generation: str, entries: Mapping[str, WatchEntry | None], *, search: Collection[str] = ()
    ) -> bool:
        """Change a generation's table in one step; every chunk that is committed afterwards is compared with it.

        Args:
            generation: Whose table.
            entries: By id; None takes one away. An entry of a watch that is no more is not taken.
            search: Those for which the frames that are stored already are to be searched, too.

        Returns:
            Whether there is such a generation.
        """
        args: list[Any] = [self._keys.prefix, generation, secrets.token_hex(8)]
        for id_, entry in entries.items():
            args += [id_, entry.to_json() if entry is not None else "", int(id_ in search)]
        return bool(self._set(args=args) == b"ok")

    # What is stored already

    def todo(self, generation: str) -> dict[str, str]:
        """Return the watches whose stored frames are to be searched, with the token that asks for it."""
        raw = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.watch_todo(generation)))
        return {id_.decode(): token.decode() for id_, token in raw.items()}

    def searched(self, generation: str, watch: str, token: str) -> None:
        """Note that the frames stored before a token are searched."""
        self._searched(keys=[self._keys.watch_todo(generation)], args=[watch, token])

    def keep(self, video: int, matched: Matched, frames: Sequence[int]) -> int:
        """Store what a watch matches among a video's stored frames, if they are still there; return how many are new.

        Args:
            video: Its number.
            matched: The hits; their indexes are places in ``frames``.
            frames: Frame ids.
        """
        hits = [[str(frames[index]), time_ms, distance] for index, time_ms, distance in matched.hits]
        group = json.dumps([{"w": matched.watch, "hits": hits, "lost": matched.lost}])
        return int(cast("int", self._keep(args=[*self._store._head(video), group, MAX_HITS])))

    # Hits

    def count(self, generation: str, watch: str) -> int:
        """Return how many hits of a watch are kept."""
        key = self._keys.watch_order(generation)
        return int(self._redis.zlexcount(key, f"[{watch}:", f"[{watch}:{LAST}"))

    def lost(self, generation: str, watch: str) -> int:
        """Return how many hits were not kept, there being too many."""
        key = self._keys.watch_lost(generation)
        return sum(
            int(raw or 0) for raw in cast("list[Any]", self._redis.hmget(key, f"{watch}:new", f"{watch}:stored"))
        )

    def count_marked(self, generation: str, watch: str) -> int:
        """Return how many of the kept hits were acknowledged or dismissed."""
        marked = set(cast("list[bytes]", self._redis.hkeys(self._keys.watch_marks(watch))))
        if not marked:
            return 0
        hits, before = 0, ""
        while page := self.page(generation, watch, 1000, before):
            hits += sum(hit.identity.encode() in marked for hit in page)
            before = page[-1].place
        return hits

    def page(self, generation: str, watch: str, limit: int, before: str = "") -> list[StoredHit]:
        """Return hits of a watch, the newest first, from a place on (exclusive)."""
        end = f"({watch}:{before}" if before else f"[{watch}:{LAST}"
        key = self._keys.watch_order(generation)
        raw = self._redis.zrevrangebylex(key, end, f"[{watch}:", start=0, num=limit)
        return self.hits(generation, watch, [place.decode().partition(":")[2] for place in cast("list[bytes]", raw)])

    def hits(self, generation: str, watch: str, places: Sequence[str]) -> list[StoredHit]:
        """Return the hits at some places ("FOUND:FRAME"), without those that are gone by now."""
        if not places:
            return []
        frames = [int(place.rpartition(":")[2]) for place in places]
        key = self._keys.watch_hits(generation)
        values = cast("list[bytes | None]", self._redis.hmget(key, [f"{watch}:{frame}" for frame in frames]))
        texts = [value.decode().split(" ") if value else None for value in values]
        identities = [text[0] if text else "" for text in texts]
        marks = cast("list[bytes | None]", self._redis.hmget(self._keys.watch_marks(watch), identities))
        return [
            StoredHit(frame, text[0], int(text[1]), int(text[2]), int(text[3]) / 1000, place, json.loads(mark or "{}"))
            for frame, place, text, mark in zip(frames, places, texts, marks, strict=True)
            if text is not None
        ]

    def mark(self, generation: str, watch: str, frames: Sequence[int], mark: Mapping[str, Any] | None) -> int:
        """Say something of hits, or nothing any more (None); return how many of the frames are hits."""
        hits = self.hits(generation, watch, [f":{frame}" for frame in frames])
        key = self._keys.watch_marks(watch)
        if hits and mark is None:
            self._redis.hdel(key, *(hit.identity for hit in hits))
        elif hits:
            self._redis.hset(key, mapping={hit.identity: json.dumps(mark) for hit in hits})
        return len(hits)

    def totals(self) -> dict[str, int]:
        """Return how often what happened since the beginning: "hits", "delivered", "failed", "dead"."""
        raw = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.watch_totals))
        return {name.decode(): int(count) for name, count in raw.items()}
