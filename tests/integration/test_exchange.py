"""Galleries as files: what is known of frames and videos survives, and nothing comes in twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S
from stored_gallery import BITS, FINGERPRINT, fill_video, make_chunk

from hashreel.errors import BadInputError, FingerprintMismatchError
from indexer.exchange import export_gallery, import_gallery
from indexer.gallery import Gallery
from indexer.records import Generation
from indexer.store import Store

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
        fill_video(store, generation, [chunk, make_chunk(rng, 0)], tags={"n": str(number)})


def frames_of(gallery: Gallery) -> list[tuple[object, ...]]:
    found = gallery.search(np.zeros(2, np.uint8), 1000).frames
    return sorted((f.tags["n"], f.time_ms, f.code.tobytes(), f.areas.tobytes()) for f in found)


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
