"""One suite for every kind of index that claims exact answers, against brute force in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_reference import (
    EXACT_KINDS,
    Reference,
    assert_equals_reference,
    assert_pairs_equal,
    make_exact,
    random_codes,
)

from hashreel.errors import BadInputError, ConflictError, NotFoundError
from indexer import make_index
from indexer.ranges import all_but

BIG = 2**32
BITS = [8, 12, 48, 64, 96, 128, 256]


@pytest.fixture(params=EXACT_KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make(kind):
    made = []

    def build(bits):
        made.append(make_exact(kind, bits))
        return made[-1]

    yield build
    for index in made:
        index.close()


def filled(make, bits, count=2000, seed=0, spread=300):
    rng = np.random.default_rng(seed)
    index, reference = make(bits), Reference(bits)
    ids = np.concatenate([v * BIG + np.arange(count // 10) for v in rng.permutation(10)]).astype(np.int64)
    codes = random_codes(rng, len(ids), bits, spread)
    for part in np.array_split(np.arange(len(ids)), 7):
        index.add(ids[part], codes[part])
        reference.add(ids[part], codes[part])
    return index, reference, random_codes(rng, 6, bits), rng


@pytest.mark.parametrize("bits", BITS)
def test_answers_equal_brute_force(make, bits):
    index, reference, far, _ = filled(make, bits)
    queries = np.concatenate((far, reference.codes[:4]))
    assert_equals_reference(index, reference, queries, (1, 10, 500, 5000), (0, 1, bits // 4, bits - 1, bits))


@pytest.mark.parametrize("bits", BITS)
def test_deleted_frames_are_gone_and_may_come_back(make, bits):
    index, reference, queries, rng = filled(make, bits)
    gone = rng.choice(reference.ids, 300, replace=False)
    codes_of_gone = reference.codes[np.argsort(reference.ids)][np.searchsorted(np.sort(reference.ids), gone)]
    assert index.delete(gone) == 300
    assert index.delete(gone) == 0
    before = len(reference.ids)
    reference.delete(gone)
    reference.delete_range(3 * BIG, 4 * BIG)
    assert index.delete_range(3 * BIG, 4 * BIG) == before - 300 - len(reference.ids)
    assert len(index) == len(reference.ids)
    assert_equals_reference(index, reference, queries, (1, 10, 3000), (bits // 4,))
    back = gone[::2]
    back = back[(back < 3 * BIG) | (back >= 4 * BIG)]
    new_codes = np.roll(codes_of_gone, 5, axis=0)[: len(back)]
    index.add(back, new_codes)
    reference.add(back, new_codes)
    assert_equals_reference(index, reference, queries, (1, 10, 3000), (bits // 4,))
    index.compact()
    assert index.status()["tombstones"] == 0
    assert_equals_reference(index, reference, queries, (1, 10, 3000), (bits // 4,))


@pytest.mark.parametrize("bits", [12, 48, 128])
@pytest.mark.parametrize("delete_some", [False, True])
def test_filters_act_before_truncation(make, bits, delete_some):
    index, reference, queries, rng = filled(make, bits)
    if delete_some:
        gone = rng.choice(reference.ids, 150, replace=False)
        index.delete(gone)
        reference.delete(gone)
    filters = [
        [[0, BIG]],
        [[2 * BIG + 10, 2 * BIG + 13], [5 * BIG, 5 * BIG]],
        [[7 * BIG, 2**62], [0, 3 * BIG], [BIG, 2 * BIG + 5]],
        [[v * BIG + 1, v * BIG + 180] for v in range(9)],
        [[100 * BIG, 101 * BIG]],
        np.empty((0, 2), np.int64),
        all_but(np.array([[4 * BIG, 5 * BIG]])),
    ]
    for allowed in filters:
        array = np.array(allowed, np.int64).reshape(-1, 2)
        assert_equals_reference(index, reference, queries, (1, 10, 400), (bits // 4, bits), array)


def test_empty_gallery_and_no_queries(make):
    index = make(48)
    queries = np.zeros((3, 6), np.uint8)
    distances, ids = index.search(queries, 5)
    assert distances.shape == ids.shape == (3, 0)
    assert [len(found[0]) for found in index.within(queries, 48)] == [0, 0, 0]
    assert index.count_within(queries, 48).tolist() == [0, 0, 0]
    assert index.within(queries[:0], 3) == []
    assert index.search(queries[:0], 3)[0].shape[0] == 0
    assert list(index.items()) == []
    assert index.delete(np.array([4])) == 0
    assert index.codes_of(np.empty(0, np.int64)).shape == (0, 6)
    index.add(np.empty(0, np.int64), np.empty((0, 6), np.uint8))
    index.compact()
    assert len(index) == 0
    index.add(np.array([7]), queries[:1])
    index.delete(np.array([7]))
    assert index.search(queries, 5)[0].shape == (3, 0)
    index.add(np.array([7]), queries[:1])
    assert index.search(queries, 5)[1].tolist() == [[7]] * 3


def test_top_zero_and_limit_zero_give_nothing(make):
    index, _, queries, _ = filled(make, 48)
    assert index.search(queries, 0)[0].shape == (6, 0)
    assert [len(found[1]) for found in index.within(queries, 48, limit=0)] == [0] * 6


@pytest.mark.parametrize("bits", [12, 48, 64, 128])
def test_identical_codes_by_the_hundred_thousand(make, bits):
    rng = np.random.default_rng(4)
    index, reference = make(bits), Reference(bits)
    same = np.repeat(random_codes(rng, 1, bits), 100_000, axis=0)
    other = random_codes(rng, 2_000, bits)
    ids = rng.permutation(102_000).astype(np.int64)
    codes = np.concatenate((same, other))
    index.add(ids, codes)
    gone = ids[::5]
    index.delete(gone)
    reference.add(ids, codes)
    reference.delete(gone)
    assert_equals_reference(index, reference, codes[[0, -1]], (1, 100), (0,))
    distances, found = index.search(same[:1], 50_000)
    expected = reference.pairs(same[0])
    np.testing.assert_array_equal(found[0], expected[1][:50_000])
    assert distances.max() == 0


@pytest.mark.parametrize("bits", [48, 128])
@pytest.mark.parametrize("order", ["descending", "shuffled", "late half first"])
def test_ties_among_ids_that_do_not_ascend(make, bits, order):
    rng = np.random.default_rng(6)
    index, reference = make(bits), Reference(bits)
    ids = np.arange(3_000)
    ids = {"descending": ids[::-1], "shuffled": rng.permutation(ids), "late half first": np.roll(ids, 1_500)}[order]
    codes = random_codes(rng, 3_000, bits, spread=3)
    for part in np.array_split(np.arange(3_000), 4):
        index.add(ids[part], codes[part])
        reference.add(ids[part], codes[part])
    assert_equals_reference(index, reference, codes[:3], (1, 10, 100), (0, bits // 3))


def test_all_equal_codes(make):
    index, reference = make(64), Reference(64)
    ids = np.arange(1000, dtype=np.int64)[::-1].copy()
    codes = np.full((1000, 8), 255, np.uint8)
    index.add(ids, codes)
    reference.add(ids, codes)
    queries = np.array([[255] * 8, [0] * 8], np.uint8)
    assert_equals_reference(index, reference, queries, (1, 10, 2000), (0, 63, 64))


def test_radius_is_inclusive_at_every_distance(make):
    index = make(64)
    index.add(np.arange(65), np.packbits(np.tri(65, 64, -1, bool), axis=1, bitorder="little"))
    query = np.zeros((1, 8), np.uint8)
    for radius in range(65):
        assert index.within(query, radius)[0][0].tolist() == list(range(radius + 1))
        assert index.count_within(query, radius).tolist() == [radius + 1]


def test_each_query_may_have_its_own_radius(make):
    index, reference, queries, _ = filled(make, 48)
    radii = np.array([0, 5, 12, 20, 30, 60], np.int32)
    for i, found in enumerate(index.within(queries, radii)):
        np.testing.assert_array_equal(found[1], reference.pairs(queries[i], radius=radii[i])[1])


def test_tie_band_counts_frames_at_the_distance(make):
    index, reference, queries, _ = filled(make, 48)
    distances, _ = index.search(queries, 10)
    band = index.tie_band(queries, distances[:, -1])
    for i, query in enumerate(queries):
        assert band[i] == (reference.pairs(query)[0] == distances[i, -1]).sum()
    exact = index.tie_band(reference.codes[:1], np.zeros(1, np.int32))
    assert exact[0] == (reference.pairs(reference.codes[0])[0] == 0).sum()


@pytest.mark.parametrize("allowed", [None, [[2 * BIG, 9 * BIG]]])
def test_groups_are_formed_before_truncation(make, allowed):
    index, reference, queries, _ = filled(make, 12)
    # One video full of frames that are nearest of all must not push the others out.
    crowd = 50 * BIG + np.arange(3000)
    crowd_codes = np.repeat(queries[:1], 3000, axis=0)
    index.add(crowd, crowd_codes)
    reference.add(crowd, crowd_codes)
    array = None if allowed is None else np.array(allowed)
    for i, found in enumerate(index.search_groups(queries, 6, array)):
        assert_pairs_equal(found, reference.group_pairs(queries[i], 6, array))
    assert len(index.search_groups(queries[:1], 100)[0][0]) == 11


@pytest.mark.parametrize("bits", [12, 48, 128])
def test_weighted_distance_equals_a_sum_over_differing_bits(make, bits):
    index, reference, queries, rng = filled(make, bits)
    index.delete(reference.ids[:50])
    reference.delete(reference.ids[:50])
    weights = rng.integers(0, 8, (len(queries), bits)).astype(np.float32)
    allowed = np.array([[BIG, 8 * BIG]])
    for given_weights, ranges in ((weights, None), (weights[0], allowed)):
        distances, ids = index.search_weighted(queries, given_weights, 20, ranges)
        for i, query in enumerate(queries):
            own = np.broadcast_to(given_weights, weights.shape)[i]
            expected = reference.weighted_pairs(query, own, ranges)
            assert_pairs_equal((distances[i], ids[i]), (expected[0][:20], expected[1][:20]))


def test_items_come_in_order_of_ids_with_their_codes(make):
    index, reference, _, rng = filled(make, 48)
    gone = rng.choice(reference.ids, 150, replace=False)
    index.delete(gone)
    reference.delete(gone)
    for allowed in (None, np.array([[BIG, 4 * BIG + 17]])):
        blocks = list(index.items(allowed, block=100))
        ids = np.concatenate([block[0] for block in blocks])
        codes = np.concatenate([block[1] for block in blocks])
        order = np.argsort(reference.ids)
        if allowed is not None:
            order = order[(reference.ids[order] >= BIG) & (reference.ids[order] < 4 * BIG + 17)]
        np.testing.assert_array_equal(ids, reference.ids[order])
        np.testing.assert_array_equal(codes, reference.codes[order])


def test_codes_of_frames(make):
    index, reference, _, _ = filled(make, 48)
    picked = [3, 1999, 700, 3]
    np.testing.assert_array_equal(index.codes_of(reference.ids[picked]), reference.codes[picked])
    index.delete(reference.ids[[700]])
    with pytest.raises(NotFoundError, match=str(reference.ids[700])):
        index.codes_of(reference.ids[picked])


def test_a_live_id_cannot_be_added_and_nothing_changes(make):
    index, reference, queries, _ = filled(make, 48)
    ids = np.array([99 * BIG, reference.ids[5], 99 * BIG + 1])
    with pytest.raises(ConflictError, match=str(reference.ids[5])):
        index.add(ids, random_codes(np.random.default_rng(1), 3, 48))
    with pytest.raises(ConflictError, match="twice"):
        index.add(np.array([99 * BIG, 99 * BIG]), random_codes(np.random.default_rng(1), 2, 48))
    assert len(index) == len(reference.ids)
    assert_equals_reference(index, reference, queries)


def test_malformed_arguments_are_refused(make):
    index, _, queries, _ = filled(make, 12)
    one = np.array([77 * BIG])
    code = np.zeros((1, 2), np.uint8)
    for bad in (code.astype(np.int64), code[0], np.zeros((1, 3), np.uint8), np.full((1, 2), 255, np.uint8)):
        with pytest.raises(BadInputError):
            index.search(bad, 3)
        with pytest.raises(BadInputError):
            index.within(bad, 3)
        with pytest.raises(BadInputError):
            index.add(one, bad)
    for bad_ids in (one[None], one.astype(np.float64), np.array([-1]), np.array([1, 2])):
        with pytest.raises(BadInputError):
            index.add(bad_ids, code)
    for top in (-1, 2.5, None, True):
        with pytest.raises(BadInputError):
            index.search(queries, top)
    for radius in (-1, 2.5, np.array([1, 2]), np.zeros((6, 1), np.int32)):
        with pytest.raises(BadInputError):
            index.within(queries, radius)
    for allowed in (np.array([1, 2]), np.array([[2, 1]]), np.array([[0.0, 1.0]]), np.zeros((1, 3), np.int64)):
        with pytest.raises(BadInputError):
            index.search(queries, 3, allowed)
    for weights in (np.ones(11), np.full(12, np.nan), np.ones((5, 12))):
        with pytest.raises(BadInputError):
            index.search_weighted(queries, weights, 3)


def test_unknown_kinds_and_bits_are_refused():
    with pytest.raises(BadInputError, match="flat"):
        make_index("nosuch", 48)
    for bits in (0, 7, 257):
        with pytest.raises(BadInputError):
            make_index("flat", bits)


def test_status_counts(make, kind):
    index, reference, _, _ = filled(make, 48)
    index.delete(reference.ids[:30])
    status = index.status()
    assert status["kind"] == kind.split()[0]
    assert status["bits"] == 48
    assert status["exact"] is True
    assert status["frames"] == 1970 == len(index)
    assert status["rows"] - status["tombstones"] == 1970
    assert status["bytes"] >= 1970 * 6


id_lists = st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True)


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(st.tuples(st.booleans(), id_lists), min_size=1, max_size=12),
    bits=st.sampled_from([8, 12, 48, 65]),
    seed=st.integers(0, 2**32 - 1),
    top=st.integers(0, 50),
    cut=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_random_histories_equal_brute_force(kind, steps, bits, seed, top, cut):
    rng = np.random.default_rng(seed)
    index, reference = make_exact(kind, bits), Reference(bits)
    few = random_codes(rng, 4, bits)
    for is_add, chosen in steps:
        ids = np.array(chosen, np.int64)
        if is_add:
            ids = ids[~np.isin(ids, reference.ids)]
            codes = few[rng.integers(0, 4, len(ids))]
            index.add(ids, codes)
            reference.add(ids, codes)
        else:
            assert index.delete(ids) == np.isin(ids, reference.ids).sum()
            reference.delete(ids)
    allowed = np.array([sorted(cut)], np.int64)
    assert_equals_reference(index, reference, few, (top,), (0, bits // 2))
    assert_equals_reference(index, reference, few, (top,), (bits // 2,), allowed)
    index.close()
