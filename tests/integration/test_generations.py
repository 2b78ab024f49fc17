"""A collection changes its model in one write, goes back in one write, and other generations stay apart."""

from __future__ import annotations

import numpy as np
import pytest
from stored_gallery import BITS, fill_video, make_chunk, make_generation

from hashreel.errors import ConflictError, FingerprintMismatchError, NotFoundError
from indexer.generations import Generations
from indexer.store import Store

OTHER = "c3" * 32


@pytest.fixture
def generations(store: Store) -> Generations:
    make_generation(store)
    return Generations(store)


def renewed(store: Store) -> str:
    return store.create_generation("main", model="model-b", fingerprint=OTHER, bits=BITS).id


def test_a_new_generation_is_not_live_until_the_cut_over(store: Store, generations: Generations) -> None:
    before = store.collection("main")
    fresh = renewed(store)
    assert store.collection("main") == before
    assert [g.id for g in generations.of("main")] == [before.id, fresh]
    assert generations.cut_over("main", fresh).fingerprint == OTHER
    assert store.collection("main").id == fresh
    assert generations.roll_back("main") == before
    assert store.collection("main") == before
    with pytest.raises(ConflictError, match="no generation to go back to"):
        generations.roll_back("main")


def test_cut_over_is_refused_where_it_makes_no_sense(store: Store, generations: Generations) -> None:
    live = store.collection("main").id
    other = make_generation(store, "other").id
    with pytest.raises(ConflictError, match="is the live one"):
        generations.cut_over("main", live)
    with pytest.raises(NotFoundError, match="has no generation"):
        generations.cut_over("main", other)
    with pytest.raises(NotFoundError, match="has no generation"):
        generations.cut_over("main", "999")


def test_a_drop_leaves_nothing_of_it_and_everything_else(store: Store, generations: Generations) -> None:
    rng = np.random.default_rng(0)
    live = store.collection("main")
    fill_video(store, live, [make_chunk(rng, 3)])
    before = set(store.redis.keys())
    fresh = store.generation(renewed(store))
    for _ in range(3):
        fill_video(store, fresh, [make_chunk(rng, 2, fingerprint=OTHER)])
    with pytest.raises(ConflictError, match="is the live one"):
        generations.drop(live.id)
    assert generations.drop(fresh.id) == 3
    assert set(store.redis.keys()) == before
    with pytest.raises(NotFoundError):
        store.generation(fresh.id)


def test_a_dropped_generation_cannot_be_gone_back_to(store: Store, generations: Generations) -> None:
    before = store.collection("main").id
    generations.cut_over("main", renewed(store))
    generations.drop(before)
    with pytest.raises(ConflictError):
        generations.roll_back("main")


def test_a_collection_is_dropped_with_all_of_its_generations(store: Store, generations: Generations) -> None:
    rng = np.random.default_rng(0)
    fill_video(store, store.collection("main"), [make_chunk(rng, 3)])
    renewed(store)
    assert generations.drop_collection("main") == 1
    assert store.collections() == {}
    assert generations.of("main") == []


def test_another_model_is_refused_with_both_named(store: Store, generations: Generations) -> None:
    with pytest.raises(FingerprintMismatchError, match=r"model-a.*5a5a5a5a5a5a.*model-b.*c3c3c3c3c3c3"):
        store.ensure_collection("main", model="model-b", fingerprint=OTHER, bits=BITS)
