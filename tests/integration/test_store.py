"""The stored state: every change is one step, happens once, and leaves the counts right."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import RedisServer
from stored_gallery import (
    BITS,
    FINGERPRINT,
    add_video,
    alive_chunks,
    expected_chain,
    fill_video,
    make_chunk,
    make_generation,
    raw_log,
)

from hashreel.errors import ConflictError, FingerprintMismatchError, NotFoundError, UnavailableError
from indexer.chunks import value_sha
from indexer.log import Log
from indexer.records import LogPosition, NewVideo
from indexer.store import Store, connect, printable


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def everything(client: redis.Redis) -> dict[bytes, Any]:
    """Return all that is stored, to compare before and after."""
    dump: dict[bytes, Any] = {}
    readers = {
        b"hash": lambda key: client.hgetall(key),
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": lambda key: client.xrange(key),
        b"string": lambda key: client.get(key),
        b"list": lambda key: client.lrange(key, 0, -1),
    }
    for key in client.scan_iter():
        dump[key] = readers[client.type(key)](key)
    return dump


# Commits


def test_commit_puts_value_metadata_and_log_entry(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    video = add_video(store, generation, 2)
    log_id = store.commit(video, 1, make_chunk(rng, 5))
    value = store.values_of([(video, 1)])[0]
    assert value is not None
    assert raw_log(store.redis, generation.id) == [
        (log_id, {"op": "put", "v": str(video), "c": "1", "s": value_sha(value), "h": store_head(store)["hash"]})
    ]
    assert store_head(store)["id"] == log_id
    record = store.video(video)
    assert (record.state, record.frames, record.done) == ("encoding", 5, 1)
    assert store.chunk_shas([video]) == [{1: value_sha(value)}]


def store_head(store: Store) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in store.redis.hgetall("hr:g:1:head").items()}


def test_first_commit_of_a_chunk_wins_and_the_second_changes_nothing(store: Store, rng: np.random.Generator) -> None:
    video = add_video(store, make_generation(store), 2)
    store.commit(video, 0, make_chunk(rng, 5))
    before = everything(store.redis)
    assert store.commit(video, 0, make_chunk(rng, 9), warnings=[{"stage": "decode", "reason": "x"}]) == "exists"
    assert everything(store.redis) == before


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_commits_to_ended_videos_are_refused(store: Store, rng: np.random.Generator, end: str) -> None:
    video = add_video(store, make_generation(store), 2)
    store.commit(video, 0, make_chunk(rng, 5))
    getattr(store, end)(video)
    before = everything(store.redis)
    assert store.commit(video, 1, make_chunk(rng, 5)) == "gone"
    assert store.plan(video, {"chunks": 9}) == "gone"
    assert everything(store.redis) == before


def test_commits_to_videos_that_never_were_are_refused(store: Store, rng: np.random.Generator) -> None:
    make_generation(store)
    before = everything(store.redis)
    assert store.commit(77, 0, make_chunk(rng, 5)) == "gone"
    assert store.delete(77) == store.cancel(77) == store.set_tags(77, {}) == "gone"
    assert everything(store.redis) == before


def test_commit_of_a_chunk_outside_the_plan_is_refused(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    planned = add_video(store, generation, 2)
    unplanned = store.register(generation.id, "", [NewVideo("b", "/b")])[0]
    before = everything(store.redis)
    with pytest.raises(ConflictError, match="no chunk 2 by its plan"):
        store.commit(planned, 2, make_chunk(rng, 1))
    with pytest.raises(ConflictError, match="plan it first"):
        store.commit(unplanned, 0, make_chunk(rng, 1))
    assert everything(store.redis) == before


def test_commit_of_another_models_codes_is_refused_with_both_named(store: Store, rng: np.random.Generator) -> None:
    video = add_video(store, make_generation(store), 1)
    before = everything(store.redis)
    with pytest.raises(FingerprintMismatchError, match=f"{FINGERPRINT[:12]}.*{'b7' * 6}"):
        store.commit(video, 0, make_chunk(rng, 1, fingerprint="b7" * 32))
    assert everything(store.redis) == before


def test_commit_without_memory_leaves_nothing_behind(private_redis: Any, rng: np.random.Generator) -> None:
    server: RedisServer = private_redis(maxmemory=8 * 2**20)
    store = Store(server.client())
    video = add_video(store, make_generation(store), 3)
    store.commit(video, 0, make_chunk(rng, 5))
    used = int(store.redis.info("memory")["used_memory"])
    store.redis.config_set("maxmemory", used)
    before = everything(store.redis)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        store.commit(video, 1, make_chunk(rng, 5000))
    assert everything(store.redis) == before
    store.redis.config_set("maxmemory", 0)
    store.commit(video, 1, make_chunk(rng, 5))
    assert alive_chunks(store.redis, "1") == {(video, 0), (video, 1)}


def test_last_chunk_makes_the_video_indexed(store: Store, rng: np.random.Generator) -> None:
    video = add_video(store, make_generation(store), 3)
    states = []
    for chunk in (2, 0, 1):
        store.commit(video, chunk, make_chunk(rng, 2))
        states.append(store.video(video).state)
    assert states == ["encoding", "encoding", "indexed"]


@pytest.mark.parametrize(("stage", "is_retryable"), [("decode", False), ("worker", True), ("source", True)])
def test_video_without_any_frame_is_failed_with_its_first_reason(store: Store, stage: str, is_retryable: bool) -> None:
    rng = np.random.default_rng(0)
    video = add_video(store, make_generation(store), 2)
    store.commit(video, 0, make_chunk(rng, 0), warnings=[{"stage": stage, "reason": "first"}])
    store.commit(video, 1, make_chunk(rng, 0), warnings=[{"stage": "read", "reason": "second"}])
    record = store.video(video)
    assert (record.state, record.stage, record.reason) == ("failed", stage, "first")
    assert record.retryable is is_retryable


def test_video_whose_chunks_are_empty_without_a_word_is_failed_too(store: Store, rng: np.random.Generator) -> None:
    video = add_video(store, make_generation(store), 1)
    store.commit(video, 0, make_chunk(rng, 0))
    record = store.video(video)
    assert (record.state, record.stage) == ("failed", "decode")
    assert record.reason


def test_warnings_are_bounded_in_number_and_length(store: Store, rng: np.random.Generator) -> None:
    video = add_video(store, make_generation(store), 4)
    notes = [{"stage": "decode", "reason": f"{n} " + "é" * 5000, "at_ms": n} for n in range(60)]
    for chunk in range(3):
        store.commit(video, chunk, make_chunk(rng, 1), warnings=notes)
    store.cancel(video, keep_partial=True)
    warnings = store.video(video).warnings
    assert len(warnings) == 100
    assert [w["at_ms"] for w in warnings[:98]] == [*range(60), *range(38)]
    assert warnings[98]["reason"] == "and 82 more, not listed one by one"
    assert warnings[99]["stage"] == "cancel"
    assert max(len(w["reason"]) for w in warnings) <= 1000


ODD = [
    "",
    "ü",
    "日本語 \U0001f3ac",
    'a"b\\c',
    "new\nline\ttab",
    "\x7f\x01",
    "nul \0 inside",
    "%s {} $(x)",
    "\udcff\ud800",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_text_comes_back_as_it_was(store: Store, rng: np.random.Generator, text: str) -> None:
    generation = make_generation(store)
    video = add_video(store, generation, 1, source=text, tags={"k": printable(text)})
    store.commit(video, 0, make_chunk(rng, 1), warnings=[{"stage": "decode", "reason": text, "at_ms": None}])
    record = store.video(video)
    assert record.source == printable(text)
    assert record.tags == {"k": printable(text)}
    assert record.warnings == [{"stage": "decode", "reason": printable(text), "at_ms": None}]
    store.set_tags(video, {"k": "", printable(text) or "e": "v"})
    assert store.video(video).tags == {printable(text) or "e": "v"}
    other = add_video(store, generation, 1)
    store.fail(other, "source", text, retryable=True)
    assert store.video(other).reason == printable(text)


def test_unprintable_bytes_of_a_name_become_the_replacement_character() -> None:
    assert printable(b"a\xffb".decode("utf-8", "surrogateescape")) == "a�b"


def test_tags_that_are_set_at_once_are_all_kept(session_redis: RedisServer, store: Store) -> None:
    video = add_video(store, make_generation(store), 1, tags={"old": "1"})

    def tag(own: Store, name: str) -> None:
        for number in range(20):
            own.set_tags(video, {f"{name}{number}": "x"})

    threads = [threading.Thread(target=tag, args=(Store(session_redis.client()), name)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.video(video).tags == {"old": "1"} | {f"{name}{n}": "x" for name in "abc" for n in range(20)}
    store.set_tags(video, dict.fromkeys(store.video(video).tags, ""))
    assert store.video(video).tags == {}


# The running hash


def test_running_hash_is_the_readers(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    videos = [fill_video(store, generation, [make_chunk(rng, 2)] * 2) for _ in range(3)]
    store.set_tags(videos[0], {"größe": "日本 \0 \U0001f3ac"})
    store.delete(videos[1])
    log = Log(store.redis, generation.id)
    assert log.tail().chain == expected_chain(store.redis, generation.id)
    start = LogPosition("0-0", store_head(store)["epoch"])
    entries = log.read(start)
    assert [entry.op for entry in entries] == ["put"] * 6 + ["meta", "delete"]
    assert entries[-1].position == log.tail()
    assert log.read(log.tail()) == []
    assert [e.op for e in log.read(entries[5].position)] == ["meta", "delete"]


def test_log_ids_ascend_within_one_millisecond(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    video = add_video(store, generation, 50)
    ids = [LogPosition(store.commit(video, n, make_chunk(rng, 1)), "").order for n in range(50)]
    assert ids == sorted(set(ids))


# Ends


def test_replacement_is_one_entry_when_the_new_one_is_complete(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    old = fill_video(store, generation, [make_chunk(rng, 2)], content="same")
    assert store.find_content(generation.id, "same") == old
    new = add_video(store, generation, 2, content="same", replaces=old)
    store.commit(new, 0, make_chunk(rng, 2))
    assert store.video(old).state == "indexed"
    store.commit(new, 1, make_chunk(rng, 2))
    ops = [(fields["op"], fields["v"], fields.get("n")) for _, fields in raw_log(store.redis, generation.id)]
    assert ops[-2:] == [("put", str(new), None), ("replace", str(old), str(new))]
    with pytest.raises(NotFoundError):
        store.video(old)
    assert store.video_numbers(generation.id) == [new]
    assert store.find_content(generation.id, "same") == new


def test_two_encodings_of_one_source_at_once_leave_one(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    first, second = (add_video(store, generation, 1, content="same") for _ in range(2))
    store.commit(second, 0, make_chunk(rng, 2))
    store.commit(first, 0, make_chunk(rng, 2))
    assert store.video_numbers(generation.id) == [first]
    assert alive_chunks(store.redis, generation.id) == {(first, 0)}


def test_deleted_source_may_be_indexed_again(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    video = fill_video(store, generation, [make_chunk(rng, 2)], content="same")
    store.delete(video)
    assert store.find_content(generation.id, "same") is None
    assert store.delete(video) == "gone"


def test_values_go_after_the_grace_period(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    deleted, kept, cancelled = (add_video(store, generation, 2) for _ in range(3))
    for video in (deleted, kept, cancelled):
        store.commit(video, 0, make_chunk(rng, 2))
    store.delete(deleted)
    store.cancel(cancelled)
    assert store.purge(3600) == 0
    assert store.chunk_numbers(deleted) == {0}
    assert store.purge(0) == 2
    assert store.chunk_numbers(deleted) == store.chunk_numbers(cancelled) == set()
    assert store.chunk_shas([deleted, cancelled]) == [{}, {}]
    assert store.find_video(deleted) is None
    assert store.video(cancelled).state == "cancelled"
    assert store.chunk_numbers(kept) == {0}
    assert store.purge(0) == 0


def test_cancel_takes_back_what_was_committed_unless_it_is_kept(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    dropped, kept, untouched = (add_video(store, generation, 2) for _ in range(3))
    for video in (dropped, kept):
        store.commit(video, 1, make_chunk(rng, 2))
    assert store.cancel(dropped) == "ok"
    assert store.cancel(kept, keep_partial=True) == "kept"
    assert store.cancel(untouched, keep_partial=True) == "ok"
    assert alive_chunks(store.redis, generation.id) == {(kept, 1)}
    assert [fields["op"] for _, fields in raw_log(store.redis, generation.id)] == ["put", "put", "delete"]
    records = [store.video(video) for video in (dropped, kept, untouched)]
    assert [(r.state, r.frames) for r in records] == [("cancelled", 0), ("indexed", 2), ("cancelled", 0)]
    assert store.cancel(kept) == store.cancel(dropped) == "gone"


def test_failure_keeps_the_frames_that_are_there(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    partial, empty = add_video(store, generation, 2), add_video(store, generation, 2)
    store.commit(partial, 0, make_chunk(rng, 2))
    assert store.fail(partial, "worker", "it hung", retryable=True) == "ok"
    assert store.fail(empty, "worker", "it hung", retryable=True) == "ok"
    assert store.video(partial).state == "indexed"
    assert store.video(partial).warnings == [{"stage": "worker", "reason": "it hung"}]
    assert (store.video(empty).state, store.video(empty).retryable) == ("failed", True)
    assert {record.id for record, _ in store.failed_page(generation.id, 10, 0)[0]} == {partial, empty}
    assert store.fail(empty, "worker", "it hung", retryable=True) == "gone"


def test_cancelled_video_is_no_longer_listed_as_damaged(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    video = add_video(store, generation, 2)
    store.commit(video, 0, make_chunk(rng, 1), warnings=[{"stage": "decode", "reason": "x"}])
    assert store.failed_page(generation.id, 10, 0)[1] == 1
    store.cancel(video)
    assert store.failed_page(generation.id, 10, 0) == ([], 0)


def test_retry_gives_a_new_number_and_keeps_what_it_replaces(store: Store) -> None:
    generation = make_generation(store)
    failed = store.register(generation.id, "j1", [NewVideo("a", "/a")])[0]
    store.fail(failed, "source", "no such file", retryable=True)
    record = store.video(failed)
    new = store.retry(record, NewVideo("a", "/a"), first_unit="{}:plan".format)
    assert new is not None
    assert new > failed
    assert store.video(new).state == "queued"
    assert store.video_numbers(generation.id) == [new]
    assert store.redis.zrange("hr:units:queued", 0, -1) == [f"{new}:plan".encode()]
    assert [int(v) for v in store.redis.lrange("hr:j:j1:videos", 0, -1)] == [new]
    assert store.retry(record, NewVideo("a", "/a")) is None
    assert store.video_numbers(generation.id) == [new]


def test_many_who_retry_at_once_register_one_attempt(session_redis: RedisServer, store: Store) -> None:
    generation = make_generation(store)
    failed = store.register(generation.id, "j1", [NewVideo("a", "/a")])[0]
    store.fail(failed, "source", "no such file", retryable=True)
    record = store.video(failed)
    numbers: list[int | None] = []
    barrier = threading.Barrier(4)

    def retry(own: Store) -> None:
        barrier.wait()
        numbers.append(own.retry(record, NewVideo("a", "/a")))

    threads = [threading.Thread(target=retry, args=(Store(session_redis.client()),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([number for number in numbers if number is not None]) == 1
    assert tally_of(store.redis, "j1") == Counter(total=1, queued=1)


def test_registration_records_the_first_units_in_the_same_step(store: Store) -> None:
    generation = make_generation(store)
    sources = [NewVideo("a", "/a"), NewVideo("b", "/b", failure=("source", "gone")), NewVideo("c", "/c")]
    numbers = store.register(generation.id, "j1", sources, first_unit="{}:plan".format)
    assert numbers == [1, 2, 3]
    assert store.redis.zrange("hr:units:queued", 0, -1) == [b"1:plan", b"3:plan"]
    assert store.video(2).reason == "gone"
    assert tally_of(store.redis, "j1") == Counter(total=3, queued=2, failed=1)


# Tallies

STATES = ("queued", "encoding", "indexed", "failed", "cancelled")


def tally_of(client: redis.Redis, job: str) -> Counter[str]:
    raw = {name.decode(): float(value) for name, value in client.hgetall(f"hr:j:{job}").items()}
    counts = Counter(
        {name.removeprefix("n_"): int(n) for name, n in raw.items() if name[:2] == "n_" or name == "total"}
    )
    return +counts if min(counts.values()) >= 0 else counts


class Model:
    """What a job's videos should be, by the obvious rules."""

    def __init__(self) -> None:
        self.state: dict[int, str] = {}
        self.chunks: dict[int, int] = {}
        self.done: dict[int, dict[int, int]] = {}
        self.is_deleted: set[int] = set()
        self.retried: set[int] = set()

    def add(self, number: int, state: str) -> None:
        self.state[number], self.chunks[number], self.done[number] = state, 0, {}

    def is_open(self, video: int) -> bool:
        return self.state[video] in {"queued", "encoding"} and video not in self.is_deleted

    def frames(self, video: int) -> int:
        return sum(self.done[video].values())

    def plan(self, video: int, chunks: int) -> None:
        if self.is_open(video) and not self.chunks[video]:
            self.chunks[video], self.state[video] = chunks, "encoding"

    def commit(self, video: int, chunk: int, frames: int) -> None:
        if self.is_open(video) and chunk < self.chunks[video] and chunk not in self.done[video]:
            self.done[video][chunk] = frames
            if len(self.done[video]) == self.chunks[video]:
                self.state[video] = "indexed" if self.frames(video) else "failed"

    def fail(self, video: int) -> None:
        if self.is_open(video):
            self.state[video] = "indexed" if self.frames(video) else "failed"

    def cancel(self, video: int, is_kept: bool) -> None:
        if self.is_open(video):
            self.state[video] = "indexed" if is_kept and self.frames(video) else "cancelled"

    def delete(self, video: int) -> None:
        if self.is_open(video):
            self.state[video] = "cancelled"
        self.is_deleted.add(video)

    def counts(self) -> Counter[str]:
        counted = [state for video, state in self.state.items() if video not in self.retried]
        return Counter(counted) + Counter(total=len(counted))

    def alive(self) -> set[tuple[int, int]]:
        gone = self.is_deleted | self.retried | {v for v, state in self.state.items() if state == "cancelled"}
        return {(video, chunk) for video, chunks in self.done.items() if video not in gone for chunk in chunks}


VIDEO, CHUNK = st.integers(0, 2), st.integers(0, 2)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.booleans()),
        st.tuples(st.just("plan"), VIDEO, st.integers(1, 3)),
        st.tuples(st.just("commit"), VIDEO, CHUNK, st.integers(0, 2)),
        st.tuples(st.just("fail"), VIDEO),
        st.tuples(st.just("cancel"), VIDEO, st.booleans()),
        st.tuples(st.just("delete"), VIDEO),
        st.tuples(st.just("retry"), VIDEO),
        st.tuples(st.just("tag"), VIDEO),
        st.tuples(st.just("purge"), VIDEO),
    ),
    max_size=40,
)


@given(operations=OPERATIONS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_counts_add_up_and_the_log_agrees_in_any_order(store: Store, operations: list[Any]) -> None:
    check_operations(store, operations)


@pytest.mark.full
@pytest.mark.timeout(900)
@given(operations=OPERATIONS)
@settings(
    max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_counts_add_up_in_thousands_of_orders(store: Store, operations: list[Any]) -> None:
    check_operations(store, operations)


def check_operations(store: Store, operations: list[Any]) -> None:
    client, model = store.redis, Model()
    client.flushall()
    generation = make_generation(store)
    client.hset("hr:j:job", "is_open", 0)
    videos: list[int] = []
    for name, *values in [("register", False), ("register", False), *operations]:
        if name == "register":
            failure = ("source", "gone") if values[0] else None
            videos += store.register(generation.id, "job", [NewVideo("a", "/a", failure=failure)])
            model.add(videos[-1], "failed" if failure else "queued")
            continue
        video = videos[values[0] % len(videos)]
        apply_one(store, model, videos, name, video, values[1:])
        assert tally_of(client, "job") == model.counts(), name
    open_ = [video for video in videos if model.is_open(video)]
    assert client.hexists("hr:j:job", "finished_at") == (not open_)
    assert alive_chunks(client, generation.id) == model.alive()
    assert Log(client, generation.id).tail().chain == expected_chain(client, generation.id)
    for video in set(videos) - model.is_deleted - model.retried:
        assert store.video(video).state == model.state[video]
    assert set(store.video_numbers(generation.id)) == set(videos) - model.is_deleted - model.retried


def apply_one(store: Store, model: Model, videos: list[int], name: str, video: int, values: list[Any]) -> None:
    rng = np.random.default_rng(1)
    if name == "plan":
        store.plan(video, {"chunks": values[0], "bounds": "[0]"})
        model.plan(video, values[0])
    elif name == "commit":
        try:
            store.commit(video, values[0], make_chunk(rng, values[1]))
        except ConflictError:
            assert values[0] >= model.chunks[video]
        model.commit(video, values[0], values[1])
    elif name == "fail":
        store.fail(video, "decode", "x", retryable=False)
        model.fail(video)
    elif name == "cancel":
        store.cancel(video, keep_partial=values[0])
        model.cancel(video, values[0])
    elif name == "delete":
        if video not in model.retried:
            store.delete(video)
            model.delete(video)
    elif name == "retry":
        retry_one(store, model, videos, video)
    elif name == "tag":
        store.set_tags(video, {"a": "b"})
    else:
        store.purge(0)


def retry_one(store: Store, model: Model, videos: list[int], video: int) -> None:
    record = store.find_video(video)
    number = store.retry(record, NewVideo("a", "/a")) if record is not None else None
    may = model.state[video] == "failed" and video not in model.is_deleted | model.retried
    assert (number is not None) == may
    if number is not None:
        model.retried.add(video)
        videos.append(number)
        model.add(number, "queued")


def test_tallies_of_a_forgotten_job_do_not_come_back(store: Store, rng: np.random.Generator) -> None:
    generation = make_generation(store)
    store.redis.hset("hr:j:old", mapping={"finished_at": 5, "created_at": 5})
    store.redis.zadd("hr:jobs", {"old": 5})
    video = add_video(store, generation, 1, job="old")
    store.redis.hset("hr:j:old", "finished_at", 5)
    assert store.forget_jobs(60) == 1
    store.commit(video, 0, make_chunk(rng, 1))
    assert store.video(video).state == "indexed"
    assert not store.redis.exists("hr:j:old")


# What is refused


def test_server_that_may_evict_is_refused(private_redis: Any) -> None:
    store = Store(private_redis().client())
    store.check_server()
    store.redis.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(UnavailableError, match="maxmemory-policy allkeys-lru"):
        store.check_server()


def test_data_of_another_format_are_refused(store: Store) -> None:
    store.check_server()
    store.check_server()
    store.redis.set("hr:format", "99")
    with pytest.raises(ConflictError, match="format 99; this version reads format 1"):
        store.check_server()


def test_server_that_does_not_answer_is_named_unavailable(private_redis: Any) -> None:
    server = private_redis()
    url = server.url()
    server.kill()
    client = connect(url)
    with pytest.raises(UnavailableError, match="does not answer"):
        Store(client).check_server()
    client.close()


def test_append_only_file_is_noticed(private_redis: Any) -> None:
    store = Store(private_redis().client())
    assert store.has_append_only_file()
    store.redis.config_set("appendonly", "no")
    assert not store.has_append_only_file()


def test_collection_of_another_model_is_refused_with_both_named(store: Store) -> None:
    make_generation(store)
    with pytest.raises(FingerprintMismatchError, match=rf"model-a \({FINGERPRINT[:12]}\).*model-b \(b7b7"):
        store.ensure_collection("main", model="model-b", fingerprint="b7" * 32, bits=BITS)
    assert list(store.collections()) == ["main"]


def test_processes_that_make_a_collection_at_once_agree(session_redis: RedisServer, store: Store) -> None:
    made: list[str] = []
    barrier = threading.Barrier(4)

    def make(own: Store) -> None:
        barrier.wait()
        made.append(make_generation(own).id)

    threads = [threading.Thread(target=make, args=(Store(session_redis.client()),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(made)) == 1
    assert Log(store.redis, made[0]).tail().log_id == "0-0"


def test_what_is_stored_survives_kill_minus_nine(private_redis: Any, rng: np.random.Generator) -> None:
    server: RedisServer = private_redis()
    store = Store(server.client())
    generation = make_generation(store)
    videos = [fill_video(store, generation, [make_chunk(rng, 3)]) for _ in range(20)]
    store.delete(videos[0])
    before = everything(store.redis)
    server.kill()
    server.start()
    assert everything(store.redis) == before


def test_json_of_records_is_plain(store: Store) -> None:
    generation = make_generation(store)
    video = add_video(store, generation, 1, tags={"ü": "日"})
    assert json.loads(store.redis.hget(f"hr:v:{video}", "tags")) == {"ü": "日"}
