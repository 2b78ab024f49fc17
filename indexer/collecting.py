"""All codes of chosen videos as they stand at one position of the log, for those who look at them once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from hashreel.errors import LogCorruptError, UnavailableError
from indexer.chunks import Chunk, value_sha
from indexer.log import Entry, Log, LogBrokenError
from indexer.records import Generation, LogPosition, VideoRecord
from indexer.store import Store, checked_chunk

__all__ = ["Collected", "collect_chunks"]

PAGE_VIDEOS = 50
PAGE_RECORDS = 500
TRIES = 3

Choose = Callable[[Sequence[VideoRecord]], Collection[int]]
Tell = Callable[[int, int], None]


class MovedError(UnavailableError):
    """The collection changed while it was read; try again."""


@dataclass(frozen=True)
class Collected:
    """The chunks of some videos at one position.

    Attributes:
        position: Where in the log.
        records: The videos, by number.
        chunks: By (video, chunk number), in that order.
    """

    position: LogPosition
    records: dict[int, VideoRecord]
    chunks: dict[tuple[int, int], Chunk]


def collect_chunks(store: Store, generation: Generation, choose: Choose, *, tell: Tell | None = None) -> Collected:
    """Return the chunks of the videos that a function chooses, all as of one log position.

    Values are read while others write: the log is then replayed up to its tail as it is afterwards. Nothing stops
    writers. Where a chosen video is deleted or replaced meanwhile, or the log was trimmed or rolled back, all is
    read again.

    Args:
        store: The stored state.
        generation: Whose videos.
        choose: Given the records of all that are neither deleted, cancelled nor replaced, returns numbers.
        tell: Called with (videos read, videos) from time to time; what it raises ends the reading.

    Raises:
        UnavailableError: If the collection changed at every try.
        LogCorruptError: If a stored value is missing or is not what was committed.
    """
    for _ in range(TRIES - 1):
        try:
            return _collect(store, generation, choose, tell)
        except (MovedError, LogBrokenError):
            continue
    try:
        return _collect(store, generation, choose, tell)
    except LogBrokenError as exc:
        raise MovedError from exc


def _collect(store: Store, generation: Generation, choose: Choose, tell: Tell | None) -> Collected:
    run, log = store.server_run(), Log(store.redis, generation.id, store.keys)
    begin = log.tail()
    known = {record.id: record for record in _living(store, generation)}
    chosen = sorted(choose(list(known.values())))
    values: dict[tuple[int, int], tuple[bytes | None, str]] = {}
    for first in range(0, len(chosen), PAGE_VIDEOS):
        if tell is not None:
            tell(first, len(chosen))
        values |= _values(store, chosen[first : first + PAGE_VIDEOS])
    position = _replay(store, log, begin, set(chosen), values)
    if store.server_run() != run:
        # It may have come back with an older state, in the middle of the reading.
        raise MovedError
    chunks = {pair: _checked(*values[pair], generation, pair) for pair in sorted(values)}
    return Collected(position, {video: known[video] for video in chosen}, chunks)


def _living(store: Store, generation: Generation) -> Iterator[VideoRecord]:
    numbers = store.video_numbers(generation.id)
    records = [
        record
        for first in range(0, len(numbers), PAGE_RECORDS)
        for record in store.find_videos(numbers[first : first + PAGE_RECORDS])
        if record is not None and record.state not in {"deleted", "cancelled"}
    ]
    replaced = {record.replaces for record in records if record.state == "indexed"}
    return (record for record in records if record.id not in replaced)


def _values(store: Store, videos: Sequence[int]) -> dict[tuple[int, int], tuple[bytes | None, str]]:
    # What was committed is read before the values, so none can be too new.
    shas, stored = store.chunk_shas(videos), store.chunk_values(videos)
    return {
        (video, number): (values.get(number), sha)
        for video, committed, values in zip(videos, shas, stored, strict=True)
        for number, sha in committed.items()
    }


def _replay(
    store: Store,
    log: Log,
    position: LogPosition,
    chosen: Collection[int],
    values: dict[tuple[int, int], tuple[bytes | None, str]],
) -> LogPosition:
    """Bring the values from a position up to the log's tail; return the position reached."""
    tail = log.tail()
    while position.order < tail.order:
        entries = [entry for entry in log.read(position) if entry.position.order <= tail.order]
        if not entries:
            break
        _apply(store, [entry for entry in entries if entry.video in chosen], values)
        position = entries[-1].position
    if position != tail:
        raise MovedError
    return position


def _apply(store: Store, entries: Sequence[Entry], values: dict[tuple[int, int], tuple[bytes | None, str]]) -> None:
    if any(entry.op in {"delete", "replace"} for entry in entries):
        raise MovedError
    puts = [entry for entry in entries if entry.op == "put" and (entry.video, entry.chunk) not in values]
    found = store.values_of([(entry.video, entry.chunk) for entry in puts])
    values |= {(entry.video, entry.chunk): (value, entry.sha) for entry, value in zip(puts, found, strict=True)}


def _checked(value: bytes | None, sha: str, generation: Generation, pair: tuple[int, int]) -> Chunk:
    if value is None or value_sha(value) != sha:
        reason = "is not stored" if value is None else f"is not the one that was committed (SHA-256 {sha[:12]}...)"
        raise LogCorruptError(f"the value of chunk {pair[1]} of video {pair[0]} {reason}")
    return checked_chunk(value, generation)
