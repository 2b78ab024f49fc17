"""A searcher's copy of one generation: the index and the columns, kept equal to the log by one thread.

The applier thread reads the log and is the only writer. Searches hold the lock for reading, so each one sees
the gallery exactly as it is at the position that its answer carries. When the log turns out not to be the
one that was read (rolled back, restored, trimmed), a new gallery is built beside the old one, which goes on
answering until the two are swapped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import redis
from numpy.typing import NDArray

from encoder.codes import Codes, check_codes
from hashreel.errors import ConflictError, LogCorruptError, NotFoundError
from indexer.areas import level_areas
from indexer.chunks import Chunk, chunk_base, split_frame_id, value_sha, video_range
from indexer.columns import Columns, Filter, Stretch
from indexer.index import Index, make_index
from indexer.locks import ReadWriteLock
from indexer.log import Entry, Log, LogBrokenError
from indexer.records import Generation, LogPosition, VideoRecord
from indexer.snapshots import Snapshots, View
from indexer.store import Store, checked_chunk
from indexer.verify import Verification, verify

__all__ = ["Found", "FoundFrame", "Gallery", "GalleryState"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

SCAN_VIDEOS = 200
NO_AREAS = np.empty(0, np.float32)
# New entries end the wait at once; it is this short so that a rolled-back log is noticed soon.
IDLE_WAIT_MS = 250
RETRY_S = 0.5
SLOW_S = 0.75


@dataclass(frozen=True)
class FoundFrame:
    """One frame of an answer.

    Attributes:
        areas: float32 [C], share of the picture that each of the model's concepts covers; empty if it predicts none.
    """

    frame_id: int
    distance: int
    video: int
    source: str
    tags: dict[str, str]
    time_ms: int
    code: Codes
    areas: NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """The frames nearest to a query, ordered by (distance, frame id), and the state they were found in.

    Attributes:
        ids: int64 [k], the frames' ids.
        distances: int32 [k].
        frames: What is known of each; empty where the ids alone were asked for.
        tie_band: Frames (allowed by the filter) at the distance of the last one.
        position: The log position that the answer reflects.
        size: Live frames in the gallery.
        is_band_cut: Whether the band is longer than the engine counts.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.int32]
    frames: list[FoundFrame]
    tie_band: int
    position: LogPosition
    size: int
    is_band_cut: bool = False


@dataclass
class GalleryState:
    """What is swapped as a whole: an index, its columns, and the position that they reflect.

    Attributes:
        lost: (video, chunk) that the log says are alive and that cannot be had, with the reason. Legal only as
            long as a later entry may delete the video, which is known at the log's tail.
    """

    index: Index
    columns: Columns
    position: LogPosition
    lost: dict[tuple[int, int], str] = field(default_factory=dict)


class Gallery:
    """The gallery of one generation.

    Args:
        store: The stored state.
        generation: Which generation to follow.
        kind: Kind of index, for :func:`indexer.make_index`.
        snapshots: Where to start from and where to write snapshots; None does neither.
        snapshot_s: Write one this often, if anything has changed; 0 writes none by itself.
    """

    def __init__(
        self,
        store: Store,
        generation: Generation,
        *,
        kind: str = "auto",
        snapshots: Snapshots | None = None,
        snapshot_s: float = 0.0,
    ) -> None:
        self.generation = generation
        self.problem = ""
        self._store = store
        self._kind = kind
        self._log = Log(store.redis, generation.id, store.keys)
        self._lock = ReadWriteLock()
        self._state: GalleryState | None = None
        self._is_broken = False
        self._built_at: LogPosition | None = None
        self._outage = ""
        self._advanced = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"gallery-{generation.id}", daemon=True)
        self._snapshots = snapshots
        self._snapshot_s = snapshot_s
        self._saving = threading.Lock()
        self._saved: LogPosition | None = None
        self._saver = threading.Thread(target=self._save_regularly, name=f"saver-{generation.id}", daemon=True)

    def start(self) -> None:
        """Build the gallery and follow the log in the background."""
        self._thread.start()
        if self._snapshots is not None and self._snapshot_s > 0:
            self._saver.start()

    def close(self) -> None:
        """Stop following the log."""
        self._stop.set()
        for thread in (self._thread, self._saver):
            if thread.ident is not None:
                thread.join(timeout=10)
        if self._state is not None:
            self._state.index.close()

    def discard(self) -> None:
        """Close, and remove what an engine elsewhere keeps of the generation, which is being dropped."""
        self.close()

    # Queries

    @property
    def is_ready(self) -> bool:
        """Whether the gallery has been built."""
        return self._state is not None

    @property
    def position(self) -> LogPosition | None:
        """The log position that the gallery reflects; None before it is built."""
        return self._state.position if self._state else None

    @property
    def is_cut_off(self) -> bool:
        """Whether Redis left the follower hanging when it last read the log. A refusal costs no time and is none."""
        return bool(self._outage)

    def __len__(self) -> int:
        return len(self._state.index) if self._state else 0

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until the gallery reflects the log's tail as it is now; return whether it does.

        Raises:
            redis.RedisError: If Redis does not answer. While it leaves its callers hanging, only the follower
                waits for it, and no search.
        """
        if self._outage:
            raise redis.ConnectionError(self._outage)
        before = self._state
        position = before.position if before is not None else None
        tail = self._log.tail()
        # The tail was read after the position: a position past it, or another running hash at the same id,
        # means that the log was rolled back. Then only a rebuilt gallery covers it.
        is_broken = position is not None and _contradicts(position, tail)

        def reached() -> bool:
            state = self._state
            if state is None or (is_broken and state is before):
                return False
            return state.position.order >= tail.order

        return self._wait_for(reached, timeout_s)

    def wait_position(self, log_id: str, timeout_s: float) -> bool:
        """Wait until the gallery has seen a log id; return whether it has."""
        wanted = LogPosition(log_id, "").order
        return self._wait_for(lambda: self.position is not None and self.position.order >= wanted, timeout_s)

    def _wait_for(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        if reached():
            return True
        with self._advanced:
            return self._advanced.wait_for(reached, timeout_s)

    def lag(self) -> int:
        """Return how many log entries (up to 10,000) are not applied yet.

        Raises:
            redis.RedisError: As :meth:`catch_up`.
        """
        if self._outage:
            raise redis.ConnectionError(self._outage)
        position = self.position
        if position is None:
            return self._store.count_videos(self.generation.id)
        try:
            return len(self._log.read(position, limit=10_000))
        except LogBrokenError:
            return 10_000

    def search(
        self,
        code: Codes,
        top: int,
        *,
        radius: int | None = None,
        filter_: Filter | None = None,
        is_grouped: bool = False,
        outputs: NDArray[np.float32] | None = None,
        is_bare: bool = False,
    ) -> Found:
        """Return the frames nearest to a code.

        Args:
            code: uint8 [ceil(bits / 8)], the query.
            top: How many frames (videos, when grouped) at most.
            radius: Largest Hamming distance, inclusive.
            filter_: Which frames may be returned; acts before truncation.
            is_grouped: Only the best frame of each video.
            outputs: float32 [bits] in [0, 1], the network's real-valued outputs for the query. Where they are
                given, frames at equal distance are ordered by how far these are from the frame's bits (then by
                frame id); not when grouped.
            is_bare: Only ids and distances: what is known of each frame takes longer than to find it.

        Raises:
            NotFoundError: If the gallery is not built yet.
        """
        queries = check_codes(np.asarray(code)[None], self.generation.bits)
        with self._lock.reading():
            state = self._ready()
            allowed = state.columns.allowed(filter_) if filter_ else None
            if is_grouped:
                distances, ids = state.index.search_groups(queries, top, allowed)[0]
            elif radius is None:
                all_distances, all_ids = state.index.search(queries, top, allowed)
                distances, ids = all_distances[0], all_ids[0]
            else:
                distances, ids = state.index.within(queries, radius, allowed, limit=top)[0]
            if radius is not None:
                distances, ids = distances[distances <= radius], ids[distances <= radius]
            if outputs is not None and len(ids) and not is_grouped:
                distances, ids = _by_outputs(state.index, queries, outputs, int(distances[-1]), top, allowed)
            band, is_cut = 0, False
            if len(ids):
                bands, cuts = state.index.tie_bands(queries, distances[-1:], allowed)
                band, is_cut = int(bands[0]), bool(cuts[0])
            frames = [] if is_bare else _describe(state, distances, ids)
            return Found(ids, distances, frames, band, state.position, len(state.index), is_cut)

    def frame(self, frame: int) -> FoundFrame:
        """Return a frame of the gallery, distance 0; NotFoundError if it is not there."""
        with self._lock.reading():
            state = self._ready()
            state.columns.time_ms(frame)
            return _describe(state, np.zeros(1, np.int32), np.array([frame], np.int64))[0]

    def find(self, frames: Sequence[int], code: Codes | None = None) -> tuple[list[FoundFrame], LogPosition]:
        """Return what is known of those of some frames that are there, in their order, and the position.

        Args:
            frames: Their ids; one that comes twice is returned twice.
            code: uint8 [ceil(bits / 8)], what distances are to; without it they are 0.
        """
        with self._lock.reading():
            state = self._ready()
            ids = np.array([frame for frame in frames if state.columns.holds(frame)], np.int64)
            distances = np.zeros(len(ids), np.int32)
            if code is not None and len(ids):
                distances = np.bitwise_count(state.index.codes_of(ids) ^ code).sum(axis=1, dtype=np.int32)
            return _describe(state, distances, ids), state.position

    def look(self, read: Callable[[Index, Columns], T]) -> tuple[T, LogPosition]:
        """Return what a function makes of the index and the columns, and the position at which both stood.

        The log waits while it runs; NotFoundError if the gallery is not built yet.
        """
        with self._lock.reading():
            state = self._ready()
            return read(state.index, state.columns), state.position

    def describe(self, frames: NDArray[np.int64], distances: NDArray[np.int32]) -> list[FoundFrame]:
        """Return what is known of frames, in their order; inside :meth:`look` all of them are there.

        Args:
            frames: int64 [n], ids of the gallery's frames.
            distances: int32 [n], their distances to whatever they were searched with.
        """
        return _describe(self._ready(), distances, frames)

    def videos_with_frames(self) -> int:
        """Return how many videos have frames here."""
        return len(self._state.columns.videos) if self._state else 0

    def _ready(self) -> GalleryState:
        if self._state is None:
            raise NotFoundError(f"the gallery of collection {self.generation.collection!r} is still being built")
        return self._state

    # Following the log

    def _follow(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                if self._is_broken or (self._state is None and not self._restore()):
                    self._rebuild()
                self._step()
            except LogBrokenError as exc:
                logger.warning("%s: rebuilding", exc, extra={"action": "rebuild", "generation": self.generation.id})
                self._is_broken = True
                if self._state is not None and self._state.position is self._built_at:
                    # Not one entry could be read since the last time: somebody writes to the log by hand.
                    self._set_problem(str(exc))
                    self._stop.wait(RETRY_S)
            except NotFoundError as exc:
                # The server was emptied. What was read goes on being searched until it holds a log again.
                self._is_broken = True
                self._set_problem(str(exc))
                self._stop.wait(RETRY_S)
            except redis.RedisError as exc:
                logger.warning("the log cannot be read: %s", exc, extra={"action": "log_unreadable"})
                is_slow = time.monotonic() - begun > SLOW_S
                self._outage = (str(exc) or type(exc).__name__) if is_slow else ""
                self._stop.wait(RETRY_S)
            except Exception as exc:
                # The follower must outlive any one bad entry, and say so.
                self.problem = f"{type(exc).__name__}: {exc}"
                logger.exception("the gallery could not follow the log", extra={"action": "follow_failed"})
                self._stop.wait(RETRY_S)

    def _step(self) -> None:
        state = self._ready()
        entries = self._log.read(state.position)
        self._outage = ""
        ready = self._ready_of(entries)
        if ready:
            changes = self._changes(state, ready)
            with self._lock.writing():
                _apply(state, ready, changes)
            self._tell()
        if entries:
            return
        self._set_problem(_complaint(state))
        self._log.wait(state.position, IDLE_WAIT_MS)

    # What a gallery whose codes are kept elsewhere does differently

    def _empty(self, position: LogPosition) -> GalleryState:
        """Return the state of a gallery without frames."""
        return GalleryState(make_index(self._kind, self.generation.bits), Columns(), position)

    def _ready_of(self, entries: list[Entry]) -> list[Entry]:
        """Return the entries that may be taken in now, the first few or all; waits a moment if none may."""
        return entries

    def _complete(self, state: GalleryState) -> None:
        """Return when a gallery that was built may be searched."""

    def _set_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem:
                logger.error(problem, extra={"action": "gallery_problem", "generation": self.generation.id})

    # Upkeep

    def view(self) -> View:
        """Return the gallery as it is now, for reading at leisure; NotFoundError if it is not built yet."""
        with self._lock.reading():
            state = self._ready()
            return View.of(state.index, state.columns, state.position)

    def status(self) -> dict[str, Any]:
        """Return what the index says of itself."""
        return self._ready().index.status()

    def compact(self) -> None:
        """Drop the rows of deleted frames; searches go on meanwhile."""
        self._ready().index.compact()

    def rebuild(self, timeout_s: float) -> bool:
        """Build the gallery anew from the stored values, beside the present one; return whether it is done."""
        before = self._state
        self._is_broken = True
        return self._wait_for(lambda: self._state is not before, timeout_s)

    def verify(self) -> Verification:
        """Compare with the stored values; differences that go away at a second look were writes in flight."""
        first = verify(self._store, self.generation, self.view())
        if first.is_equal:
            return first
        self.catch_up(5.0)
        return first.repeated(verify(self._store, self.generation, self.view()))

    # Snapshots

    def snapshot(self) -> Path | None:
        """Write a snapshot of the present state; None if there is nothing whole or nothing new to write.

        Searches and the follower go on meanwhile.

        Raises:
            ConflictError: If another process is writing one into the same folder.
            OSError: If the disk is full or not writable.
        """
        if self._snapshots is None:
            return None
        with self._saving:
            with self._lock.reading():
                state = self._state
                if state is None or state.lost or self._is_broken or state.position == self._saved:
                    return None
                view = View.of(state.index, state.columns, state.position)
            path = self._snapshots.save(view)
            self._saved = view.position
            return path

    def forget(self) -> None:
        """Remove what was deleted from memory, and from the disk: only a snapshot of the present state stays.

        Raises:
            ConflictError: If another process is writing a snapshot into the same folder.
            OSError: If the disk is full or not writable; then no snapshot stays.
        """
        self.compact()
        if self._snapshots is not None:
            self._snapshots.clear()
            self._saved = None
            self.snapshot()

    def _save_regularly(self) -> None:
        while not self._stop.wait(self._snapshot_s):
            try:
                self.snapshot()
            except (ConflictError, OSError) as exc:
                # The next start replays more of the log; nothing else depends on it.
                logger.warning("no snapshot was written: %s", exc, extra={"action": "snapshot_failed"})

    def _restore(self) -> bool:
        """Start from the newest snapshot that this log continues; return whether there is one."""
        if self._snapshots is None:
            return False
        for loaded in self._snapshots.newest_first():
            try:
                self._log.read(loaded.position, limit=1)
            except LogBrokenError as exc:
                logger.warning("snapshot %s is of no use: %s", loaded.path.name, exc, extra={"action": "stale"})
                continue
            with self._lock.writing():
                self._state = GalleryState(loaded.index, loaded.columns, loaded.position)
            self._saved = self._built_at = loaded.position
            self._tell()
            logger.info("snapshot opened", extra={"action": "restored", "frames": len(loaded.index)})
            return True
        return False

    # Building

    def _rebuild(self) -> None:
        """Build a gallery from the live values and put it in the place of the present one.

        Values are read while others write, so the scan may run ahead of the log's tail as it was before. The
        log is replayed up to the tail as it is afterwards: then the gallery is what the log says at that entry.
        """
        started = time.monotonic()
        run = self._store.server_run()
        state = self._empty(self._log.tail())
        numbers = self._store.video_numbers(self.generation.id)
        for first in range(0, len(numbers), SCAN_VIDEOS):
            self._scan(state, numbers[first : first + SCAN_VIDEOS])
        self._replay(state, self._log.tail())
        if self._store.server_run() != run:
            # It may have come back with an older state, in the middle of the scan.
            raise LogBrokenError(f"Redis was restarted while generation {self.generation.id} was read")
        self._complete(state)
        before = self._state
        with self._lock.writing():
            self._state = state
        self._is_broken, self._built_at = False, state.position
        self._tell()
        if before is not None:
            before.index.close()
        seconds = time.monotonic() - started
        logger.info("gallery built", extra={"action": "built", "frames": len(state.index), "seconds": seconds})

    def _scan(self, state: GalleryState, numbers: Sequence[int]) -> None:
        """Take in all chunks of videos. What was committed is read before the values, so none can be too new."""
        records = self._store.find_videos(numbers)
        shas = self._store.chunk_shas(numbers)
        values = self._store.chunk_values(numbers)
        for record, committed, stored in zip(records, shas, values, strict=True):
            if record is None or record.state in {"deleted", "cancelled"}:
                continue
            for number in sorted(committed):
                chunk = self._checked(stored.get(number), committed[number])
                _take(state, record.id, number, record, chunk)

    def _replay(self, state: GalleryState, tail: LogPosition) -> None:
        while state.position.order < tail.order:
            entries = self._log.read(state.position)
            if not entries:
                break
            _apply(state, entries, self._changes(state, entries))
        is_other = state.position.log_id == tail.log_id and state.position.chain != tail.chain
        if is_other or state.position.order < tail.order:
            raise LogBrokenError(f"the log of generation {self.generation.id} was rolled back while it was read")

    def _changes(self, state: GalleryState, entries: Sequence[Entry]) -> _Changes:
        """Fetch what entries need, before the gallery is locked."""
        puts = [e for e in entries if e.op == "put" and not state.columns.has_chunk(e.video, e.chunk)]
        values = self._store.values_of([(entry.video, entry.chunk) for entry in puts])
        records = self._store.find_videos({entry.video for entry in puts})
        return _Changes(
            records={record.id: record for record in records if record is not None},
            chunks={(e.video, e.chunk): self._checked(v, e.sha) for e, v in zip(puts, values, strict=True)},
        )

    def _checked(self, value: bytes | None, sha: str) -> Chunk | str:
        """Return the chunk of a stored value, or why it cannot be used."""
        if value is None:
            return "its value is not stored"
        if value_sha(value) != sha:
            return f"its value is not the one that was committed (SHA-256 {sha[:12]}...)"
        try:
            return checked_chunk(value, self.generation)
        except LogCorruptError as exc:
            return str(exc)

    def _tell(self) -> None:
        with self._advanced:
            self._advanced.notify_all()


def _contradicts(position: LogPosition, tail: LogPosition) -> bool:
    """Return whether a log with this tail cannot be the one in which the position was read."""
    if position.log_id == tail.log_id:
        return position.chain != tail.chain
    return tail.order < position.order


@dataclass(frozen=True)
class _Changes:
    """What a run of log entries needs beside them: records by video, and chunks or why there is none."""

    records: dict[int, VideoRecord]
    chunks: dict[tuple[int, int], Chunk | str]


def _apply(state: GalleryState, entries: Sequence[Entry], changes: _Changes) -> None:
    """Bring a gallery from one position of the log to a later one; no search may see what is in between.

    Deleted videos leave the index together in the end: a large index copies its bitmap at each deletion.
    """
    gone: set[int] = set()
    try:
        for entry in entries:
            _apply_one(state, entry, changes, gone)
            state.position = entry.position
    finally:
        _bury(state, gone)


def _apply_one(state: GalleryState, entry: Entry, changes: _Changes, gone: set[int]) -> None:
    if entry.op == "put" and not state.columns.has_chunk(entry.video, entry.chunk):
        if entry.video in gone:
            _bury(state, gone)
        chunk = changes.chunks[entry.video, entry.chunk]
        _take(state, entry.video, entry.chunk, changes.records.get(entry.video), chunk)
    elif entry.op in {"delete", "replace"}:
        state.lost = {pair: why for pair, why in state.lost.items() if pair[0] != entry.video}
        if state.columns.drop(entry.video):
            gone.add(entry.video)
    elif entry.op == "meta" and entry.video in state.columns.videos:
        state.columns.change(entry.video, entry.tags, entry.source)


def _bury(state: GalleryState, gone: set[int]) -> None:
    if gone:
        state.index.delete_ranges(np.array([video_range(video) for video in sorted(gone)], np.int64))
        gone.clear()


def _take(state: GalleryState, video: int, number: int, record: VideoRecord | None, chunk: Chunk | str) -> None:
    if record is None or isinstance(chunk, str):
        state.lost[video, number] = chunk if isinstance(chunk, str) else "its video has no record"
        return
    if len(chunk):
        base = chunk_base(video, number)
        state.index.add(np.arange(base, base + len(chunk), dtype=np.int64), chunk.codes)
    state.columns.add(record, number, Stretch(chunk.times_ms, chunk.concepts, chunk.areas))
    state.lost.pop((video, number), None)


def _complaint(state: GalleryState) -> str:
    """Return what is wrong with a gallery that has reached the log's tail; empty if nothing is."""
    if not state.lost:
        return ""
    video, chunk = min(state.lost)
    why = state.lost[video, chunk]
    return f"{len(state.lost)} committed chunks cannot be searched; the first, chunk {chunk} of video {video}: {why}"


def _by_outputs(
    index: Index,
    queries: Codes,
    outputs: NDArray[np.float32],
    last: int,
    top: int,
    allowed: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the ``top`` frames up to a distance, equal ones ordered by the query's real-valued outputs.

    The score of a frame is sum_j |r_j - b_j|: the Hamming distance with each bit weighted by how sure the network
    was of it. The whole band at the last distance is looked at, not the part of it that a cut by id would leave.
    """
    distances, ids = index.within(queries, last, allowed)[0]
    bits = np.unpackbits(index.codes_of(ids), axis=1, count=index.bits, bitorder="little")
    scores = np.abs(outputs[None, :] - bits).sum(axis=1, dtype=np.float64)
    order = np.lexsort((ids, scores, distances))[:top]
    return distances[order], ids[order]


def _describe(state: GalleryState, distances: NDArray[np.int32], ids: NDArray[np.int64]) -> list[FoundFrame]:
    if not len(ids):
        return []
    codes = state.index.codes_of(ids)
    frames = []
    for frame, distance, code in zip(ids.tolist(), distances.tolist(), codes, strict=True):
        video = split_frame_id(frame)[0]
        column = state.columns.videos[video]
        time_ms = state.columns.time_ms(frame)
        levels = state.columns.areas(frame)
        areas = NO_AREAS if levels is None else level_areas(levels)
        frames.append(FoundFrame(frame, distance, video, column.source, column.tags, time_ms, code, areas))
    return frames
