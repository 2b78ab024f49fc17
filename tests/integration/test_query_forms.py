"""Every form of query against brute force: filters, exclusions, ties by real-valued outputs, purge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S
from stored_gallery import BITS, FINGERPRINT, fill_video, make_chunk, make_generation

from encoder.codes import unpack_codes
from indexer.areas import level_areas
from indexer.columns import Filter
from indexer.gallery import Found, Gallery
from indexer.snapshots import Snapshots
from indexer.store import Store

TAGS = [{"case": "1"}, {"case": "2", "site": "a"}, {"case": "3", "site": "b"}, {}]


@pytest.fixture
def gallery(store: Store, tmp_path: Path) -> Iterator[Gallery]:
    rng = np.random.default_rng(11)
    generation = make_generation(store)
    for number in range(12):
        chunks = [make_chunk(rng, 20, start_ms=600_000 * place) for place in range(1 + number % 3)]
        fill_video(store, generation, chunks, tags=TAGS[number % len(TAGS)])
    opened = Gallery(
        store, generation, kind="flat", snapshots=Snapshots(tmp_path / "snapshots", generation, kind="flat")
    )
    opened.start()
    assert opened.catch_up(WAIT_S)
    yield opened
    opened.close()


def everything(gallery: Gallery) -> Found:
    return gallery.search(np.zeros(2, np.uint8), 10_000)


def query(seed: int) -> np.ndarray:
    code = np.random.default_rng(seed).integers(0, 256, 2, dtype=np.uint8)
    code[-1] &= (1 << BITS % 8) - 1
    return code


def pairs(found: Found) -> list[tuple[int, int]]:
    return [(frame.distance, frame.frame_id) for frame in found.frames]


FILTERS = [
    Filter(tags={"case": "1"}),
    Filter(tags={"case": ["1", "3"]}),
    Filter(tags={"case": ["1", "2"], "site": "a"}),
    Filter(tags={"case": "none"}),
    Filter(videos=[1, 5, 99]),
    Filter(exclude_video=2),
    Filter(between_ms=(3000, 9000)),
    Filter(between_ms=(600_000, 605_001), tags={"site": ["a", "b"]}),
    Filter(exclude_frame=(3 << 32) + 4),
    Filter(exclude_frame=(3 << 32) + 4, videos=[3]),
]


@pytest.mark.parametrize("filter_", FILTERS, ids=str)
@pytest.mark.parametrize("top", [1, 7, 10_000])
def test_filters_act_before_truncation(gallery: Gallery, filter_: Filter, top: int) -> None:
    def passes(frame) -> bool:  # type: ignore[no-untyped-def]
        wanted = {name: [v] if isinstance(v, str) else v for name, v in (filter_.tags or {}).items()}
        return (
            (filter_.videos is None or frame.video in filter_.videos)
            and all(frame.tags.get(name) in values for name, values in wanted.items())
            and (filter_.between_ms is None or filter_.between_ms[0] <= frame.time_ms < filter_.between_ms[1])
            and frame.video != filter_.exclude_video
            and frame.frame_id != filter_.exclude_frame
        )

    code = query(top)
    frames = [frame for frame in everything(gallery).frames if passes(frame)]
    expected = sorted((int(np.bitwise_count(frame.code ^ code).sum()), frame.frame_id) for frame in frames)
    for radius in (None, 3, 0):
        within = [pair for pair in expected if radius is None or pair[0] <= radius]
        assert pairs(gallery.search(code, top, radius=radius, filter_=filter_)) == within[:top]
        best = {frame >> 32: (distance, frame) for distance, frame in reversed(within)}
        grouped = gallery.search(code, top, radius=radius, filter_=filter_, is_grouped=True)
        assert pairs(grouped) == sorted(best.values())[:top]


@pytest.mark.parametrize("top", [1, 5, 40, 10_000])
def test_ties_by_real_valued_outputs(gallery: Gallery, top: int) -> None:
    outputs = np.random.default_rng(top).random(BITS, dtype=np.float32)
    code = np.packbits(outputs >= 0.5, bitorder="little")
    rows = []
    for frame in everything(gallery).frames:
        bits = unpack_codes(frame.code[None], BITS)[0]
        rows.append((int((bits != (outputs >= 0.5)).sum()), float(np.abs(outputs - bits).sum()), frame.frame_id))
    expected = [(distance, frame) for distance, _, frame in sorted(rows)[:top]]
    assert pairs(gallery.search(code, top, outputs=outputs)) == expected


def test_concepts_filter_and_are_told(store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    names = ("road", "sky", "car")
    generation = store.ensure_collection("seen", model="m", fingerprint=FINGERPRINT, bits=BITS, concepts=names)
    stored = {}
    for _ in range(5):
        levels = rng.integers(0, 16, (30, 3), dtype=np.uint8) * rng.integers(0, 2, (30, 3), dtype=np.uint8)
        masks = ((levels > 0) << np.arange(3)).sum(axis=1, dtype=np.uint32)
        chunk = replace(make_chunk(rng, 30), concepts=masks, areas=levels)
        video = fill_video(store, generation, [chunk, make_chunk(rng, 0)])
        stored |= {(video << 32) + place: row for place, row in enumerate(levels)}
    snapshots = Snapshots(tmp_path / "seen", generation, kind="flat")
    for _ in range(2):
        opened = Gallery(store, generation, kind="flat", snapshots=snapshots)
        opened.start()
        assert opened.catch_up(WAIT_S)
        for mask, least in ((0b1, 1), (0b101, 1), (0b11, 9), (0b111, 15)):
            found = opened.search(query(mask), 1000, filter_=Filter(concepts=mask, least_level=least))
            columns = [c for c in range(3) if mask >> c & 1]
            expected = {frame for frame, row in stored.items() if (row[columns] >= least).all()}
            assert {frame.frame_id for frame in found.frames} == expected
            for frame in found.frames:
                assert np.array_equal(frame.areas, level_areas(stored[frame.frame_id]))
        assert opened.verify().is_equal
        opened.snapshot()
        opened.close()


def test_a_plain_delete_keeps_the_values_for_the_grace_period(store: Store, gallery: Gallery) -> None:
    store.delete(4)
    assert store.redis.exists(store.keys.chunks(4))
    assert store.purge(3600) == 0
    assert store.purge(0) == 1
    assert not store.redis.exists(*store.keys.of_video(4))


def test_a_purge_leaves_no_trace_of_the_codes(store: Store, gallery: Gallery, tmp_path: Path) -> None:
    traces = [frame.code.tobytes() for frame in everything(gallery).frames if frame.video == 3]
    value = store.redis.hget(store.keys.chunks(3), "0")
    assert gallery.snapshot() is not None
    position = store.delete(3)
    assert gallery.wait_position(position, WAIT_S)
    store.purge_now(3)
    gallery.forget()
    assert store.redis.keys("*:3") == []
    assert gallery.status()["tombstones"] == 0
    assert len(list((tmp_path / "snapshots").glob("[!.]*-*"))) == 1
    assert gallery.status()["rows"] == len(everything(gallery).frames)
    assert traces
    assert value is not None
    assert all(frame.video != 3 for frame in everything(gallery).frames)
