"""The HTTP app around the real engine, its store and a real Redis that may go away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from gallery_mirror import WAIT_S
from memory_service import MemoryEngine, MemoryQueue, Switch
from redis_server import RedisServer
from stored_gallery import alive_chunks, fill_video, frames_of, make_chunk, make_generation, nearest

from encoder.codes import code_to_hex
from encoder.model import Model
from hashreel import Client
from hashreel.errors import BadInputError, BehindError, NotFoundError, TooLargeError, UnavailableError
from hashreel.settings import Settings
from indexer.records import Generation
from indexer.store import Store
from search.engine import SearchEngine
from search.http import make_app


def no_model(name: str) -> Model:
    raise AssertionError(f"no picture is encoded here, so {name} is not needed")


class Stage:
    """A store, the engine over it, and a client of the app around both."""

    def __init__(self, server: RedisServer, folder: Path, url: str) -> None:
        self.server = server
        self.url = url
        self.store = Store(server.client())
        self.generation: Generation = make_generation(self.store)
        self.settings = Settings(data=folder, index="flat", consistency_wait_ms=int(1000 * WAIT_S))
        self.engine = SearchEngine(self.store, self.settings, no_model)
        self.rng = np.random.default_rng(3)

    def add(self, frames: int, **fields: object) -> int:
        return fill_video(self.store, self.generation, [make_chunk(self.rng, frames)], **fields)


@pytest.fixture
def stages(server: tuple[Switch, str], tmp_path: Path) -> Iterator[Callable[[RedisServer], Stage]]:
    made: list[Stage] = []
    switch, url = server

    def make(redis: RedisServer) -> Stage:
        made.append(Stage(redis, tmp_path / "data", url))
        switch.app = make_app(made[-1].engine, MemoryQueue(MemoryEngine()), made[-1].settings)
        return made[-1]

    yield make
    for stage in made:
        stage.engine.close()


def test_answers_are_those_of_counting_bits_over_what_redis_holds(redis_server, redis_client, stages):
    stage = stages(redis_server)
    videos = [stage.add(int(stage.rng.integers(4, 12))) for _ in range(14)]
    with Client(stage.url) as client:
        client.delete_video(videos[3])
        frames = frames_of(redis_client, alive_chunks(redis_client, stage.generation.id))
        assert len(frames) > 50
        for top in (10, 50, 10, 50, 10, 50):
            code = make_chunk(stage.rng, 1).codes[0]
            hits = client.search("code:" + code_to_hex(code), top=top)
            assert [(hit.distance, int(hit.frame_id)) for hit in hits] == nearest(frames, code, top)
            assert not hits.behind
        again = client.search(hits[4], top=1)
        assert again[0].distance == 0
        assert [video.id for video in client.videos()] == sorted(set(videos) - {videos[3]}, reverse=True)


def test_a_tag_is_seen_by_the_next_search(redis_server, stages):
    stage = stages(redis_server)
    first, second = stage.add(3), stage.add(4)
    with Client(stage.url) as client:
        client.set_tags(second, {"case": "17"})
        hits = client.search("code:" + "00" * 2, top=50, tags={"case": "17"})
        assert {hit.video for hit in hits} == {second}
        assert len(hits) == 4
        assert len(client.search("code:" + "00" * 2, top=50, videos=[first])) == 3


SEARCHES: list[dict[str, object]] = [
    {"top": 10_000},
    {"top": 7},
    {"top": 10_000, "radius": 5},
    {"top": 50, "tags": {"n": ["1", "3"]}},
    {"top": 5, "group_by": "video"},
    {"top": 40, "between": (1.0, 4.0), "exclude_video": 2},
    {"top": 60, "more": ["MARK"]},
    {"top": 4, "more": ["MARK"], "group_by": "video"},
]


@pytest.mark.parametrize("options", SEARCHES, ids=str)
def test_ids_alone_are_those_of_the_whole_answer_and_frames_are_looked_up_later(redis_server, stages, options):
    stage = stages(redis_server)
    first, *_ = [stage.add(int(stage.rng.integers(4, 12)), tags={"n": str(n)}, source=f"{n}.mp4") for n in range(9)]
    options = {name: [str(first << 32)] if value == ["MARK"] else value for name, value in options.items()}
    with Client(stage.url) as client:
        hits = client.search("code:0f0a", **options)
        found = client.search_ids("code:0f0a", **options)
        assert (found.frame_ids, found.distances) == ([h.frame_id for h in hits], [h.distance for h in hits])
        assert found.scores == ([h.score for h in hits] if "more" in options else None)
        assert len(hits) >= 4
        told = {"search_ms", "hits", "frame_ids", "distances", "scores"}
        assert found.model_dump(exclude=told) == hits.answer.model_dump(exclude=told)
        later = client.frames(found.frame_ids, code=found.code)
        assert [frame.model_dump() for frame in later] == [hit.model_dump(exclude={"score"}) for hit in hits]
        assert later.missing == []


def test_frames_are_looked_up_in_order_and_those_that_are_not_there_are_named(redis_server, stages):
    stage = stages(redis_server)
    kept, gone = stage.add(3), stage.add(3)
    facts = {"model": "m", "fingerprint": stage.generation.fingerprint, "bits": stage.generation.bits}
    other = stage.store.ensure_collection("other", **facts)
    elsewhere = fill_video(stage.store, other, [make_chunk(stage.rng, 2)])
    with Client(stage.url) as client:
        hits = client.search("code:0000")
        client.delete_video(gone)
        wanted = [kept << 32 | 2, gone << 32, kept << 32, elsewhere << 32, kept << 32 | 2, 2**63 - 1]
        found = client.frames(wanted)
        assert [int(frame.frame_id) & 0xFFFFF for frame in found] == [2, 0, 2]
        assert {frame.distance for frame in found} == {None}
        assert found.missing == [str(wanted[1]), str(wanted[3]), str(wanted[5])]
        assert [frame.video for frame in client.frames(f"frame:{elsewhere << 32}", collection="other")] == [elsewhere]
        assert client.frames([]) == []
        assert {frame.frame_id for frame in client.frames(hits)} == {hit.frame_id for hit in hits if hit.video == kept}
        with pytest.raises(BadInputError, match="bits"):
            client.frames(kept << 32, code="00" * 6)
        with pytest.raises(NotFoundError, match="absent"):
            client.frames(kept << 32, collection="absent")
        stage.settings.max_top, stage.settings.max_top_ids = 5, 6
        with pytest.raises(TooLargeError, match=r"looks up at most 5 .*HASHREEL_MAX_TOP"):
            client.frames(wanted)
        with pytest.raises(TooLargeError, match=r"at most 5 hits .*/v1/search/ids gives up to 6"):
            client.search("code:0000", top=6)
        assert len(client.search_ids("code:0000", top=6).frame_ids) == 3
        with pytest.raises(TooLargeError, match="HASHREEL_MAX_TOP_IDS"):
            client.search_ids("code:0000", top=7)


def test_refusals_of_the_real_engine(redis_server, stages):
    stage = stages(redis_server)
    stage.add(2)
    with Client(stage.url) as client:
        with pytest.raises(NotFoundError):
            client.search("frame:" + str(2**62))
        with pytest.raises(NotFoundError):
            client.search("code:0000", collection="absent")
        with pytest.raises(ValueError, match=r"bits|bytes"):
            client.search("code:" + "00" * 6)
        for ask in (client.video, client.delete_video):
            with pytest.raises(NotFoundError):
                ask(2**31 - 1)
        with pytest.raises(NotFoundError):
            client.thumbnail(2**62)
        source = httpx.get(f"{stage.url}/v1/videos/1/source", trust_env=False)
        assert source.status_code == 404


def test_a_position_that_is_not_reached_is_refused(redis_server, stages):
    stage = stages(redis_server)
    stage.add(2)
    stage.settings.consistency_wait_ms = 50
    with Client(stage.url) as client, pytest.raises(BehindError):
        client.search("code:0000", min_position="99999999999999-0")


def test_searches_go_on_without_redis_and_the_rest_says_503(private_redis, stages):
    redis = private_redis()
    stage = stages(redis)
    stage.add(5)
    with Client(stage.url) as client:
        assert len(client.search("code:0000", top=9)) == 5
        assert client.health().ready
        redis.kill()
        hits = client.search("code:0000", top=9)
        assert len(hits) == 5
        assert hits.stale
        ids = client.search_ids("code:0000", top=9)
        assert (ids.stale, ids.frame_ids) == (True, [hit.frame_id for hit in hits])
        later = client.frames(ids.frame_ids, code="0000")
        assert [frame.model_dump() for frame in later] == [hit.model_dump(exclude={"score"}) for hit in hits]
        assert not client.health().redis
        with pytest.raises(UnavailableError, match="Redis"):
            client.video(1)
        with pytest.raises(UnavailableError, match="Redis"):
            list(client.videos())
    text = httpx.get(f"{stage.url}/metrics", trust_env=False).text
    assert "hashreel_redis_up 0.0" in text
    assert "hashreel_queries_stale_total 2.0" in text
