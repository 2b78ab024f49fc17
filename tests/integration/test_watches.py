"""Watches at the commit: a chunk is compared with exactly the watches that there are, whoever else does what."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S
from stored_gallery import BITS, FINGERPRINT, add_video, fill_video, make_chunk, make_generation

from encoder.codes import code_to_hex, hamming_distances
from encoder.model import Model
from hashreel.errors import BadInputError, NotFoundError
from hashreel.schemas import MarkRequest, NewWatch, Query, RotateRequest, WatchChange, WatchRequest
from hashreel.settings import Settings
from indexer import watch_table
from indexer.chunks import Chunk, decode_chunk, frame_id
from indexer.store import Store
from indexer.watch_table import WatchEntry, WatchTable
from indexer.watches import Watches
from search.engine import SearchEngine

OTHER = "c3" * 32


@pytest.fixture
def open_engine(tmp_path: Path) -> Iterator[Callable[[Store], SearchEngine]]:
    engines: list[SearchEngine] = []

    def no_model(name: str) -> Model:
        raise NotFoundError(f"there is no model {name} here")

    def make(store: Store) -> SearchEngine:
        settings = Settings(data=tmp_path, index="flat", consistency_wait_ms=int(1000 * WAIT_S))
        engines.append(SearchEngine(store, settings, no_model))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(store: Store, open_engine: Callable[[Store], SearchEngine]) -> SearchEngine:
    make_generation(store)
    return open_engine(store)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def watch_for(engine: SearchEngine, *codes: np.ndarray, radius: int = 3, **options: object) -> NewWatch:
    queries = [Query(code=code_to_hex(code)) for code in codes]
    return engine.add_watch(WatchRequest(queries=queries, radius=radius, **options))  # type: ignore[arg-type]


def found(engine: SearchEngine, watch: str, **options: object) -> dict[int, int]:
    """Return frame id to distance of all hits; fails if one comes twice."""
    hits, before = [], None
    while True:
        page = engine.watch_hits(watch, before=before, limit=7, **options)  # type: ignore[arg-type]
        hits += page.hits
        before = page.next
        if before is None:
            break
    pairs = {int(hit.frame_id): hit.distance for hit in hits}
    assert len(pairs) == len(hits), "a hit is listed twice"
    return pairs


def expected(store: Store, codes: np.ndarray, radius: int, generation: str = "1") -> dict[int, int]:
    """Return what brute force over the stored values finds."""
    pairs = {}
    for video in store.video_numbers(generation):
        record = store.find_video(video)
        if record is None or record.state not in {"encoding", "indexed"}:
            continue
        for number, value in store.chunk_values([video])[0].items():
            chunk = decode_chunk(value)
            for index, distance in enumerate(hamming_distances(chunk.codes, codes).min(axis=1)):
                if distance <= radius:
                    pairs[frame_id(video, number, index)] = int(distance)
    return pairs


@pytest.mark.parametrize("bits", [8, 12, 48, 64, 100, 256])
def test_the_comparison_is_that_of_counting_bits(rng: np.random.Generator, monkeypatch, bits: int) -> None:
    monkeypatch.setattr(watch_table, "BLOCK_WORDS", 64)
    chunk = make_chunk(rng, 150, bits=bits)
    radius = bits // 2 - round(0.7 * bits**0.5)
    entries = [
        WatchEntry(f"w{n}", make_chunk(rng, 1 + n % 3, bits=bits).codes, radius, between_ms=(20_000 * n, 140_000))
        for n in range(7)
    ]
    muting = WatchEntry("s:x", chunk.codes[40:41], bits // 4)
    stored = [WatchEntry.from_json(one.id, one.to_json(), bits) for one in (*entries, muting)]
    matched = {one.watch: one for one in WatchTable("t", tuple(stored)).match(chunk)}
    muted = hamming_distances(chunk.codes, muting.codes)[:, 0] <= muting.radius
    for number, entry in enumerate(entries):
        nearest = hamming_distances(chunk.codes, entry.codes).min(axis=1)
        rows = [r for r in range(150) if nearest[r] <= entry.radius and r >= 20 * number and r < 140 and not muted[r]]
        wanted = sorted((int(nearest[r]), r, int(chunk.times_ms[r])) for r in rows)
        got = matched[entry.id].hits if entry.id in matched else []
        assert [(distance, row, time) for row, time, distance in got] == wanted
    assert sum(len(one.hits) for one in matched.values()) > 20


def test_concepts_and_tags_filter_and_too_many_hits_are_counted(
    store: Store, engine: SearchEngine, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_generation(store)
    code = make_chunk(rng, 1).codes
    tagged = watch_for(engine, code[0], radius=BITS, tags={"case": ["17", "18"], "set": "a"})
    timed = watch_for(engine, code[0], radius=BITS, between=(2000, 4000))
    first = fill_video(store, store.collection("main"), [make_chunk(rng, 5)], tags={"case": "18", "set": "a"})
    fill_video(store, store.collection("main"), [make_chunk(rng, 5)], tags={"case": "19", "set": "a"})
    assert {frame >> 32 for frame in found(engine, tagged.id)} == {first}
    assert len(found(engine, tagged.id)) == 5
    assert len(found(engine, timed.id)) == 4
    with pytest.raises(BadInputError, match="predicts no concept"):
        watch_for(engine, code[0], concepts=["car"])
    for module in ("indexer.store", "indexer.watch_table", "search.watch_keeping", "indexer.watches"):
        monkeypatch.setattr(f"{module}.MAX_HITS", 6)
    wide = watch_for(engine, code[0], radius=BITS)
    assert (wide.hits, wide.lost) == (6, 1)  # the search for what is stored looks no further than one beyond
    fill_video(store, store.collection("main"), [make_chunk(rng, 9)])
    assert engine.watch(wide.id).hits == 6
    assert engine.watch(wide.id).lost == 1 + 9


def test_a_watch_that_is_made_while_chunks_are_committed_misses_nothing_and_reports_nothing_twice(
    store: Store, engine: SearchEngine, open_engine: Callable[[Store], SearchEngine]
) -> None:
    generation, other = store.collection("main"), open_engine(Store(store.redis))
    wanted = {watch: np.random.default_rng(100 + watch).integers(0, 256, (2, 2), np.uint8) for watch in range(6)}
    for codes in wanted.values():
        codes[:, -1] &= (1 << BITS % 8) - 1
    errors: list[BaseException] = []
    watches: dict[int, str] = {}

    def commit(seed: int) -> None:
        own, rng, dice = Store(store.redis), np.random.default_rng(seed), random.Random(seed)
        for _ in range(25):
            number = add_video(own, generation, 3, source=f"archive/{seed}.mp4")
            for chunk in range(3):
                part = make_chunk(rng, 4, start_ms=dice.randrange(10**9))
                own.commit(number, chunk, part)
                own.commit(number, chunk, part)  # as a worker does that was sent its unit twice
            if dice.random() < 0.3:
                own.delete(number)

    def watch(numbers: list[int], through: SearchEngine) -> None:
        for place, number in enumerate(numbers):
            while store.redis.xlen("hr:g:1:log") < 30 + 45 * place and not errors:
                time.sleep(0.001)  # into the thick of it
            watches[number] = watch_for(through, *wanted[number]).id

    def guarded(call: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                call()
            except BaseException as exc:  # noqa: BLE001 - the main thread looks at it
                errors.append(exc)

        return threading.Thread(target=run)

    threads = [guarded(lambda seed=seed: commit(seed)) for seed in range(3)]
    threads += [guarded(lambda: watch([0, 1, 2], engine)), guarded(lambda: watch([3, 4, 5], other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for number, id_ in watches.items():
        brute = expected(store, wanted[number], 3)
        assert found(engine, id_) == brute
        assert len(brute) > 10
        assert engine.watch(id_).searched
    # Nothing is left of what was deleted.
    kept = {field.decode().split(":")[1] for field in store.redis.hkeys("hr:g:1:watch:hits")}
    assert all(store.video(int(frame) >> 32) for frame in kept)
    assert store.redis.zcard("hr:g:1:watch:order") == store.redis.hlen("hr:g:1:watch:hits")


def test_a_watch_that_comes_between_the_comparison_and_the_commit_is_compared_with(
    store: Store, engine: SearchEngine, rng: np.random.Generator
) -> None:
    chunk, worker, made = make_chunk(rng, 30), Store(store.redis), list[NewWatch]()
    commit = worker._commit

    def late(**options: object) -> object:
        if len(made) < 2:
            made.append(watch_for(engine, chunk.codes[len(made)]))
        return commit(**options)  # type: ignore[arg-type]

    worker._commit = late  # type: ignore[assignment]
    fill_video(worker, store.collection("main"), [chunk])
    for place, watch in enumerate(made):
        assert found(engine, watch.id) == expected(store, chunk.codes[place : place + 1], 3)
    assert len(made) == 2


def test_a_search_of_what_is_stored_that_was_cut_short_is_done_by_the_next_service(
    store: Store, engine: SearchEngine, open_engine: Callable[[Store], SearchEngine], rng: np.random.Generator
) -> None:
    chunk = make_chunk(rng, 50)
    fill_video(store, store.collection("main"), [chunk])
    engine._search_stored = lambda generation: None  # type: ignore[method-assign]
    watch = watch_for(engine, chunk.codes[0])
    assert (watch.searched, watch.hits) == (False, 0)
    heir = open_engine(store)
    heir._look_after(store.collection("main"))
    assert heir.watch(watch.id).searched
    assert found(heir, watch.id) == expected(store, chunk.codes[:1], 3)
    heir._look_after(store.collection("main"))
    assert found(heir, watch.id) == expected(store, chunk.codes[:1], 3)


def test_what_is_said_of_hits_holds_for_the_moment_and_goes_with_the_video(
    store: Store, engine: SearchEngine, rng: np.random.Generator
) -> None:
    generation, chunk = store.collection("main"), make_chunk(rng, 4)
    watch = watch_for(engine, chunk.codes[0], radius=BITS)
    first = fill_video(store, generation, [chunk], source="archive/a.mp4", content="a", place="a")
    frames = [str(frame_id(first, 0, index)) for index in range(4)]
    assert engine.watch(watch.id).new == 4
    marked = engine.mark_watch_hits(watch.id, MarkRequest(frames=[*frames[:2], "99"], state="dismissed"), by="mary")
    assert marked.marked == 2
    assert engine.mark_watch_hits(watch.id, MarkRequest(frames=frames[2:3], note="seen")).marked == 1
    assert engine.watch(watch.id).new == 1
    (hit,) = engine.watch_hits(watch.id, state="acknowledged").hits
    assert (hit.frame_id, hit.note, hit.source) == (frames[2], "seen", "archive/a.mp4")
    assert engine.watch_hits(watch.id, state="dismissed").hits[0].marked_by == "mary"
    assert list(found(engine, watch.id, state="new")) == [int(frames[3])]
    # The same file is encoded again, as somebody asked for: the video has another number, the moments are the same.
    second = fill_video(store, generation, [chunk], source="archive/a.mp4", content="a", place="a", replaces=first)
    assert {frame >> 32 for frame in found(engine, watch.id)} == {second}
    assert len(engine.watch_hits(watch.id, state="dismissed").hits) == 2
    assert engine.mark_watch_hits(watch.id, MarkRequest(frames=[str(frame_id(second, 0, 0))], state="new")).marked == 1
    assert engine.watch(watch.id).new == 2
    # Another file at that place has other moments.
    third = fill_video(store, generation, [chunk], source="archive/a.mp4", content="b", place="a")
    assert {frame >> 32 for frame in found(engine, watch.id, state="new")} == {third}
    store.delete(third)
    assert found(engine, watch.id) == {}
    assert engine.watch(watch.id).new == 0
    partial = add_video(store, generation, 2)
    store.commit(partial, 0, chunk)
    assert len(found(engine, watch.id)) == 4
    store.cancel(partial)
    assert found(engine, watch.id) == {}


def test_a_change_holds_at_once_and_a_removal_leaves_nothing(
    store: Store, engine: SearchEngine, rng: np.random.Generator
) -> None:
    generation, chunk = store.collection("main"), make_chunk(rng, 40)
    fill_video(store, generation, [make_chunk(rng, 40)])
    before = set(store.redis.keys())
    watch = watch_for(engine, chunk.codes[0], radius=0)
    video = fill_video(store, generation, [chunk])
    assert found(engine, watch.id) == expected(store, chunk.codes[:1], 0)
    changed = engine.change_watch(watch.id, WatchChange(radius=4, name="wider", note="ü"))
    assert (changed.name, changed.note, changed.radius, changed.webhook) == ("wider", "ü", 4, "")
    assert found(engine, watch.id) == expected(store, chunk.codes[:1], 4)
    fill_video(store, generation, [make_chunk(rng, 40)])
    assert found(engine, watch.id) == expected(store, chunk.codes[:1], 4)
    engine.mark_watch_hits(watch.id, MarkRequest(frames=[str(frame_id(video, 0, 0))]))
    assert engine.remove_watch(watch.id).id == watch.id
    with pytest.raises(NotFoundError):
        engine.watch(watch.id)
    fill_video(store, generation, [chunk])
    left = {key.decode() for key in set(store.redis.keys()) - before}
    assert {key for key in left if "watch" in key or key.startswith("hr:h:")} == {"hr:watch:totals"}


def test_a_paused_watch_finds_nothing_until_it_goes_on_and_then_what_it_missed(
    store: Store, engine: SearchEngine, rng: np.random.Generator
) -> None:
    generation, chunk = store.collection("main"), make_chunk(rng, 40)
    watch = watch_for(engine, chunk.codes[0], radius=4)
    fill_video(store, generation, [chunk])
    before = found(engine, watch.id)
    assert engine.change_watch(watch.id, WatchChange(paused=True)).paused
    engine.change_watch(watch.id, WatchChange(radius=5))  # a change does not end the pause
    fill_video(store, generation, [chunk])
    engine._take_up(generation)  # as is done in the background
    assert found(engine, watch.id) == before
    resumed = engine.change_watch(watch.id, WatchChange(paused=False))
    assert (resumed.paused, resumed.searched, resumed.problem) == (False, True, "")
    assert found(engine, watch.id) == expected(store, chunk.codes[:1], 5)


def test_changes_at_the_same_time_lose_nothing_of_each_other(
    store: Store, engine: SearchEngine, rng: np.random.Generator
) -> None:
    make_generation(store)
    watch = watch_for(engine, make_chunk(rng, 1).codes[0])
    secrets: list[str] = []

    def rename() -> None:
        for number in range(40):
            engine.change_watch(watch.id, WatchChange(name=f"name {number}"))

    def rotate() -> None:
        secrets.extend(engine.rotate_secret(watch.id, RotateRequest()).secret for _ in range(40))

    threads = [threading.Thread(target=one) for one in (rename, rotate)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = Watches(store).find(watch.id)
    assert (stored.name, stored.secret) == ("name 39", secrets[-1])
    # What a newer process has stored beside it does no harm.
    store.redis.hset("hr:watches", watch.id, json.dumps(asdict(stored) | {"colour": "red"}))
    assert Watches(store).find(watch.id) == stored


def test_a_code_of_one_model_says_why_it_finds_nothing_with_another(
    store: Store, engine: SearchEngine, rng: np.random.Generator
) -> None:
    chunk = make_chunk(rng, 3)
    watch = watch_for(engine, chunk.codes[0], radius=BITS)
    fresh = store.create_generation("main", model="model-b", fingerprint=OTHER, bits=BITS)
    engine._take_up(fresh)
    other = Chunk(chunk.times_ms, chunk.codes, None, BITS, OTHER)
    fill_video(store, fresh, [other])
    engine.cut_over("main", fresh.id)
    assert found(engine, watch.id) == {}
    assert "no picture" in engine.watch(watch.id).problem
    fill_video(store, store.generation("1"), [chunk])
    engine.roll_back("main")
    assert engine.watch(watch.id).problem == ""
    assert len(found(engine, watch.id)) == 3


def test_imported_galleries_are_watched_too(store: Store, engine: SearchEngine, rng, tmp_path: Path) -> None:
    source = make_generation(store, "elsewhere", fingerprint=FINGERPRINT)
    chunk = make_chunk(rng, 30)
    fill_video(store, source, [chunk])
    engine.index_export(tmp_path / "g.npz", "npz", "elsewhere")
    watch = watch_for(engine, chunk.codes[0])
    engine.index_import(tmp_path / "g.npz")
    assert found(engine, watch.id) == expected(store, chunk.codes[:1], 3, store.collection("main").id)
    assert Watches(store).totals()["hits"] == len(found(engine, watch.id)) > 0
