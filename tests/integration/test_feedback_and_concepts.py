"""Frames in another order than by distance, through the engine, against brute force over what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gallery_mirror import WAIT_S
from pydantic import ValidationError
from stored_gallery import BITS, FINGERPRINT, fill_video, make_chunk

from encoder.codes import code_from_hex, code_to_hex, unpack_codes
from hashreel.errors import BadInputError, NotFoundError
from hashreel.schemas import Answer, Query, SearchRequest
from hashreel.settings import Settings
from indexer.areas import level_areas
from indexer.store import Store
from search.engine import SearchEngine
from search.feedback import refine

NAMES = ("road", "sky", "car")


@pytest.fixture
def engine(store: Store, tmp_path: Path) -> Iterator[SearchEngine]:
    rng = np.random.default_rng(8)
    generation = store.ensure_collection("main", model="m", fingerprint=FINGERPRINT, bits=BITS, concepts=NAMES)
    for number in range(6):
        levels = rng.integers(0, 16, (20, 3), dtype=np.uint8) * rng.integers(0, 2, (20, 3), dtype=np.uint8)
        masks = ((levels > 0) << np.arange(3)).sum(axis=1, dtype=np.uint32)
        chunks = [replace(make_chunk(rng, 20), concepts=masks, areas=levels)] + [make_chunk(rng, 0)] * (number % 2)
        fill_video(store, generation, chunks, tags={"even": str(number % 2 == 0)})

    def no_model(name: str) -> None:
        raise AssertionError(name)

    settings = Settings(data=tmp_path, index="flat", consistency_wait_ms=int(1000 * WAIT_S))
    opened = SearchEngine(store, settings, no_model)  # type: ignore[arg-type]
    yield opened
    opened.close()


def ask(engine: SearchEngine, query: Query | None = None, **options: object) -> Answer:
    return engine.search(SearchRequest(query=query or Query(), **options))  # type: ignore[arg-type]


def everything(engine: SearchEngine) -> dict[str, tuple[np.ndarray, dict[str, float]]]:
    answer = ask(engine, Query(code="0000"), top=1000)
    assert len(answer.hits) == 120
    return {
        hit.frame_id: (code_from_hex(hit.code, BITS), {c.name: c.area for c in hit.concepts}) for hit in answer.hits
    }


@pytest.mark.parametrize("is_grouped", [False, True])
def test_marks_order_all_frames_by_weighted_distance(engine: SearchEngine, is_grouped: bool) -> None:
    stored = everything(engine)
    marks = list(stored)
    query = stored[marks[50]][0]
    more, less = marks[3:5], marks[60:63]
    code, weights = refine(query, np.array([stored[m][0] for m in more]), np.array([stored[m][0] for m in less]), BITS)
    wanted = unpack_codes(code[None], BITS)[0]
    rows = sorted(
        (float(weights[unpack_codes(c[None], BITS)[0] != wanted].sum()), int(frame)) for frame, (c, _) in stored.items()
    )
    if is_grouped:
        best = {frame >> 32: (score, frame) for score, frame in reversed(rows)}
        rows = sorted(best.values())
    answer = ask(
        engine,
        Query(code=code_to_hex(query)),
        top=7,
        more=more,
        less=less,
        group_by="video" if is_grouped else None,
    )
    assert answer.code == code_to_hex(code)
    scores = [hit.score for hit in answer.hits]
    assert scores == pytest.approx([score for score, _ in rows[: len(scores)]], abs=1e-3)
    assert len(scores) == (6 if is_grouped else 7)
    for hit in answer.hits:
        assert hit.distance == int(np.bitwise_count(code_from_hex(hit.code, BITS) ^ code).sum())


def test_marks_move_frames_in_the_right_direction(engine: SearchEngine) -> None:
    query = Query(code="0000")
    plain = [hit.frame_id for hit in ask(engine, query, top=120).hits]
    for mark in (plain[40], plain[110]):
        order = [hit.frame_id for hit in ask(engine, query, top=120, more=[mark]).hits]
        assert order.index(mark) < plain.index(mark)
        order = [hit.frame_id for hit in ask(engine, query, top=120, less=[mark]).hits]
        assert order.index(mark) >= plain.index(mark) - 3
    first = plain[0]
    order = [hit.frame_id for hit in ask(engine, query, top=120, less=[first], more=[plain[60]]).hits]
    assert order.index(first) > 0
    alone = ask(engine, more=[plain[7]], top=1).hits[0]
    assert alone.code == ask(engine, Query(frame=plain[7]), top=1).hits[0].code


def test_filters_act_before_marks(engine: SearchEngine) -> None:
    stored = everything(engine)
    answer = ask(engine, Query(code="0000"), more=[next(iter(stored))], tags={"even": "True"}, top=1000)
    assert len(answer.hits) == 60
    assert {hit.tags["even"] for hit in answer.hits} == {"True"}


@pytest.mark.parametrize(("names", "least"), [(["road"], None), (["road", "car"], None), (["sky"], 0.2)])
def test_concepts_alone_come_by_their_area(engine: SearchEngine, names: list[str], least: float | None) -> None:
    shares = {}
    for frame, (_, areas) in everything(engine).items():
        if all(areas.get(name, 0) >= (least or 1e-9) * 0.85 for name in names):
            shares[int(frame)] = min(areas[name] for name in names)
    answer = ask(engine, concepts=names, min_area=least, top=1000)
    found = [(hit.score, int(hit.frame_id)) for hit in answer.hits]
    assert {frame for _, frame in found} == set(shares)
    assert found == sorted(found, key=lambda row: (-row[0], row[1]))
    assert [score for score, _ in found] == pytest.approx([shares[frame] for _, frame in found], abs=1e-3)
    assert ask(engine, concepts=names, min_area=least, top=3).hits == answer.hits[:3]
    grouped = ask(engine, concepts=names, min_area=least, top=1000, group_by="video").hits
    assert [hit.video for hit in grouped] == list(dict.fromkeys(hit.video for hit in answer.hits))


def test_concepts_with_a_query_keep_the_order_of_distance(engine: SearchEngine) -> None:
    hits = ask(engine, Query(code="0000"), concepts=["road"], min_area=0.5, top=1000).hits
    assert [(h.distance, int(h.frame_id)) for h in hits] == sorted((h.distance, int(h.frame_id)) for h in hits)
    least = float(level_areas(np.array([12], np.uint8))[0])
    assert all(c.area > 0.8 * min(0.5, least) for h in hits for c in h.concepts if c.name == "road")


def test_what_cannot_be_searched_for_is_refused(engine: SearchEngine) -> None:
    with pytest.raises(BadInputError, match=r"predicts no concept 'tree'; it predicts road, sky, car"):
        ask(engine, concepts=["tree"])
    with pytest.raises(NotFoundError, match="not in the gallery"):
        ask(engine, Query(code="0000"), more=[str(99 << 32)])
    for wrong in (
        {},
        {"concepts": ["road"], "radius": 3},
        {"concepts": ["road"], "less": ["1"]},
        {"more": ["1"], "radius": 3},
        {"more": ["1"], "ties": "asymmetric"},
    ):
        with pytest.raises(ValidationError):
            SearchRequest(query=Query(), **wrong)  # type: ignore[arg-type]
