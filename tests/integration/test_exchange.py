"""Galleries as files: what is known of frames and videos survives, and nothing comes in twice."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from gallery_mirror import WAIT_S, wait_until
from leaky_proxy import LeakyProxy
from redis_server import RedisServer
from stored_gallery import BITS, FINGERPRINT, add_video, fill_video, make_chunk

from encoder.model import Model
from hashreel.errors import BadInputError, FingerprintMismatchError
from hashreel.schemas import Query, SearchRequest
from hashreel.settings import Settings
from indexer.columns import Stretch
from indexer.exchange import _read, export_gallery, import_gallery
from indexer.exporting import arrow_modules
from indexer.gallery import Gallery
from indexer.index import make_index
from indexer.members import pack_names
from indexer.records import Generation, LogPosition, NewVideo
from indexer.snapshots import View
from indexer.store import Store, connect
from search.engine import SearchEngine

NAMES = ("road", "sky", "car")


def collection(store: Store, name: str, fingerprint: str = FINGERPRINT) -> Generation:
    return store.ensure_collection(name, model="m", fingerprint=fingerprint, bits=BITS, concepts=NAMES)


@contextmanager
def opened(store: Store, generation: Generation) -> Iterator[Gallery]:
    gallery = Gallery(store, generation, kind="flat")
    gallery.start()
    assert gallery.catch_up(WAIT_S)
    yield gallery
    gallery.close()


def fill(store: Store, generation: Generation) -> None:
    rng = np.random.default_rng(4)
    for number in range(4):
        levels = rng.integers(0, 16, (20, 3), dtype=np.uint8)
        masks = ((levels > 0) << np.arange(3)).sum(axis=1, dtype=np.uint32)
        chunk = replace(make_chunk(rng, 20), concepts=masks, areas=levels)
        video = add_video(store, generation, 2, tags={"n": str(number)})
        store.commit(video, 0, chunk, found={"black": number, "frozen": 2}, runtime="torch-cpu-32")
        store.commit(video, 1, make_chunk(rng, 0))


def frames_of(gallery: Gallery) -> list[tuple[object, ...]]:
    found = gallery.search(np.zeros(2, np.uint8), 1000).frames
    return sorted((f.tags["n"], f.time_ms, f.code.tobytes(), f.areas.tobytes()) for f in found)


def test_names_of_files_in_albums_leave_and_come_back(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.members.MAX_KEPT", 3)  # fewer than are asked for at once
    first, rng, path = collection(store, "first"), np.random.default_rng(5), tmp_path / "g.npz"
    collection(store, "second")
    names = {n: [f"{n}/größe {k}.png" for k in range(4)] for n in range(3)}
    for number, listed in names.items():
        album = store.register(first.id, "", [NewVideo(source=f"{number}.zip", path="/x", kind="pictures")])[0]
        store.plan(album, {"chunks": 1, "bounds": "[0]", "members": pack_names(listed)})
        store.commit(album, 0, make_chunk(rng, 4))
    engine = SearchEngine(
        store, Settings(data=tmp_path, index="flat", consistency_wait_ms=int(1000 * WAIT_S)), no_model
    )
    try:
        engine.index_export(path, "npz", "first")
        assert len(engine.index_import(path, "second").videos) == 3
        for name in ("first", "second"):
            hits = engine.search(SearchRequest(query=Query(code="0000"), top=100, collection=name)).hits
            expected = {(f"{n}.zip", 1000 * k): one for n, listed in names.items() for k, one in enumerate(listed)}
            assert {(hit.source, hit.time_ms): hit.member for hit in hits} == expected
    finally:
        engine.close()


def no_model(name: str) -> Model:
    raise AssertionError(f"no picture is encoded here, so {name} is not needed")


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_concepts_leave_and_come_back(store: Store, tmp_path: Path, suffix: str) -> None:
    first, second = collection(store, "first"), collection(store, "second")
    fill(store, first)
    path = tmp_path / f"g.{suffix}"
    with opened(store, first) as gallery:
        view = gallery.view()
        export_gallery(view, first, store.find_videos(video for video, *_ in view.videos), path, suffix)
        expected = frames_of(gallery)
    imported = import_gallery(store, second, path)
    assert len(imported.added) == 4
    counted = {
        record.tags["n"]: (record.found, record.runtimes) for record in store.find_videos(imported.added) if record
    }
    assert counted == {str(n): ({"black": n, "frozen": 2}, {"torch-cpu-32": 20}) for n in range(4)}
    with opened(store, second) as gallery:
        assert frames_of(gallery) == expected
        assert gallery.verify().is_equal
    again = import_gallery(store, second, path)
    assert (again.added, again.present) == ([], imported.added)
    assert store.redis.keys("hr:j:*") == []


def test_a_file_of_the_format_before_comes_in_once(store: Store, tmp_path: Path) -> None:
    generation, path = collection(store, "first"), tmp_path / "old.npz"
    chunk = make_chunk(np.random.default_rng(1), 5)
    about = {"format": 1, "bits": BITS, "fingerprint": FINGERPRINT, "model": "m", "position": "0-0"}
    videos = [{"id": 7, "source": "archive/a.mp4", "tags": {"n": "1"}}]
    np.savez(
        path,
        frame_ids=(7 << 32) + np.arange(5),
        times_ms=chunk.times_ms,
        codes=chunk.codes,
        videos_json=np.frombuffer(json.dumps(videos).encode(), np.uint8),
        about_json=np.frombuffer(json.dumps(about).encode(), np.uint8),
    )
    added = import_gallery(store, generation, path).added
    assert len(added) == 1
    assert store.video(added[0]).frames == 5
    assert import_gallery(store, generation, path).present == added


IMPORT = """
import sys
from pathlib import Path
from indexer.exchange import import_gallery
from indexer.store import Store, connect
store = Store(connect(sys.argv[1]))
import_gallery(store, store.collection("second"), Path(sys.argv[2]))
"""


def test_an_import_that_is_killed_leaves_no_video_in_part(
    store: Store, redis_server: RedisServer, tmp_path: Path
) -> None:
    first, second = collection(store, "first"), collection(store, "second")
    rng, path = np.random.default_rng(6), tmp_path / "g.npz"
    for number in range(300):
        fill_video(store, first, [make_chunk(rng, 3)], tags={"n": str(number)}, source=f"archive/{number}.mp4")
    with opened(store, first) as gallery:
        view = gallery.view()
        export_gallery(view, first, store.find_videos(video for video, *_ in view.videos), path, "npz")
    with subprocess.Popen([sys.executable, "-c", IMPORT, redis_server.url(), str(path)]) as process:
        wait_until(lambda: store.count_videos(second.id) >= 20, "some videos are imported")
        process.kill()
    records = [store.video(number) for number in store.video_numbers(second.id)]
    assert {record.state for record in records} == {"indexed"}
    assert all(record.frames == 3 for record in records)
    again = import_gallery(store, second, path)
    assert sorted(again.present) == sorted(record.id for record in records)
    assert len(again.added) + len(again.present) == 300
    with opened(store, second) as gallery:
        assert gallery.verify().is_equal
        assert gallery.videos_with_frames() == 300


def test_an_import_over_a_bad_line_adds_every_video_once(
    store: Store, redis_server: RedisServer, tmp_path: Path
) -> None:
    first, second = collection(store, "first"), collection(store, "second")
    rng, path = np.random.default_rng(7), tmp_path / "g.npz"
    for number in range(100):
        fill_video(store, first, [make_chunk(rng, 3)], source=f"archive/{number}.mp4")
    with opened(store, first) as gallery:
        view = gallery.view()
        export_gallery(view, first, store.find_videos(video for video, *_ in view.videos), path, "npz")
    with LeakyProxy(str(redis_server.socket), seed=3, lost=0.006) as proxy:
        far = Store(connect(proxy.url()))
        for _ in range(500):
            with suppress(redis.RedisError):
                import_gallery(far, second, path)
                break
        assert proxy.replies_lost
        far.redis.close()
    sources = [store.video(number).source for number in store.video_numbers(second.id)]
    assert sorted(sources) == sorted(f"archive/{number}.mp4" for number in range(100))
    with opened(store, second) as gallery:
        assert gallery.verify().is_equal


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_large_gallery_is_written_in_little_memory(tmp_path: Path, suffix: str) -> None:
    rows, chunk, rng = 1_500_000, 30_000, np.random.default_rng(2)
    index, videos = make_index("flat", 64), []
    for number in range(1, rows // chunk + 1):
        ids = (number << 32) + np.arange(chunk, dtype=np.int64)
        index.add(ids, rng.integers(0, 256, (chunk, 8), dtype=np.uint8))
        stretch = Stretch(rng.integers(0, 2**32, chunk, dtype=np.uint32), None, None)
        videos.append((number, f"archive/{number}.mp4", {}, [(0, stretch)]))
    generation = Generation("1", "main", "m", FINGERPRINT, 64)
    path = tmp_path / f"g.{suffix}"
    arrow_modules()  # its own memory is not the export's
    tracemalloc.start()
    export_gallery(View(index.frozen(), videos, LogPosition("5-0", "x")), generation, [], path, suffix)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2
    frames = _read(path)
    ids, codes = zip(*index.items(), strict=True)
    assert np.array_equal(frames.frame_ids, np.concatenate(ids))
    assert np.array_equal(frames.codes, np.concatenate(codes))
    assert np.array_equal(frames.times_ms, np.concatenate([chunks[0][1].times_ms for *_, chunks in videos]))
    index.close()


def test_codes_of_another_model_and_other_formats_are_refused(store: Store, tmp_path: Path) -> None:
    first, other = collection(store, "first"), collection(store, "other", "b7" * 32)
    fill(store, first)
    with opened(store, first) as gallery:
        view = gallery.view()
        export_gallery(view, first, [], tmp_path / "g.npz", "npz")
        with pytest.raises(BadInputError, match="accepted: npz, parquet, faiss"):
            export_gallery(view, first, [], tmp_path / "g.csv", "csv")
    with pytest.raises(FingerprintMismatchError, match=f"{FINGERPRINT[:12]}.*b7b7b7b7b7b7"):
        import_gallery(store, other, tmp_path / "g.npz")
    assert store.video_numbers(other.id) == []
