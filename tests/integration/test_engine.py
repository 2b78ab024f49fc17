"""The query engine over a real store: what was acknowledged is seen, and what cannot be known is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S, wait_until
from redis_server import RedisServer
from stored_gallery import BITS, FINGERPRINT, add_video, fill_video, make_chunk, make_generation

from encoder.codes import code_to_hex
from encoder.model import Model
from hashreel.errors import BehindError, NotFoundError, UnavailableError
from hashreel.schemas import Query, SearchRequest
from hashreel.settings import Settings
from indexer.chunks import frame_id
from indexer.store import Store
from search.engine import SearchEngine


def no_model(name: str) -> Model:
    raise AssertionError(f"no picture is encoded here, so {name} is not needed")


@pytest.fixture
def open_engine(tmp_path: Path) -> Iterator[Callable[..., SearchEngine]]:
    engines: list[SearchEngine] = []

    def make(store: Store, **settings: object) -> SearchEngine:
        values = {"data": tmp_path, "index": "flat", "consistency_wait_ms": int(1000 * WAIT_S)} | settings
        engines.append(SearchEngine(store, Settings(**values), no_model))  # type: ignore[arg-type]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def by_code(code: np.ndarray, top: int = 10, **options: object) -> SearchRequest:
    return SearchRequest(query=Query(code=code_to_hex(code)), top=top, **options)  # type: ignore[arg-type]


def test_search_sees_every_write_that_was_acknowledged(
    store: Store, open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    generation = make_generation(store)
    engine, other = open_engine(store), open_engine(Store(store.redis))
    videos: list[int] = []
    for number in range(100):
        chunk = make_chunk(rng, 1)
        videos.append(fill_video(store, generation, [chunk]))
        if number % 4 == 3:
            store.delete(videos.pop(0))
        for one in (engine, other):
            answer = one.search(by_code(chunk.codes[0], top=1000))
            assert not answer.behind
            assert not answer.stale
            assert {hit.video for hit in answer.hits} == set(videos)
            assert answer.position.log_id == store.redis.hget("hr:g:1:head", "id").decode()


def test_frame_that_was_committed_just_now_can_be_the_query(
    store: Store, open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    generation, engine = make_generation(store), open_engine(store)
    for _ in range(30):
        video = fill_video(store, generation, [make_chunk(rng, 2)])
        request = SearchRequest(query=Query(frame=str(frame_id(video, 0, 1))), top=1)
        assert engine.search(request).hits[0].distance == 0


def test_search_that_may_not_wait_says_that_it_is_behind(
    store: Store, open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    generation, engine = make_generation(store), open_engine(store, consistency_wait_ms=0)
    query = make_chunk(rng, 1).codes[0]
    engine.search(by_code(query))
    gallery = engine._open_gallery(generation)
    # Only the follower reads entries; it is held up there, so that it cannot get through meanwhile.
    gate, read = threading.Event(), gallery._log.read
    gallery._log.read = lambda *args, **options: (gate.wait(), read(*args, **options))[1]
    fill_video(store, generation, [make_chunk(rng, 2)])
    answer = engine.search(by_code(query, consistency="eventual"))
    assert not answer.behind
    assert answer.hits == []
    assert engine.search(by_code(query)).behind
    gate.set()
    wait_until(lambda: len(gallery) == 2, "the follower gets through")
    with pytest.raises(BehindError, match="99999999999999-0"):
        engine.search(by_code(query, min_position="99999999999999-0"))
    position = engine.search(by_code(query)).position.log_id
    assert len(engine.search(by_code(query, min_position=position)).hits) == 2


def test_answers_go_on_while_redis_is_down_and_say_so(
    private_redis: Callable[..., RedisServer], open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    server = private_redis()
    store = Store(server.client())
    generation = make_generation(store)
    engine = open_engine(store)
    video = fill_video(store, generation, [make_chunk(rng, 3)])
    query = make_chunk(rng, 1).codes[0]
    before = engine.search(by_code(query))
    server.kill()
    during = engine.search(by_code(query))
    assert during.stale
    assert during.hits == before.hits
    assert during.position == before.position
    health = engine.health()
    assert (health.ready, health.redis, health.frames) == (True, False, 3)
    with pytest.raises(UnavailableError, match="does not answer"):
        engine.search(by_code(query, collection="other"))
    server.start()
    store.delete(video)
    after = engine.search(by_code(query))
    assert (after.stale, after.behind, after.hits) == (False, False, [])
    assert engine.health().redis


def test_missing_value_shows_in_the_health(
    store: Store, open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    generation = make_generation(store)
    video = fill_video(store, generation, [make_chunk(rng, 3)])
    store.redis.delete(f"hr:c:{video}")
    engine = open_engine(store)
    wait_until(lambda: f"chunk 0 of video {video}" in engine.health().detail, "the missing value shows")
    assert engine.health().ready


def test_restored_server_whose_generation_is_of_another_model(
    store: Store, open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    engine = open_engine(store)
    fill_video(store, make_generation(store), [make_chunk(rng, 3)])
    query = make_chunk(rng, 1).codes[0]
    assert engine.search(by_code(query)).fingerprint == FINGERPRINT
    store.redis.flushall()
    other = make_generation(store, fingerprint="b7" * 32)
    video = add_video(store, other, 1)
    store.commit(video, 0, make_chunk(rng, 1, fingerprint="b7" * 32))
    answer = engine.search(by_code(query))
    assert (answer.fingerprint, answer.bits, len(answer.hits)) == ("b7" * 32, BITS, 1)


def test_collection_that_is_not_there_is_not_found(store: Store, open_engine: Callable[..., SearchEngine]) -> None:
    engine = open_engine(store)
    with pytest.raises(NotFoundError, match="no collection 'main'"):
        engine.search(by_code(np.zeros(2, np.uint8)))
    health = engine.health()
    assert not health.ready
    assert "no collection" in health.detail


def test_pages_of_videos_hold_each_video_once(
    store: Store, open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    generation, engine = make_generation(store), open_engine(store)
    numbers = [add_video(store, generation, 1, tags={"odd": str(n % 2)}) for n in range(25)]
    store.delete(numbers[3])
    store.cancel(numbers[4])
    seen, cursor = [], None
    while True:
        page = engine.videos(limit=4, before=cursor)
        seen += [video.id for video in page.videos]
        if page.next is None:
            break
        cursor = page.next
    assert seen == [n for n in reversed(numbers) if n != numbers[3]]
    wanted = engine.videos(limit=5, tags={"odd": "1"}, state="encoding")
    assert [video.id for video in wanted.videos] == [numbers[n] for n in (23, 21, 19, 17, 15)]


def test_tags_are_merged_and_an_empty_value_removes_one(
    store: Store, open_engine: Callable[..., SearchEngine], rng: np.random.Generator
) -> None:
    generation, engine = make_generation(store), open_engine(store)
    video = fill_video(store, generation, [make_chunk(rng, 1)], tags={"a": "1", "b": "2"})
    query = make_chunk(rng, 1).codes[0]
    assert engine.set_tags(video, {"b": "", "c": "ü"}).tags == {"a": "1", "c": "ü"}
    assert len(engine.search(by_code(query, tags={"c": "ü"})).hits) == 1
    assert engine.search(by_code(query, tags={"b": "2"})).hits == []
    engine.delete_video(video)
    with pytest.raises(NotFoundError):
        engine.set_tags(video, {"a": "1"})
