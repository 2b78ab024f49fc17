"""Suppression lists: frames that look like an example (an intro, a logo) are left out of answers.

The example is kept as a picture, so that it is encoded anew for every model. Which frames are suppressed is found by a
radius search for each example, once for each position of the log.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import redis
from numpy.typing import NDArray

from encoder.codes import Codes
from hashreel.errors import ConflictError, NotFoundError
from indexer.columns import Columns
from indexer.gallery import Gallery
from indexer.index import Index
from indexer.ranges import Ranges, ranges_of_ids
from indexer.records import Generation, LogPosition

if TYPE_CHECKING:
    from indexer.store import Store

__all__ = ["MAX_EXAMPLES", "Example", "SuppressionLists"]

MAX_EXAMPLES = 100
FRESH_S = 1.0
NOTHING = np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Example:
    """One entry of a list: frames within ``radius`` of its picture's code are left out."""

    id: str
    name: str
    radius: int
    created_at: float


@dataclass(frozen=True)
class _Suppressed:
    """Which frames are suppressed at a position, by which entries."""

    position: LogPosition
    entries: tuple[Example, ...]
    ranges: Ranges


class SuppressionLists:
    """The lists of all collections.

    Args:
        store: The stored state.
        encode: Returns the code of a picture's bytes by a generation's model, uint8 [ceil(bits / 8)].
    """

    def __init__(self, store: Store, encode: Callable[[bytes, Generation], Codes]) -> None:
        self._redis = store.redis
        self._keys = store.keys
        self._encode = encode
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, tuple[Example, ...]]] = {}
        self._codes: dict[tuple[str, str], Codes] = {}
        self._suppressed: dict[str, _Suppressed] = {}

    def add(self, collection: str, name: str, radius: int, picture: bytes) -> Example:
        """Add an example and return it; ConflictError if the list is full."""
        if len(self.entries(collection, fresh=True)) >= MAX_EXAMPLES:
            raise ConflictError(f"the suppression list of {collection!r} is full ({MAX_EXAMPLES}); remove one first")
        example = Example(secrets.token_hex(6), name, radius, time.time())
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(self._keys.suppression_pictures(collection), example.id, picture)
            pipe.hset(self._keys.suppressions(collection), example.id, json.dumps(asdict(example)))
            pipe.execute()
        self._known.pop(collection, None)
        return example

    def remove(self, collection: str, id_: str) -> Example:
        """Remove an example and return it; NotFoundError if there is none."""
        example = next((entry for entry in self.entries(collection, fresh=True) if entry.id == id_), None)
        if example is None:
            raise NotFoundError(f"collection {collection!r} suppresses nothing by the id {id_!r}")
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hdel(self._keys.suppressions(collection), id_)
            pipe.hdel(self._keys.suppression_pictures(collection), id_)
            pipe.execute()
        self._known.pop(collection, None)
        return example

    def drop(self, collection: str) -> None:
        """Forget the list of a collection that is no more."""
        self._redis.delete(self._keys.suppressions(collection), self._keys.suppression_pictures(collection))
        self._known.pop(collection, None)

    def entries(self, collection: str, *, fresh: bool = False) -> tuple[Example, ...]:
        """Return a list's entries, oldest first; as of a second ago unless ``fresh``.

        While Redis is down it is what was known last.
        """
        read_at, known = self._known.get(collection, (float("-inf"), ()))
        if not fresh and time.monotonic() - read_at < FRESH_S:
            return known
        try:
            rows = self._redis.hvals(self._keys.suppressions(collection))
        except redis.RedisError:
            if fresh:
                raise
            return known
        found = tuple(sorted((Example(**json.loads(row)) for row in rows), key=lambda e: (e.created_at, e.id)))
        self._known[collection] = (time.monotonic(), found)
        return found

    def suppressed(self, gallery: Gallery) -> Ranges:
        """Return the ids of the gallery's frames that are suppressed now, int64 [m, 2]."""
        generation = gallery.generation
        entries = self.entries(generation.collection)
        if not entries:
            return NOTHING
        with self._lock:
            last = self._suppressed.get(generation.id)
            if last is None or last.entries != entries or last.position != gallery.position:
                last = self._suppressed[generation.id] = self._find(gallery, entries)
        return last.ranges

    def matching(self, gallery: Gallery, example: Example) -> int:
        """Return how many frames an example suppresses by itself."""
        return int(np.diff(self._find(gallery, (example,)).ranges, axis=1).sum())

    def _find(self, gallery: Gallery, entries: tuple[Example, ...]) -> _Suppressed:
        codes = np.stack([self.code(gallery.generation, entry) for entry in entries])
        radii = np.array([entry.radius for entry in entries], np.int32)

        def read(index: Index, _: Columns) -> NDArray[np.int64]:
            return np.concatenate([ids for _, ids in index.within(codes, np.minimum(radii, index.bits))])

        ids, position = gallery.look(read)
        return _Suppressed(position, entries, ranges_of_ids(ids))

    def code(self, generation: Generation, entry: Example) -> Codes:
        """Return an example's code by a generation's model, uint8 [ceil(bits / 8)].

        Raises:
            NotFoundError: If it was removed meanwhile.
        """
        key = (generation.fingerprint, entry.id)
        if key not in self._codes:
            key_name = self._keys.suppression_pictures(generation.collection)
            picture = cast("bytes | None", self._redis.hget(key_name, entry.id))
            if picture is None:
                raise NotFoundError(f"the picture of suppression {entry.id} ({entry.name}) was removed; try again")
            self._codes[key] = self._encode(picture, generation)
        return self._codes[key]
