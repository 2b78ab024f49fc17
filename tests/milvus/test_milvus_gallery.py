"""A gallery in Milvus equals the log: one applier at a time writes it, and every searcher reads it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gallery_mirror import WAIT_S, Writer, check_forms, check_now, wait_until
from redis_server import RedisServer
from stored_gallery import BITS, fill_video, make_chunk, make_generation

from hashreel.errors import BadInputError, UnavailableError
from indexer import make_index
from indexer.chunks import frame_id
from indexer.milvus.applier import Applier
from indexer.milvus.collection import Connection, MilvusCollection
from indexer.milvus.gallery import MilvusGallery, MilvusOptions
from indexer.milvus.lease import LeaseLostError, read_applied
from indexer.store import Store

MakeGallery = Callable[[Store], MilvusGallery]


def applier_of(store: Store, connection: Connection, options: MilvusOptions) -> Applier:
    return Applier(store, store.collection("main"), connection, options.prefix, options.lease_s)


def end_lease(store: Store, generation: str) -> None:
    """Do what time does to a lease that nobody renews."""
    store.redis.delete(store.keys.milvus_lease(generation))


def ids_in(connection: Connection, name: str) -> list[int]:
    return [int(i) for ids, _ in MilvusCollection(connection, name, BITS).items(None, 1000) for i in ids]


def test_every_answer_equals_brute_force_over_the_log(store: Store, open_gallery: MakeGallery) -> None:
    writer = Writer(store, make_generation(store), seed=5)
    for _ in range(15):
        writer.step()
    gallery = open_gallery(store)
    for step in range(60):
        writer.step()
        if step % 5 == 0:
            check_now(gallery, writer)
    check_now(gallery, writer)
    check_forms(gallery, writer)
    assert gallery.verify().is_equal
    status = gallery.status()
    assert (status["kind"], status["frames"]) == ("milvus", len(gallery))


def test_a_second_searcher_takes_over_when_the_first_one_ends(store: Store, open_gallery: MakeGallery) -> None:
    writer = Writer(store, make_generation(store), seed=6)
    writer.commit_new()
    first = open_gallery(store)
    check_now(first, writer)
    second = open_gallery(store)
    check_now(second, writer)
    name = read_applied(store.redis, store.keys, writer.generation.id)
    first.close()
    writer.commit_new()
    check_now(second, writer)
    after = read_applied(store.redis, store.keys, writer.generation.id)
    assert name is not None
    assert after is not None
    # It went on where the first one had stopped, and loaded nothing anew.
    assert after.collection == name.collection


def test_an_applier_that_lost_its_lease_writes_nothing(
    store: Store, connection: Connection, options: MilvusOptions
) -> None:
    generation = make_generation(store)
    rng = np.random.default_rng(1)
    fill_video(store, generation, [make_chunk(rng, 5)])
    old, new = (applier_of(store, connection, options) for _ in range(2))
    assert old.lease.take()
    applied = old.begin()
    assert not new.lease.take()
    end_lease(store, generation.id)
    assert new.lease.take()
    there = ids_in(connection, applied.collection)
    fill_video(store, generation, [make_chunk(rng, 4)])
    # Its own clock says that there is plenty of time left; the script that stores the position knows better.
    with pytest.raises(LeaseLostError):
        old.lease.store(applied)
    with pytest.raises(LeaseLostError):
        old.step(applied)
    assert ids_in(connection, applied.collection) == there
    assert read_applied(store.redis, store.keys, generation.id) == applied
    assert new.step(new.begin()).position == new._log.tail()
    assert len(ids_in(connection, applied.collection)) == 9


def test_a_late_write_of_a_deleted_video_shows_nowhere(
    store: Store, connection: Connection, open_gallery: MakeGallery
) -> None:
    writer = Writer(store, make_generation(store), seed=7)
    videos = [writer.commit_new(frames=6) for _ in range(4)]
    gallery = open_gallery(store)
    check_now(gallery, writer)
    store.delete(videos[1])
    check_now(gallery, writer)
    applied = read_applied(store.redis, store.keys, writer.generation.id)
    assert applied is not None
    # An applier was stopped in the middle of this call for longer than its lease lasts.
    late = np.array([frame_id(videos[1], 0, i) for i in range(6)], np.int64)
    codes = np.stack([writer.query()] * 6)
    MilvusCollection(connection, applied.collection, BITS).upsert(late, codes)
    found = gallery.search(codes[0], 18)
    writer.mirror.follow()
    assert len(found.frames) == 18
    assert videos[1] not in {frame.video for frame in found.frames}


def test_what_redis_has_forgotten_is_loaded_anew(
    server: RedisServer, store: Store, connection: Connection, options: MilvusOptions, open_gallery: MakeGallery
) -> None:
    writer = Writer(store, make_generation(store), seed=8)
    kept = writer.commit_new(frames=6)
    applier = applier_of(store, connection, options)
    assert applier.lease.take()
    before = applier.step(applier.begin())
    copy = server.backup()
    store.delete(kept)
    applier.step(before)
    assert ids_in(connection, before.collection) == []
    # The deletion is lost with Redis's last second, and the applier with its machine: the video is alive again.
    server.roll_back(copy)
    end_lease(store, writer.generation.id)
    gallery = open_gallery(store)
    wait_until(lambda: len(gallery) == 6, "the video is back")
    assert [frame.video for frame in gallery.search(writer.query(), 10).frames] == [kept] * 6
    assert before.collection not in connection.collections(options.prefix)


def test_a_dropped_generation_leaves_nothing_in_milvus(
    store: Store, connection: Connection, options: MilvusOptions, open_gallery: MakeGallery
) -> None:
    writer = Writer(store, make_generation(store), seed=9)
    writer.commit_new()
    gallery = open_gallery(store)
    check_now(gallery, writer)
    assert connection.collections(options.prefix)
    gallery.discard()
    assert connection.collections(options.prefix) == []


def test_long_tie_bands_are_answered_exactly_and_not_counted_to_their_end(options: MilvusOptions) -> None:
    index = make_index("milvus", 16, uri=options.uri, most_fetched=100, most_calls=64)
    ids = np.random.default_rng(2).permutation(1000)
    index.add(ids, np.zeros((1000, 2), np.uint8))
    query = np.zeros((1, 2), np.uint8)
    distances, found = index.search(query, 150)
    assert (distances.max(), found[0].tolist()) == (0, list(range(150)))
    counts, is_cut = index.tie_bands(query, np.zeros(1, np.int32))
    assert (counts.tolist(), is_cut.tolist()) == ([100], [True])
    allowed = np.array([[10, 60]])
    counts, is_cut = index.tie_bands(query, np.zeros(1, np.int32), allowed)
    assert (counts.tolist(), is_cut.tolist()) == ([50], [False])
    assert len(index.within(query, 0)[0][1]) == 1000
    few = make_index("milvus", 16, uri=options.uri, most_fetched=10, most_calls=4)
    few.add(ids, np.zeros((1000, 2), np.uint8))
    with pytest.raises(BadInputError, match="smaller radius"):
        few.within(query, 0)
    # The distance is right all the same; which frames of the band they are is not, and is said.
    distances, found = few.search(query, 3)
    assert (distances.tolist(), len(set(found[0].tolist()))) == ([[0, 0, 0]], 3)
    assert few.tie_bands(query, np.zeros(1, np.int32))[1].tolist() == [True]
    index.close()
    few.close()


def test_errors_name_the_server_without_its_password() -> None:
    with pytest.raises(UnavailableError, match=r"http://127\.0\.0\.1:1") as caught:
        Connection("http://root:secret@127.0.0.1:1", timeout_s=1.0)
    assert "secret" not in str(caught.value)
    with pytest.raises(BadInputError, match="most_fetched is 1"):
        make_index("milvus", 48, most_fetched=1)


def test_a_search_waits_for_milvus_as_it_waits_for_the_log(store: Store, open_gallery: MakeGallery) -> None:
    writer = Writer(store, make_generation(store), seed=10)
    gallery = open_gallery(store)
    assert gallery.catch_up(WAIT_S)
    for _ in range(10):
        writer.commit_new(frames=2)
        check_now(gallery, writer)
