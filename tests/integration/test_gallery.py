"""The gallery equals the log, whatever happens: brute force over what the log says is alive is the judge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from gallery_mirror import WAIT_S, Writer, check_forms, check_now, wait_until
from redis_server import RedisServer
from stored_gallery import add_video, alive_chunks, fill_video, make_chunk, make_generation

from hashreel.errors import NotFoundError
from indexer.chunks import frame_id
from indexer.columns import Filter
from indexer.flat import FlatIndex
from indexer.gallery import Found, Gallery
from indexer.snapshots import Snapshots
from indexer.store import Store, connect

MakeGallery = Callable[..., Gallery]


@pytest.fixture
def open_gallery() -> Iterator[MakeGallery]:
    galleries: list[Gallery] = []

    def make(store: Store, name: str = "main") -> Gallery:
        galleries.append(Gallery(store, store.collection(name), kind="flat"))
        galleries[-1].start()
        return galleries[-1]

    yield make
    for gallery in galleries:
        gallery.close()


@pytest.fixture
def writer(store: Store) -> Writer:
    return Writer(store, make_generation(store), seed=3)


# Any sequence of writes


def run_steps(writer: Writer, open_gallery: MakeGallery, steps: int, *, check_every: int) -> None:
    store = writer.store
    gallery = open_gallery(store)
    for step in range(steps):
        writer.step()
        if step % check_every == 0:
            check_now(gallery, writer)
        if step % (20 * check_every) == 0:
            gallery.close()
            gallery = open_gallery(store)
        if step % (31 * check_every) == 0:
            # Readers that were behind find that the log's beginning is gone.
            store.redis.xtrim(f"hr:g:{writer.generation.id}:log", maxlen=3, approximate=False)
    check_now(gallery, writer)
    late = open_gallery(store)
    check_now(late, writer, top=10_000)
    assert gallery.problem == late.problem == ""


@pytest.mark.parametrize("seed", [1, 2])
def test_gallery_equals_the_log_after_any_writes(store: Store, open_gallery: MakeGallery, seed: int) -> None:
    run_steps(Writer(store, make_generation(store), seed), open_gallery, 150, check_every=3)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_gallery_equals_the_log_after_thousands_of_writes(store: Store, open_gallery: MakeGallery, seed: int) -> None:
    run_steps(Writer(store, make_generation(store), 100 + seed), open_gallery, 2500, check_every=5)


def search_beside_writes(writer: Writer, open_gallery: MakeGallery, steps: int, *, rebuilds: int) -> None:
    """Search without pause while another thread writes; every answer fits the position that it carries."""
    gallery = open_gallery(writer.store)
    assert gallery.catch_up(WAIT_S)
    answers: list[tuple[np.ndarray, Found]] = []
    stop = threading.Event()
    rng = np.random.default_rng(9)
    own = Store(writer.store.redis)

    def search() -> None:
        while not stop.is_set():
            query = make_chunk(rng, 1).codes[0]
            answers.append((query, gallery.search(query, 7)))

    searcher = threading.Thread(target=search)
    searcher.start()
    try:
        for step in range(steps):
            writer.step()
            if rebuilds and step % (steps // rebuilds) == 0:
                late = open_gallery(own)
                query = writer.query()
                assert late.catch_up(WAIT_S)
                answers.append((query, late.search(query, 7)))
                late.close()
    finally:
        stop.set()
        searcher.join()
    assert len({found.position.log_id for _, found in answers}) > 2
    # Brute force in Python is slow: of thousands of answers, some hundreds from all over are checked.
    for query, found in answers[:: max(1, len(answers) // 300)]:
        writer.mirror.check(found, query, 7)


def test_every_answer_is_right_for_the_position_it_carries(writer: Writer, open_gallery: MakeGallery) -> None:
    search_beside_writes(writer, open_gallery, 150, rebuilds=0)


def test_searcher_that_starts_amid_writes_is_right_too(writer: Writer, open_gallery: MakeGallery) -> None:
    for _ in range(60):
        writer.step()
    search_beside_writes(writer, open_gallery, 60, rebuilds=10)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_searchers_that_start_amid_thousands_of_writes(writer: Writer, open_gallery: MakeGallery) -> None:
    search_beside_writes(writer, open_gallery, 2000, rebuilds=100)


class ScannedLate(Store):
    """A store whose scan is held up in the middle while something else happens."""

    meanwhile: Callable[[], None] | None = None

    def chunk_values(self, videos: object) -> list[dict[int, bytes]]:
        values = super().chunk_values(videos)  # type: ignore[arg-type]
        if self.meanwhile is not None:
            happen, self.meanwhile = self.meanwhile, None
            happen()
        return values


def test_gallery_that_was_scanned_while_the_log_moved_is_right(store: Store, open_gallery: MakeGallery) -> None:
    writer = Writer(store, make_generation(store), seed=5)
    for _ in range(50):
        writer.step()
    slow = ScannedLate(store.redis)

    def move_on() -> None:
        for _ in range(700):  # more than one reading of the log
            writer.step()

    slow.meanwhile = move_on
    check_now(open_gallery(slow), writer)


def test_log_trimmed_under_a_reader_makes_it_rebuild(writer: Writer, open_gallery: MakeGallery) -> None:
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    with gallery._lock.reading():  # the follower waits to apply what it has read
        writer.commit_new()
        for _ in range(40):
            writer.step()
        writer.store.redis.xtrim(f"hr:g:{writer.generation.id}:log", maxlen=2, approximate=False)
    check_now(gallery, writer)
    assert gallery.problem == ""


def test_log_trimmed_by_age_keeps_its_last_entry_and_readers(writer: Writer, open_gallery: MakeGallery) -> None:
    gallery = open_gallery(writer.store)
    for _ in range(300):  # Redis trims by whole nodes of its stream
        writer.commit_new()
    check_now(gallery, writer)
    assert writer.store.trim_log(writer.generation.id, 10**6, 3600) == 0
    time.sleep(0.01)
    assert writer.store.trim_log(writer.generation.id, 10**6, 0.001) >= 100
    assert writer.store.redis.xrange(f"hr:g:{writer.generation.id}:log", writer.mirror.last)
    check_now(gallery, writer)
    check_now(open_gallery(writer.store), writer)
    writer.commit_new()
    check_now(gallery, writer)


def test_videos_deleted_together_leave_the_index_together(
    writer: Writer, open_gallery: MakeGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery(writer.store)
    numbers = [writer.commit_new() for _ in range(40)]
    check_now(gallery, writer)
    calls: list[int] = []
    delete_ranges = FlatIndex.delete_ranges

    def counted(index: FlatIndex, ranges: np.ndarray) -> int:
        calls.append(len(ranges))
        return delete_ranges(index, ranges)

    monkeypatch.setattr(FlatIndex, "delete_ranges", counted)
    with gallery._lock.reading():  # the follower waits to apply what it has read
        for number in numbers[:30]:
            writer.store.delete(number)
        writer.commit_new()
    writer.mirror.follow()
    check_now(gallery, writer, top=1000)
    assert sum(calls) == 30
    assert len(calls) <= 3


# What a search returns


def test_empty_gallery_answers_with_nothing(writer: Writer, open_gallery: MakeGallery) -> None:
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    found = gallery.search(writer.query(), 5)
    assert (found.frames, found.size, found.tie_band, found.position.log_id) == ([], 0, 0, "0-0")


def test_filters_radius_and_groups_act_before_truncation(store: Store, open_gallery: MakeGallery) -> None:
    generation = make_generation(store)
    rng = np.random.default_rng(4)
    videos = [
        fill_video(store, generation, [make_chunk(rng, 9), make_chunk(rng, 9, start_ms=600_000)], tags={"parity": p})
        for p in ["even", "odd"] * 5
    ]
    gallery = open_gallery(store)
    assert gallery.catch_up(WAIT_S)
    query = make_chunk(rng, 1).codes[0]
    every = gallery.search(query, 10_000).frames
    assert len(every) == 180

    def ids(found: Found) -> list[int]:
        return [frame.frame_id for frame in found.frames]

    wanted = Filter(tags={"parity": "odd"}, between_ms=(600_000, 604_000), exclude_video=videos[1])
    passing = [
        f for f in every if f.tags["parity"] == "odd" and 600_000 <= f.time_ms < 604_000 and f.video != videos[1]
    ]
    assert len(passing) == 16
    assert ids(gallery.search(query, 5, filter_=wanted)) == [f.frame_id for f in passing[:5]]
    assert ids(gallery.search(query, 500, filter_=wanted)) == [f.frame_id for f in passing]
    near = [f.frame_id for f in every if f.distance <= 4]
    assert ids(gallery.search(query, 10_000, radius=4)) == near
    assert ids(gallery.search(query, 3, radius=4)) == near[:3]
    best: dict[int, int] = {}
    for frame in every:
        best.setdefault(frame.video, frame.frame_id)
    assert ids(gallery.search(query, 4, is_grouped=True)) == list(best.values())[:4]
    assert ids(gallery.search(query, 99, is_grouped=True)) == list(best.values())
    assert ids(gallery.search(query, 3, filter_=Filter(videos=[]))) == []


def test_frame_is_found_by_its_id(store: Store, open_gallery: MakeGallery) -> None:
    generation = make_generation(store)
    chunk = make_chunk(np.random.default_rng(4), 3, start_ms=500)
    video = fill_video(store, generation, [chunk], source="archive/ü.mp4")
    gallery = open_gallery(store)
    assert gallery.catch_up(WAIT_S)
    frame = gallery.frame(frame_id(video, 0, 2))
    assert (frame.source, frame.time_ms, frame.code.tolist()) == ("archive/ü.mp4", 2500, chunk.codes[2].tolist())
    for missing in (frame_id(video, 0, 3), frame_id(video, 1, 0), frame_id(video + 1, 0, 0), 2**63 - 1):
        with pytest.raises(NotFoundError):
            gallery.frame(missing)


def test_gallery_that_is_not_built_says_so(store: Store) -> None:
    gallery = Gallery(store, make_generation(store), kind="flat")
    with pytest.raises(NotFoundError, match="still being built"):
        gallery.search(make_chunk(np.random.default_rng(0), 1).codes[0], 1)
    assert not gallery.is_ready
    assert gallery.position is None
    gallery.close()


def test_wait_for_a_position(writer: Writer, open_gallery: MakeGallery) -> None:
    gallery = open_gallery(writer.store)
    writer.commit_new()
    assert gallery.wait_position(writer.mirror.last, WAIT_S)
    time_ms = int(writer.mirror.last.split("-")[0])
    assert not gallery.wait_position(f"{time_ms + 10**9}-0", 0.01)
    assert gallery.lag() == 0


# Damage


def test_value_deleted_by_hand_is_reported_and_the_rest_is_searched(writer: Writer, open_gallery: MakeGallery) -> None:
    kept, lost = writer.commit_new(), writer.commit_new()
    writer.store.redis.hdel(f"hr:c:{lost}", "0")
    gallery = open_gallery(writer.store)
    wait_until(lambda: bool(gallery.problem), "the missing value is reported")
    assert f"chunk 0 of video {lost}: its value is not stored" in gallery.problem
    assert {frame.video for frame in gallery.search(writer.query(), 99).frames} == {kept}
    writer.store.delete(lost)
    wait_until(lambda: gallery.problem == "", "a deleted video lacks nothing")


def test_value_that_disappears_before_it_was_read_is_reported(writer: Writer, open_gallery: MakeGallery) -> None:
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    with gallery._lock.reading():
        kept = writer.commit_new()  # the follower now waits with this one
        wait_until(lambda: gallery._lock._writers_waiting > 0, "the follower waits")
        lost = writer.commit_new()
        writer.store.redis.hdel(f"hr:c:{lost}", "0")
    wait_until(lambda: f"video {lost}" in gallery.problem, "the missing value is reported")
    assert {frame.video for frame in gallery.search(writer.query(), 99).frames} == {kept}


def test_value_replaced_by_hand_is_reported_by_a_scan(writer: Writer, open_gallery: MakeGallery) -> None:
    kept, changed = writer.commit_new(), writer.commit_new()
    writer.store.redis.hset(f"hr:c:{changed}", "0", writer.store.values_of([(kept, 0)])[0])
    gallery = open_gallery(writer.store)
    wait_until(lambda: f"video {changed}: its value is not the one" in gallery.problem, "the change is reported")
    assert {frame.video for frame in gallery.search(writer.query(), 99).frames} == {kept}


def test_value_replaced_by_hand_before_it_was_read_is_reported(writer: Writer, open_gallery: MakeGallery) -> None:
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    with gallery._lock.reading():
        kept = writer.commit_new()
        wait_until(lambda: gallery._lock._writers_waiting > 0, "the follower waits")
        changed = writer.commit_new()
        writer.store.redis.hset(f"hr:c:{changed}", "0", writer.store.values_of([(kept, 0)])[0])
    wait_until(lambda: f"video {changed}: its value is not the one" in gallery.problem, "the change is reported")
    assert {frame.video for frame in gallery.search(writer.query(), 99).frames} == {kept}


def test_codes_of_another_model_are_never_searched(writer: Writer, open_gallery: MakeGallery) -> None:
    kept, foreign = writer.commit_new(), add_video(writer.store, writer.generation, 1)
    # Only by hand can such a value come in: let the generation be the other model's for one commit.
    writer.store.redis.hset("hr:g:1", "fingerprint", "b7" * 32)
    writer.store.commit(foreign, 0, make_chunk(writer.rng, 3, fingerprint="b7" * 32))
    writer.store.redis.hset("hr:g:1", "fingerprint", writer.generation.fingerprint)
    gallery = open_gallery(writer.store)
    wait_until(lambda: "b7b7b7b7b7b7" in gallery.problem, "the foreign codes are reported")
    assert writer.generation.fingerprint[:12] in gallery.problem
    assert {frame.video for frame in gallery.search(writer.query(), 99).frames} == {kept}


def test_entry_written_by_hand_is_reported_and_does_not_stop_searches(
    writer: Writer, open_gallery: MakeGallery
) -> None:
    kept = writer.commit_new()
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    writer.store.redis.xadd("hr:g:1:log", {"hello": "world"})
    wait_until(lambda: bool(gallery.problem), "the strange entry is reported")
    assert {frame.video for frame in gallery.search(writer.query(), 99).frames} == {kept}
    writer.store.redis.xtrim("hr:g:1:log", maxlen=0, approximate=False)


def test_emptied_server_is_reported_and_searches_go_on(writer: Writer, open_gallery: MakeGallery) -> None:
    kept = writer.commit_new()
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    writer.store.redis.flushall()
    wait_until(lambda: "no log of generation" in gallery.problem, "the lost log is reported")
    assert {frame.video for frame in gallery.search(writer.query(), 99).frames} == {kept}
    make_generation(writer.store)
    wait_until(lambda: len(gallery) == 0, "the new, empty log is followed")
    wait_until(lambda: gallery.problem == "", "nothing is wrong any more")


# Roll-backs and crashes of Redis


@pytest.fixture
def rolling(private_redis: Callable[..., RedisServer]) -> tuple[RedisServer, Writer]:
    server = private_redis()
    store = Store(server.client())
    return server, Writer(store, make_generation(store), seed=8)


def fresh_mirror(writer: Writer) -> None:
    """Forget what the log said before it was rolled back; codes by (video, chunk) that are committed stay."""
    mirror = writer.mirror
    mirror.last, mirror.alive, mirror.history = "0-0", frozenset(), {"0-0": frozenset()}
    mirror.follow()


def test_rolled_back_log_makes_searchers_rebuild(
    rolling: tuple[RedisServer, Writer], open_gallery: MakeGallery
) -> None:
    server, writer = rolling
    for _ in range(30):
        writer.commit_new()
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    copy = server.backup()
    deleted = writer.whole[3]
    writer.store.delete(deleted)
    for _ in range(5):
        writer.commit_new()
    check_now(gallery, writer)
    server.roll_back(copy)
    fresh_mirror(writer)
    wait_until(lambda: len(gallery) == 90, "the state before is back")
    check_now(gallery, writer, top=1000)
    assert deleted in {video for video, _ in writer.mirror.alive}


def test_log_that_was_rolled_back_and_grew_again_makes_searchers_rebuild(
    rolling: tuple[RedisServer, Writer], open_gallery: MakeGallery
) -> None:
    server, writer = rolling
    writer.commit_new()
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    copy = server.backup()
    for _ in range(3):
        writer.commit_new()
    check_now(gallery, writer)
    server.roll_back(copy)
    # The same numbers are given out once more, with other codes, and the ids are past what the searcher has seen.
    for _ in range(6):
        writer.commit_new()
    fresh_mirror(writer)
    check_now(gallery, writer, top=1000)


def test_log_that_was_rolled_back_to_the_same_tail_id_makes_searchers_rebuild(
    rolling: tuple[RedisServer, Writer], open_gallery: MakeGallery
) -> None:
    server, writer = rolling
    writer.commit_new()
    video = add_video(writer.store, writer.generation, 2)
    gallery = open_gallery(writer.store)
    copy = server.backup()
    seen = make_chunk(writer.rng, 4)
    log_id = writer.store.commit(video, 1, seen)
    assert gallery.wait_position(log_id, WAIT_S)
    server.roll_back(copy)
    writer.mirror.codes[video, 1] = make_chunk(writer.rng, 2)
    writer.store.commit(video, 1, writer.mirror.codes[video, 1])
    move_tail(server, log_id)
    fresh_mirror(writer)
    assert writer.mirror.last == log_id
    check_now(gallery, writer, top=1000)


def move_tail(server: RedisServer, log_id: str) -> None:
    """Give the last entry of the log another id, as if it had been written in that very millisecond."""
    client = server.client()
    last_id, fields = client.xrevrange("hr:g:1:log", count=1)[0]
    earlier = client.xrange("hr:g:1:log", max=f"({last_id.decode()}")
    pipe = client.pipeline(transaction=True)
    pipe.delete("hr:g:1:log")
    for entry_id, values in [*earlier, (log_id, fields)]:
        pipe.xadd("hr:g:1:log", values, id=entry_id)
    pipe.hset("hr:g:1:head", "id", log_id)
    pipe.execute()


def test_roll_back_in_the_middle_of_a_scan_is_noticed(
    rolling: tuple[RedisServer, Writer], open_gallery: MakeGallery
) -> None:
    server, writer = rolling
    writer.commit_new()
    writer.commit_new()
    copy = server.backup()
    later = writer.commit_new
    first, second = writer.whole

    # What the scan sees is ahead of the log's tail as it was before the scan, and then never was.
    class Moved(ScannedLate):
        def video_numbers(self, generation: str) -> list[int]:
            if self.meanwhile is not None:
                later()
                writer.store.delete(second)
            return super().video_numbers(generation)

    slow = Moved(server.client())
    slow.meanwhile = lambda: server.roll_back(copy)
    gallery = open_gallery(slow)
    wait_until(lambda: gallery.is_ready, "the gallery is built")
    fresh_mirror(writer)
    assert writer.mirror.alive == {(first, 0), (second, 0)}
    check_now(gallery, writer, top=1000)


def test_searches_go_on_while_redis_is_down_and_catch_up_after(
    rolling: tuple[RedisServer, Writer], open_gallery: MakeGallery
) -> None:
    server, writer = rolling
    for _ in range(10):
        writer.commit_new()
    gallery = open_gallery(writer.store)
    check_now(gallery, writer)
    server.kill()
    with pytest.raises(redis.ConnectionError):
        gallery.catch_up(1)
    query = writer.query()
    writer.mirror.check(gallery.search(query, 5), query, 5)
    server.start()
    writer.commit_new()
    check_now(gallery, writer)
    assert alive_chunks(writer.store.redis, "1") == set(writer.mirror.alive)


def test_only_the_follower_waits_for_a_server_that_hangs(
    rolling: tuple[RedisServer, Writer], open_gallery: MakeGallery
) -> None:
    server, writer = rolling
    writer.commit_new()
    patient = connect(server.url(), timeout_s=1.0)
    gallery = open_gallery(Store(patient))
    check_now(gallery, writer)
    server.pause()
    wait_until(lambda: gallery.is_cut_off, "the server hangs")
    with pytest.raises(redis.ConnectionError):
        gallery.catch_up(1)
    with pytest.raises(redis.ConnectionError):
        gallery.lag()
    query = writer.query()
    writer.mirror.check(gallery.search(query, 5), query, 5)
    server.go_on()
    wait_until(lambda: not gallery.is_cut_off, "the server answers again")
    writer.commit_new()
    check_now(gallery, writer)
    gallery.close()
    patient.close()


def test_searcher_that_starts_before_redis_comes_up(
    rolling: tuple[RedisServer, Writer], open_gallery: MakeGallery
) -> None:
    server, writer = rolling
    writer.commit_new()
    gallery = Gallery(writer.store, writer.generation, kind="flat")
    server.kill()
    gallery.start()
    with pytest.raises(redis.ConnectionError):
        gallery.catch_up(1)
    assert not gallery.is_ready
    server.start()
    wait_until(lambda: gallery.is_ready, "the gallery is built")
    check_now(gallery, writer)
    gallery.close()


def tear(folder: Path, rng: np.random.Generator) -> None:
    """Cut or flip something in the newest snapshot, and leave one that was never finished."""
    snapshots = sorted(folder.glob("[!.]*-*"))
    if snapshots:
        files = sorted(path for path in snapshots[-1].rglob("*") if path.is_file() and path.stat().st_size)
        path = files[int(rng.integers(len(files)))]
        raw = bytearray(path.read_bytes())
        place = int(rng.integers(len(raw)))
        raw[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(raw[:place] if rng.random() < 0.5 else raw)
        (folder / f".{snapshots[-1].name[:-1]}x").mkdir(exist_ok=True)


def cross_everything(server: RedisServer, writer: Writer, folder: Path, steps: int, kind: str = "flat") -> None:
    """Write, snapshot, tear, compact, restart searchers, and roll Redis back, in any order.

    After each step a query of every form equals brute force over what the log says.
    """
    rng, store = np.random.default_rng(writer.rng.integers(2**32)), writer.store
    snapshots = Snapshots(folder, writer.generation, kind=kind)

    def opened() -> Gallery:
        made = Gallery(store, writer.generation, kind=kind, snapshots=snapshots)
        made.start()
        return made

    gallery, copies = opened(), [server.backup()]
    for _ in range(steps):
        for _ in range(int(rng.integers(1, 8))):
            writer.step()
        act = str(rng.choice(["check", "snapshot", "restart", "tear", "compact", "copy", "roll back", "kill", "trim"]))
        if act == "snapshot" and gallery.is_ready:
            gallery.snapshot()
        elif act == "restart":
            gallery.close()
            gallery = opened()
        elif act == "tear":
            # While a gallery is open, its files are mapped into memory.
            gallery.close()
            tear(folder, rng)
            gallery = opened()
        elif act == "compact" and gallery.is_ready:
            gallery.compact()
        elif act == "copy":
            copies.append(server.backup())
        elif act == "roll back":
            server.roll_back(copies[int(rng.integers(len(copies)))])
            writer.start_over()
        elif act == "kill":
            server.kill()
            server.start()
        elif act == "trim":
            store.redis.xtrim("hr:g:1:log", maxlen=4, approximate=False)
        check_now(gallery, writer)
        check_forms(gallery, writer)
    gallery.close()
    assert gallery.problem == ""


def test_searchers_with_snapshots_are_right_whatever_is_rolled_back(
    rolling: tuple[RedisServer, Writer], tmp_path: Path
) -> None:
    cross_everything(*rolling, tmp_path, 30)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["flat", "exact", "auto"])
def test_searchers_with_snapshots_are_right_after_hundreds_of_roll_backs(
    private_redis: Callable[..., RedisServer], tmp_path: Path, kind: str
) -> None:
    server = private_redis()
    store = Store(server.client())
    cross_everything(server, Writer(store, make_generation(store), 50), tmp_path, 2000, kind)
