"""A writer that does odd things to the stored state, and a plain record of what the log said at each entry."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import redis
from stored_gallery import BITS, Frame, add_video, make_chunk, nearest

from indexer.chunks import Chunk, decode_chunk
from indexer.columns import Filter
from indexer.gallery import Found, Gallery
from indexer.records import Generation
from indexer.store import Store

WAIT_S = 30.0


def wait_until(is_so: Callable[[], bool], what: str, *, seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)


@dataclass
class Mirror:
    """Follows the log entry by entry, as far as it was written, and remembers every state on the way."""

    client: redis.Redis
    generation: Generation
    codes: dict[tuple[int, int], Chunk] = field(default_factory=dict)
    last: str = "0-0"
    alive: frozenset[tuple[int, int]] = frozenset()
    history: dict[str, frozenset[tuple[int, int]]] = field(default_factory=lambda: {"0-0": frozenset()})
    tags: dict[int, dict[str, str]] = field(default_factory=dict)

    def follow(self) -> None:
        for log_id, fields in self.client.xrange(f"hr:g:{self.generation.id}:log", f"({self.last}"):
            video, op = int(fields[b"v"]), fields[b"op"]
            if op == b"put":
                self.alive |= {(video, int(fields[b"c"]))}
            elif op in {b"delete", b"replace"}:
                self.alive = frozenset(pair for pair in self.alive if pair[0] != video)
            self.last = log_id.decode()
            self.history[self.last] = self.alive

    def frames(self, log_id: str) -> list[Frame]:
        """Return what was alive after an entry."""
        frames = []
        for video, chunk in sorted(self.history[log_id]):
            values = self.codes[video, chunk]
            for index, (code, time_ms) in enumerate(zip(values.codes, values.times_ms, strict=True)):
                frames.append(Frame(video * 2**32 + chunk * 2**20 + index, code.tobytes(), int(time_ms)))
        return frames

    def check(self, found: Found, query: np.ndarray, top: int) -> None:
        """Compare an answer with brute force over what the log said at the position that the answer carries."""
        frames = self.frames(found.position.log_id)
        expected = nearest(frames, query, top)
        assert [(frame.distance, frame.frame_id) for frame in found.frames] == expected
        assert found.size == len(frames)
        by_id = {frame.id: frame for frame in frames}
        for frame in found.frames:
            assert (frame.time_ms, frame.code.tobytes()) == (by_id[frame.frame_id].time_ms, by_id[frame.frame_id].code)
        if expected:
            every = nearest(frames, query, len(frames))
            assert found.tie_band == sum(distance == expected[-1][0] for distance, _ in every)


class Writer:
    """Does random things to one generation, as workers and users would."""

    def __init__(self, store: Store, generation: Generation, seed: int) -> None:
        self.store, self.generation = store, generation
        self.rng = np.random.default_rng(seed)
        self.mirror = Mirror(store.redis, generation)
        self.open: dict[int, list[int]] = {}
        self.whole: list[int] = []

    def step(self) -> None:
        kinds = ["commit"] * 8 + ["delete", "replace", "cancel", "tag", "purge"]
        getattr(self, "_" + str(self.rng.choice(kinds)))()
        self.mirror.follow()

    def start_over(self) -> None:
        """Take up the state as it is now: Redis was rolled back to an earlier one."""
        mirror = self.mirror
        mirror.last, mirror.alive, mirror.history = "0-0", frozenset(), {"0-0": frozenset()}
        records = self.store.find_videos(self.store.video_numbers(self.generation.id))
        there = [record for record in records if record is not None]
        self.whole = [record.id for record in there if record.state == "indexed"]
        self.open, mirror.tags, mirror.alive = {}, {}, frozenset()
        for record in there:
            values = self.store.chunk_values([record.id])[0]
            if record.tags:
                mirror.tags[record.id] = record.tags
            if record.state == "cancelled":
                continue
            if record.state in {"queued", "encoding"}:
                self.open[record.id] = [chunk for chunk in range(record.chunks) if chunk not in values]
            for chunk, value in values.items():
                mirror.codes[record.id, chunk] = decode_chunk(value)
                mirror.alive |= {(record.id, chunk)}
        head = self.store.redis.hget(f"hr:g:{self.generation.id}:head", "id")
        assert head is not None
        mirror.last = head.decode()
        mirror.history[mirror.last] = mirror.alive

    def query(self) -> np.ndarray:
        return make_chunk(self.rng, 1).codes[0]

    def commit_new(self, frames: int = 3, **fields: object) -> int:
        """Add a video of one chunk; return its number."""
        video = add_video(self.store, self.generation, 1, **fields)
        self._put(video, 0, make_chunk(self.rng, frames))
        self.whole.append(video)
        self.mirror.follow()
        return video

    def _put(self, video: int, chunk: int, values: Chunk) -> None:
        self.mirror.codes[video, chunk] = values
        self.store.commit(video, chunk, values)

    def _commit(self) -> None:
        if len(self.open) < 3:
            chunks = int(self.rng.integers(1, 4))
            video = add_video(self.store, self.generation, chunks)
            self.open[video] = [int(chunk) for chunk in self.rng.permutation(chunks)]
        video = int(self.rng.choice(list(self.open)))
        chunk = self.open[video].pop()
        # Empty chunks happen: nothing of interest in this stretch, or a damaged one.
        self._put(video, chunk, make_chunk(self.rng, int(self.rng.integers(0, 6)), start_ms=600_000 * chunk))
        if not self.open[video]:
            del self.open[video]
            self.whole.append(video)

    def _some(self) -> int | None:
        pool = self.whole + list(self.open)
        return int(self.rng.choice(pool)) if pool else None

    def _forget(self, video: int) -> None:
        self.open.pop(video, None)
        if video in self.whole:
            self.whole.remove(video)

    def _delete(self) -> None:
        video = self._some()
        if video is not None:
            self.store.delete(video)
            self._forget(video)

    def _replace(self) -> None:
        if self.whole:
            old = int(self.rng.choice(self.whole))
            self.commit_new(replaces=old)
            self._forget(old)

    def _cancel(self) -> None:
        if self.open:
            video = int(self.rng.choice(list(self.open)))
            keep = bool(self.rng.integers(2))
            reply = self.store.cancel(video, keep_partial=keep)
            self._forget(video)
            if reply == "kept":
                self.whole.append(video)

    def _tag(self) -> None:
        video = self._some()
        if video is not None:
            self.mirror.tags[video] = {"n": str(self.rng.integers(1000))}
            self.store.set_tags(video, self.mirror.tags[video])

    def _purge(self) -> None:
        self.store.purge(0)


def check_now(gallery: Gallery, writer: Writer, top: int = 12) -> None:
    """Let a gallery catch up and compare it with brute force."""
    writer.mirror.follow()
    assert gallery.catch_up(WAIT_S)
    query = writer.query()
    found = gallery.search(query, top)
    assert found.position.log_id == writer.mirror.last
    writer.mirror.check(found, query, top)
    for frame in found.frames:
        assert frame.tags == writer.mirror.tags.get(frame.video, {})


def check_forms(gallery: Gallery, writer: Writer) -> None:
    """Compare queries of every other form with brute force; the gallery has caught up and nobody writes."""
    rng, mirror = writer.rng, writer.mirror
    frames = {frame.id: frame for frame in mirror.frames(mirror.last)}
    outputs = rng.random(BITS, dtype=np.float32)
    query = np.packbits(outputs >= 0.5, bitorder="little")
    pairs = nearest(list(frames.values()), query, len(frames))
    top, radius = int(rng.integers(1, 20)), int(rng.integers(0, BITS + 1))
    start, left_out = int(rng.integers(0, 600_000)), int(rng.choice([i >> 32 for i in frames])) if frames else 1

    def found(**options: Any) -> list[tuple[int, int]]:
        return [(frame.distance, frame.frame_id) for frame in gallery.search(query, top, **options).frames]

    assert found(radius=radius) == [pair for pair in pairs if pair[0] <= radius][:top]
    best: dict[int, tuple[int, int]] = {}
    for pair in pairs:
        best.setdefault(pair[1] >> 32, pair)
    assert found(is_grouped=True) == list(best.values())[:top]
    wanted = Filter(between_ms=(start, start + 700_000), exclude_video=left_out)
    inside = [p for p in pairs if start <= frames[p[1]].time_ms < start + 700_000 and p[1] >> 32 != left_out]
    assert found(filter_=wanted) == inside[:top]
    bits = np.unpackbits(
        np.array([list(frames[i].code) for _, i in pairs], np.uint8).reshape(-1, len(query)),
        axis=1,
        count=BITS,
        bitorder="little",
    )
    scores = np.abs(outputs - bits).sum(axis=1, dtype=np.float64).tolist()
    by_outputs = sorted((distance, score, i) for (distance, i), score in zip(pairs, scores, strict=True))
    assert found(outputs=outputs) == [(distance, i) for distance, _, i in by_outputs[:top]]


assert BITS % 8, "codes with unused bits are the harder case"
