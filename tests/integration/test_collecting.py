"""All chunks of chosen videos at one log position, while others put, delete and replace."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hashreel.errors import LogCorruptError, UnavailableError
from indexer.chunks import Chunk
from indexer.collecting import collect_chunks
from indexer.log import Log
from indexer.records import Generation, NewVideo, VideoRecord
from indexer.store import Store

FINGERPRINT = "ab" * 32
CHUNKS = 3


@pytest.fixture
def generation(store: Store) -> Generation:
    return store.ensure_collection("main", model="m", fingerprint=FINGERPRINT, bits=16)


def add_video(store: Store, name: str, chunks: Sequence[int] = range(CHUNKS), replaces: int | None = None) -> int:
    (number,) = store.register("1", "job", [NewVideo(source=name, path=name, replaces=replaces)])
    store.plan(number, {"chunks": CHUNKS, "bounds": "[0,1000,2000]"})
    for chunk in chunks:
        add_chunk(store, number, chunk)
    return number


def add_chunk(store: Store, video: int, number: int) -> None:
    rng = np.random.default_rng([video, number])
    chunk = Chunk(
        times_ms=np.arange(2, dtype=np.uint32) + 1000 * number,
        codes=rng.integers(0, 256, (2, 2), dtype=np.uint8),
        concepts=None,
        bits=16,
        fingerprint=FINGERPRINT,
    )
    store.commit(video, number, chunk)


def everything(records: Sequence[VideoRecord]) -> list[int]:
    return [record.id for record in records]


def once(store: Store, change: Callable[[], None], *, times: int = 1) -> None:
    """Let something happen just after values were read, the given number of times."""
    left = [None] * times
    read = store.chunk_values

    def values(videos: Sequence[int]) -> list[dict[int, bytes]]:
        found = read(videos)
        if left:
            left.pop()
            change()
        return found

    store.chunk_values = values  # type: ignore[method-assign]


def test_chosen_videos_are_read_whole_and_in_order(store: Store, generation: Generation) -> None:
    numbers = [add_video(store, f"v{i}") for i in range(3)]
    gone = add_video(store, "gone")
    store.delete(gone)
    cancelled = add_video(store, "cancelled", chunks=[0])
    store.cancel(cancelled)
    offered: list[list[int]] = []

    def choose(records: Sequence[VideoRecord]) -> list[int]:
        offered.append(everything(records))
        return [numbers[2], numbers[0]]

    told: list[tuple[int, int]] = []
    found = collect_chunks(store, generation, choose, tell=lambda done, total: told.append((done, total)))
    assert offered == [numbers]
    assert list(found.chunks) == [(n, c) for n in (numbers[0], numbers[2]) for c in range(CHUNKS)]
    assert [record.source for record in found.records.values()] == ["v0", "v2"]
    assert found.position == Log(store.redis, generation.id).tail()
    assert told == [(0, 2)]


def test_what_is_committed_meanwhile_is_in_up_to_the_position(store: Store, generation: Generation) -> None:
    number = add_video(store, "v", chunks=[0])
    once(store, lambda: (add_chunk(store, number, 2), add_video(store, "another")))
    found = collect_chunks(store, generation, everything)
    assert list(found.chunks) == [(number, 0), (number, 2)]
    assert found.position == Log(store.redis, generation.id).tail()


def test_deletes_meanwhile_make_it_read_anew(store: Store, generation: Generation) -> None:
    first, second = add_video(store, "a"), add_video(store, "b")
    once(store, lambda: store.delete(first))
    assert set(collect_chunks(store, generation, everything).records) == {second}


def test_a_replaced_video_is_not_offered(store: Store, generation: Generation) -> None:
    old = add_video(store, "a")
    new = add_video(store, "a", chunks=[0, 1], replaces=old)
    assert set(collect_chunks(store, generation, everything).records) == {old, new}
    once(store, lambda: add_chunk(store, new, 2))
    assert set(collect_chunks(store, generation, everything).records) == {new}


def test_a_collection_that_never_rests_is_given_up(store: Store, generation: Generation) -> None:
    for name in "abcdef":
        add_video(store, name)
    once(store, lambda: store.delete(max(store.video_numbers("1"))), times=5)
    with pytest.raises(UnavailableError, match="changed while it was read"):
        collect_chunks(store, generation, everything)


def test_values_that_are_missing_or_wrong_are_an_error(store: Store, generation: Generation) -> None:
    number = add_video(store, "a")
    store.redis.hset(f"hr:c:{number}", "1", store.redis.hget(f"hr:c:{number}", "2"))
    with pytest.raises(LogCorruptError, match=f"chunk 1 of video {number} is not the one"):
        collect_chunks(store, generation, everything)
    store.redis.hdel(f"hr:c:{number}", "1")
    with pytest.raises(LogCorruptError, match=f"chunk 1 of video {number} is not stored"):
        collect_chunks(store, generation, everything)


def test_a_log_that_was_trimmed_meanwhile_makes_it_read_anew(store: Store, generation: Generation) -> None:
    number = add_video(store, "a", chunks=[0])

    def trim() -> None:
        add_chunk(store, number, 1)
        store.redis.xtrim("hr:g:1:log", maxlen=0)

    once(store, trim)
    assert list(collect_chunks(store, generation, everything).chunks) == [(number, 0), (number, 1)]


def test_nothing_chosen_is_nothing_read(store: Store, generation: Generation) -> None:
    add_video(store, "a")
    assert collect_chunks(store, generation, lambda records: []).chunks == {}
