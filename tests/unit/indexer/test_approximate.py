"""FAISS's approximate kinds: right about everything but which near frames they find."""

import numpy as np
import pytest
from index_reference import Reference, assert_pairs_equal

from benchmarks.codes import clustered, frame_ids
from encoder.codes import hamming_distances
from indexer import make_index
from indexer.index import load_index

KINDS = ["ivf", "hnsw"]
VIDEO = 2**32


def built(kind, bits=48, count=4_000):
    codes, queries = clustered(count, bits, seed=3, queries=40)
    ids = frame_ids(count)
    index, reference = make_index(kind, bits, engine_rows=2_000), Reference(bits)
    index.add(ids, codes)
    index.close()
    reference.add(ids, codes)
    return index, reference, queries


def recall(index, reference, queries, top=10):
    distances, _ = index.search(queries, top)
    kth = np.array([reference.pairs(query)[0][top - 1] for query in queries])
    return (distances <= kth[:, None]).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_most_near_frames_are_found_and_distances_are_true(kind):
    index, reference, queries = built(kind)
    distances, ids = index.search(queries, 10)
    assert distances.shape == (40, 10)
    assert recall(index, reference, queries) > 0.9
    for i, query in enumerate(queries):
        codes = reference.codes[np.searchsorted(reference.ids, ids[i])]
        np.testing.assert_array_equal(hamming_distances(query[None], codes)[0], distances[i])
        assert list(zip(distances[i], ids[i], strict=True)) == sorted(zip(distances[i], ids[i], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_status_says_that_it_is_approximate_and_how_good(kind):
    index, _, _ = built(kind)
    status = index.status()
    assert status["kind"] == kind
    assert status["exact"] is False
    assert status["engine_rows"] == 4_000
    assert 0.9 < status["recall"] <= 1.0
    assert status["recall_at"] == 10


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_frames_never_come_back_and_new_ones_are_found_at_once(kind):
    index, reference, queries = built(kind)
    gone = reference.ids[::3]
    index.delete(gone)
    reference.delete(gone)
    new = 900_000 * VIDEO + np.arange(40)
    index.add(new, queries)
    reference.add(new, queries)
    distances, ids = index.search(queries, 20)
    assert not np.isin(ids, gone).any()
    assert (distances[:, 0] == 0).all()
    assert all(frame in found for frame, found in zip(new, ids, strict=True))
    assert index.search(queries[:2], 100_000)[0].shape == (2, len(reference.ids))


@pytest.mark.parametrize("kind", KINDS)
def test_filters_and_radius_are_exact(kind):
    index, reference, queries = built(kind)
    allowed = np.array([[20 * VIDEO, 120 * VIDEO]])
    distances, ids = index.search(queries, 10, allowed)
    near = index.within(queries, 6)
    for i, query in enumerate(queries):
        expected = reference.pairs(query, allowed)
        assert_pairs_equal((distances[i], ids[i]), (expected[0][:10], expected[1][:10]))
        assert_pairs_equal(near[i], reference.pairs(query, radius=6))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_engine_is_not_built_again(kind, tmp_path):
    index, reference, queries = built(kind)
    index.save(tmp_path)
    loaded = load_index(tmp_path, engine_rows=2_000)
    assert loaded.status()["building"] is False
    assert loaded.status()["engine_rows"] == 4_000
    assert loaded.status()["recall"] == index.status()["recall"]
    assert_pairs_equal(loaded.search(queries, 10), index.search(queries, 10))
    assert recall(loaded, reference, queries) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_small_and_compacted_galleries_are_answered(kind):
    codes, queries = clustered(500, 128, seed=5, queries=5)
    index, reference = make_index(kind, 128, engine_rows=400), Reference(128)
    index.add(frame_ids(300), codes[:300])
    reference.add(frame_ids(300), codes[:300])
    assert index.status()["engine_rows"] == 0
    for i, query in enumerate(queries):
        expected = reference.pairs(query)
        distances, ids = index.search(queries[i : i + 1], 10)
        assert_pairs_equal((distances[0], ids[0]), (expected[0][:10], expected[1][:10]))
    index.add(frame_ids(500)[300:], codes[300:])
    index.delete_range(0, 3 * VIDEO)
    index.compact()
    assert index.status()["engine_rows"] == 419 == len(index)
    assert index.search(queries, 10)[0].shape == (5, 10)


def test_an_engine_that_cannot_be_built_leaves_the_flat_gallery(monkeypatch, caplog):
    def refuse(self, codes):
        raise MemoryError("no room")

    monkeypatch.setattr("indexer.approximate.IvfIndex._build", refuse)
    index, reference, queries = built("ivf", count=2_500)
    assert "could not be built" in caplog.text
    assert index.status()["engine_failed"] is True
    assert index.status()["building"] is False
    assert recall(index, reference, queries) == 1.0
