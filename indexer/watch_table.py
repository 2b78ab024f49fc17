"""What a chunk's codes are compared with while it is committed: the watch codes of its generation.

A table has a token, a random text that changes with every change of it. The commit names the token of the table that
was compared with, and is refused if the generation has another one by then: so each chunk is compared with exactly
the watches that there are at the moment of its commit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from encoder.codes import Codes, code_from_hex, code_to_hex, num_code_bytes
from indexer.chunks import Chunk, frame_id
from indexer.keys import Keys

__all__ = ["MAX_HITS", "NO_WATCHES", "SUPPRESSION", "Matched", "WatchEntry", "WatchTable", "read_table"]

MAX_HITS = 10_000
"""Hits that are kept of one watch in one generation; those beyond are counted."""
SUPPRESSION = "s:"
# Words of 64 bits that a block of the comparison takes, so that a long chunk and many watches need little memory.
BLOCK_WORDS = 1 << 20


@dataclass(frozen=True)
class WatchEntry:
    """One watch (or, with an id that begins with ``s:``, one suppressed example) in the codes of one generation.

    Attributes:
        id: Of the watch.
        codes: uint8 [c, ceil(bits / 8)]; a frame matches that is within the radius of any of them.
        radius: Largest Hamming distance, inclusive.
        tags: The values that a video's tags may have, all of these names.
        between_ms: Start (inclusive) and end (exclusive) of the frames' times.
        concepts: Mask of concepts that a frame must contain, all of them.
        least_level: Least level of area of each of these.
        with_suppressed: Whether frames that are suppressed match, too.
        hook: Whether hits go to a webhook.
        problem: Why it cannot match anything in this generation; empty if it can.
    """

    id: str
    codes: Codes
    radius: int
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    between_ms: tuple[int, int] | None = None
    concepts: int = 0
    least_level: int = 1
    with_suppressed: bool = False
    hook: bool = False
    problem: str = ""

    @property
    def is_suppression(self) -> bool:
        """Whether it keeps frames from matching."""
        return self.id.startswith(SUPPRESSION)

    def to_json(self) -> str:
        """Return its stored form; the scripts read ``tags`` and ``hook``."""
        fields: dict[str, Any] = {
            "codes": [code_to_hex(code) for code in self.codes],
            "radius": self.radius,
            "concepts": self.concepts,
            "level": self.least_level,
            "suppressed": self.with_suppressed,
            "hook": self.hook,
            "problem": self.problem,
        }
        if self.tags:
            fields["tags"] = {name: list(values) for name, values in self.tags.items()}
        if self.between_ms is not None:
            fields["between"] = list(self.between_ms)
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, id_: str, text: str | bytes, bits: int) -> WatchEntry:
        """Return the entry of a stored form."""
        raw = json.loads(text)
        codes = [code_from_hex(code, bits) for code in raw["codes"]]
        return cls(
            id=id_,
            codes=np.array(codes, np.uint8).reshape(-1, num_code_bytes(bits)),
            radius=int(raw["radius"]),
            tags=raw.get("tags", {}),
            between_ms=tuple(raw["between"]) if "between" in raw else None,
            concepts=int(raw["concepts"]),
            least_level=int(raw["level"]),
            with_suppressed=bool(raw["suppressed"]),
            hook=bool(raw["hook"]),
            problem=str(raw["problem"]),
        )


@dataclass(frozen=True)
class Matched:
    """The frames of a chunk that one watch matches, the nearest first.

    Attributes:
        watch: Id of the watch.
        hits: (index in the chunk, time in ms, distance) of at most ``MAX_HITS`` frames.
        lost: How many more matched.
    """

    watch: str
    hits: list[tuple[int, int, int]]
    lost: int = 0

    def to_message(self, video: int, chunk: int) -> dict[str, Any]:
        """Return it as the scripts take it; frame ids are text, since Lua rounds large numbers."""
        hits = [[str(frame_id(video, chunk, index)), time_ms, distance] for index, time_ms, distance in self.hits]
        return {"w": self.watch, "hits": hits, "lost": self.lost}


@dataclass(frozen=True)
class WatchTable:
    """All watches and suppressed examples of a generation as they stand at one moment.

    Attributes:
        token: Names this state of the table; empty where the generation never had a watch.
    """

    token: str
    entries: tuple[WatchEntry, ...] = ()

    def match(self, chunk: Chunk) -> list[Matched]:
        """Return what the watches match in a chunk. Tags are not looked at: the commit does that."""
        entries = [entry for entry in self.entries if len(entry.codes)]
        if not len(chunk) or all(entry.is_suppression for entry in entries):
            return []
        distances = _distances(chunk.codes, entries)
        is_near = distances <= np.array([entry.radius for entry in entries])
        muted = [column for column, entry in enumerate(entries) if entry.is_suppression]
        is_muted = is_near[:, muted].any(axis=1)
        found = []
        for column, entry in enumerate(entries):
            if entry.is_suppression:
                continue
            is_hit = is_near[:, column] & _passes(chunk, entry)
            if not entry.with_suppressed:
                is_hit &= ~is_muted
            rows = np.flatnonzero(is_hit)
            if len(rows):
                found.append(_matched(entry.id, rows, distances[rows, column], chunk))
        return found


NO_WATCHES = WatchTable("")


def _distances(codes: Codes, entries: Sequence[WatchEntry]) -> NDArray[np.int64]:
    """Return the distance of each code to the nearest code of each entry, int64 [n, entries]."""
    firsts = np.cumsum([0, *(len(entry.codes) for entry in entries[:-1])])
    frames, wanted = _words(codes), _words(np.concatenate([entry.codes for entry in entries]))
    step = max(1, BLOCK_WORDS // max(1, wanted.size))
    blocks = [np.empty((0, len(firsts)), np.int64)]
    for start in range(0, len(frames), step):
        differing = frames[start : start + step, None] ^ wanted  # (block, examples, words)
        counts = np.bitwise_count(differing).sum(axis=2, dtype=np.int64)
        blocks.append(np.minimum.reduceat(counts, firsts, axis=1))
    return np.concatenate(blocks)


def _words(codes: Codes) -> NDArray[np.uint64]:
    """Return codes as words of 64 bits, padded with zeros, uint64 [n, words]."""
    width = -(-codes.shape[1] // 8) * 8
    padded = np.zeros((len(codes), width), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view(np.uint64)


def _passes(chunk: Chunk, entry: WatchEntry) -> NDArray[np.bool_]:
    """Return which frames of a chunk pass an entry's filters on frames, bool [n]."""
    passes = np.ones(len(chunk), np.bool_)
    if entry.between_ms is not None:
        passes &= (chunk.times_ms >= entry.between_ms[0]) & (chunk.times_ms < entry.between_ms[1])
    if entry.concepts:
        if chunk.concepts is None:
            return np.zeros(len(chunk), np.bool_)
        passes &= (chunk.concepts & np.uint32(entry.concepts)) == np.uint32(entry.concepts)
        if entry.least_level > 1 and chunk.areas is not None:
            columns = [c for c in range(chunk.areas.shape[1]) if entry.concepts >> c & 1]
            passes &= (chunk.areas[:, columns] >= entry.least_level).all(axis=1)
    return passes


def _matched(watch: str, rows: NDArray[np.intp], distances: NDArray[np.int64], chunk: Chunk) -> Matched:
    order = np.lexsort((rows, distances))[:MAX_HITS]
    hits = [(int(rows[at]), int(chunk.times_ms[rows[at]]), int(distances[at])) for at in order]
    return Matched(watch, hits, len(rows) - len(hits))


def read_table(client: redis.Redis, keys: Keys, generation: str, bits: int) -> WatchTable:
    """Return a generation's table as it is now, token and entries of one moment."""
    with client.pipeline(transaction=True) as pipe:
        pipe.hget(keys.generation(generation), "watches")
        pipe.hgetall(keys.watch_entries(generation))
        token, raw = pipe.execute()
    entries = [WatchEntry.from_json(id_.decode(), text, bits) for id_, text in sorted(raw.items())]
    return WatchTable(token.decode() if token else "", tuple(entries))
