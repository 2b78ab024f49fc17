"""What users of neighbouring projects asked for, where no other test shows it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S, wait_until
from stored_gallery import BITS, fill_video, make_chunk, make_generation

from encoder.codes import code_to_hex
from encoder.model import Model
from hashreel.schemas import Query, SearchRequest
from hashreel.settings import Settings
from indexer.gallery import Gallery
from indexer.store import Store
from search.engine import SearchEngine


@pytest.mark.parametrize("kind", ["flat", "auto"])
def test_a_rebuild_lets_go_of_the_gallery_before(store: Store, kind: str) -> None:
    rng = np.random.default_rng(8)
    generation = make_generation(store)
    for _ in range(5):
        fill_video(store, generation, [make_chunk(rng, 40)])
    gallery = Gallery(store, generation, kind=kind)
    gallery.start()
    try:
        assert gallery.catch_up(WAIT_S)
        for _ in range(3):
            assert gallery._state is not None
            before = weakref.ref(gallery._state.index)
            assert gallery.rebuild(WAIT_S)

            def is_gone(before: weakref.ref[object] = before) -> bool:
                gc.collect()
                return before() is None

            wait_until(is_gone, "the index before is freed")
            assert len(gallery) == 200
    finally:
        gallery.close()


def test_thousands_of_hits_come_whole_in_one_answer(store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    generation = make_generation(store)
    codes = {}
    for number in range(8):
        chunk = make_chunk(rng, 700)
        video = fill_video(store, generation, [chunk], tags={"case": str(number)}, source=f"archive/{number}.mp4")
        codes |= {(video << 32) + place: code for place, code in enumerate(chunk.codes)}
    settings = Settings(data=tmp_path, index="flat", consistency_wait_ms=int(1000 * WAIT_S))

    def no_model(name: str) -> Model:
        raise AssertionError(f"{name} is not needed")

    engine = SearchEngine(store, settings, no_model)
    try:
        query = make_chunk(rng, 1).codes[0]
        answer = engine.search(SearchRequest(query=Query(code=code_to_hex(query)), top=5000))
    finally:
        engine.close()
    expected = sorted((int(np.bitwise_count(code ^ query).sum()), frame) for frame, code in codes.items())[:5000]
    assert [(hit.distance, int(hit.frame_id)) for hit in answer.hits] == expected
    assert answer.bits == BITS
    first = min(codes) >> 32
    for hit in answer.hits:
        number = str(hit.video - first)
        assert (hit.source, hit.tags) == (f"archive/{number}.mp4", {"case": number})
        assert hit.time_ms == 1000 * (int(hit.frame_id) & 0xFFFFF)
