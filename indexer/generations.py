"""Generations of a collection: made beside the live one, cut over to in one write, rolled back, dropped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from hashreel.errors import ConflictError, NotFoundError
from indexer.records import Generation
from indexer.store import Store

__all__ = ["Generations"]

DROP_SLICE = 500

# KEYS: collections, history, the new generation. ARGV: collection, new generation.
_CUT_OVER = """
if redis.call('HGET', KEYS[3], 'collection') ~= ARGV[1] then return 'unknown' end
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old == ARGV[2] then return 'live' end
if old then redis.call('LPUSH', KEYS[2], old) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'ok'
"""

# KEYS: collections, history. ARGV: collection.
_ROLL_BACK = """
local before = redis.call('LPOP', KEYS[2])
if not before then return '' end
redis.call('HSET', KEYS[1], ARGV[1], before)
return before
"""


class Generations:
    """Changes which generation a collection points at.

    Args:
        store: The stored state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._redis, self._keys = store.redis, store.keys
        self._cut_over = self._redis.register_script(_CUT_OVER)
        self._roll_back = self._redis.register_script(_ROLL_BACK)

    def of(self, collection: str) -> list[Generation]:
        """Return all generations of a collection, oldest first."""
        members = cast("list[bytes]", self._redis.zrange(self._keys.generations(collection), 0, -1))
        return [self._store.generation(member.decode()) for member in members]

    def cut_over(self, collection: str, generation: str) -> Generation:
        """Let a collection point at another of its generations, from one moment to the next.

        Raises:
            NotFoundError: If the collection has no such generation.
            ConflictError: If it is the live one.
        """
        keys = [self._keys.collections, self._keys.history(collection), self._keys.generation(generation)]
        reply = cast("bytes", self._cut_over(keys=keys, args=[collection, generation])).decode()
        if reply == "unknown":
            raise NotFoundError(f"collection {collection!r} has no generation {generation}")
        if reply == "live":
            raise ConflictError(f"generation {generation} is the live one of collection {collection!r}")
        return self._store.generation(generation)

    def count_lacking(self, live: str, target: str) -> tuple[int, int]:
        """Return how many sources of one generation another has not indexed, and how many the first has."""
        places = set(cast("list[bytes]", self._redis.hkeys(self._keys.places(live))))
        return len(places - set(cast("list[bytes]", self._redis.hkeys(self._keys.places(target))))), len(places)

    def twins(self, video: int) -> list[int]:
        """Return the videos of the same source and policy in the other generations of a video's collection."""
        number, place = cast("list[bytes | None]", self._redis.hmget(self._keys.video(video), "generation", "place"))
        if number is None or not place:
            return []
        others = [one.id for one in self.of(self._store.generation(number.decode()).collection)]
        return [twin for other in others if other != number.decode() for twin in self._at(other, place)]

    def _at(self, generation: str, place: bytes) -> list[int]:
        """Return what is indexed at a place, and what is on its way there."""
        indexed = cast("bytes | None", self._redis.hget(self._keys.places(generation), place.decode()))
        if indexed is not None:
            return [int(indexed)]
        numbers, found = self._store.video_numbers(generation), []
        for first in range(0, len(numbers), DROP_SLICE):
            part = numbers[first : first + DROP_SLICE]
            with self._redis.pipeline(transaction=False) as pipe:
                for video in part:
                    pipe.hmget(self._keys.video(video), "place", "state")
                rows = pipe.execute()
            open_ = {b"queued", b"encoding"}
            found += [video for video, row in zip(part, rows, strict=True) if row[0] == place and row[1] in open_]
        return found

    def roll_back(self, collection: str) -> Generation:
        """Let a collection point at the generation before the last cut-over.

        Raises:
            ConflictError: If there was no cut-over, or the generation before it was dropped.
        """
        keys = [self._keys.collections, self._keys.history(collection)]
        before = cast("bytes", self._roll_back(keys=keys, args=[collection])).decode()
        if not before:
            raise ConflictError(f"collection {collection!r} has no generation to go back to")
        return self._store.generation(before)

    def drop(self, generation: str) -> int:
        """Remove a generation that no collection points at, with its log and values; return how many videos it had.

        Raises:
            ConflictError: If it is live.
        """
        record = self._store.generation(generation)
        live = cast("bytes | None", self._redis.hget(self._keys.collections, record.collection))
        if live is not None and live.decode() == generation:
            raise ConflictError(
                f"generation {generation} is the live one of collection {record.collection!r}; cut over first, or drop "
                "the collection"
            )
        return self._remove(record)

    def drop_collection(self, collection: str) -> int:
        """Remove a collection with all of its generations; return how many videos it had."""
        generations = self.of(collection) or [self._store.collection(collection)]
        self._redis.hdel(self._keys.collections, collection)
        return sum(self._remove(generation) for generation in generations)

    def _remove(self, record: Generation) -> int:
        self._redis.lrem(self._keys.history(record.collection), 0, record.id)
        numbers = self._store.video_numbers(record.id)
        for first in range(0, len(numbers), DROP_SLICE):
            part = numbers[first : first + DROP_SLICE]
            for video in self._store.find_videos(part):
                if video is not None and video.state in {"queued", "encoding"}:
                    # So that the job that waits for it comes to an end.
                    self._store.cancel(video.id)
            self._redis.unlink(*(key for v in part for key in self._keys.of_video(v)))
            self._forget(part)
        # The record goes last: a drop that was interrupted can be repeated.
        self._redis.unlink(*self._keys.of_generation(record.id))
        self._redis.zrem(self._keys.generations(record.collection), record.id)
        return len(numbers)

    def _forget(self, videos: Sequence[int]) -> None:
        """Leave nothing to do of videos whose values have gone, but for thumbnails, which lie where workers write."""
        if self._redis.exists(self._keys.thumbnail_bytes):
            self._redis.zadd(self._keys.gone, dict.fromkeys(map(str, videos), time.time()))
        else:
            self._redis.zrem(self._keys.gone, *videos)
