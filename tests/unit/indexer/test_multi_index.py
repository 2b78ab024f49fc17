"""Tables of multi-index hashing: their plan, their order, and searches that they cannot finish."""

import numpy as np
import pytest
from index_reference import Reference, assert_equals_reference, random_codes

from indexer.exact import ExactIndex
from indexer.multi_index import build_tables, masks_by_ring, plan_tables
from indexer.ranges import all_but


@pytest.mark.parametrize(
    ("bits", "rows", "expected"),
    [
        (48, 10_000_000, (3, 16)),
        (48, 1_000, (0, 0)),
        (65, 10_000_000, (0, 0)),
        (64, 10_000_000, (3, 16)),
        (64, 1_000_000_000, (3, 21)),
        (32, 1_000_000, (2, 16)),
        (12, 1_000_000, (1, 12)),
    ],
)
def test_plan(bits, rows, expected):
    assert plan_tables(bits, rows) == expected


@pytest.mark.parametrize(
    ("bits", "num_tables", "width"), [(48, 3, 16), (64, 3, 16), (64, 3, 9), (12, 1, 12), (33, 2, 5)]
)
def test_a_bucket_holds_the_rows_with_its_substring_in_order(bits, num_tables, width):
    codes = np.random.default_rng(0).integers(0, 1 << (bits - 1), 3000, dtype=np.uint64)
    tables = build_tables(codes, bits, num_tables, width)
    for table in range(num_tables):
        substrings = (codes >> np.uint64(table * width)) & np.uint64((1 << width) - 1)
        np.testing.assert_array_equal(tables.rows[table], np.argsort(substrings, kind="stable"))
        counts = np.bincount(substrings.astype(np.int64), minlength=1 << width)
        np.testing.assert_array_equal(np.diff(tables.offsets[table].astype(np.int64)), counts)


def test_rests_leave_out_the_substring():
    tables = build_tables(np.array([0xABCDEF123456], np.uint64), 48, 3, 16)
    assert [hex(tables.rests[table, 0]) for table in range(3)] == ["0xabcdef12", "0xabcd3456", "0xef123456"]


def test_masks_come_by_their_count_of_bits():
    masks, rings = masks_by_ring(16)
    assert len(masks) == 65_536
    assert np.diff(rings).tolist() == [int(np.sum(np.bitwise_count(np.arange(65_536)) == r)) for r in range(17)]
    assert (np.diff(np.bitwise_count(masks).astype(int)) >= 0).all()
    many, some_rings = masks_by_ring(21)
    assert len(many) == some_rings[-1] < 131_072


@pytest.mark.parametrize("effort", [0.0, 0.02, 0.5, 1e9])
@pytest.mark.parametrize("bits", [20, 48, 64])
def test_the_answer_does_not_depend_on_how_much_is_probed(bits, effort):
    rng = np.random.default_rng(bits)
    index, reference = ExactIndex(bits, table_rows=1, probe_effort=effort, background=False), Reference(bits)
    ids, codes = np.arange(40_000), random_codes(rng, 40_000, bits)
    index.add(ids, codes)
    reference.add(ids, codes)
    index.compact()
    assert (index.status()["tables"], index.status()["table_bits"]) == plan_tables(bits, 40_000)
    queries = np.concatenate((random_codes(rng, 3, bits), codes[:2]))
    assert_equals_reference(index, reference, queries, (10, 300), (3, bits // 3))
    narrow, wide = np.array([[70, 90], [5_000, 5_400]]), all_but(np.array([[100, 20_000]]))
    assert_equals_reference(index, reference, queries, (10,), (bits // 3,), narrow)
    assert_equals_reference(index, reference, queries, (10,), (bits // 3,), wide)


def test_rings_that_end_early_leave_the_rest_to_a_scan(monkeypatch):
    monkeypatch.setattr("indexer.multi_index._MAX_MASKS", 200)
    masks_by_ring.cache_clear()
    try:
        rng = np.random.default_rng(2)
        index, reference = ExactIndex(48, table_rows=1, probe_effort=1e9, background=False), Reference(48)
        ids, codes = np.arange(3_000), random_codes(rng, 3_000, 48)
        index.add(ids, codes)
        reference.add(ids, codes)
        index.compact()
        assert_equals_reference(index, reference, random_codes(rng, 4, 48), (10, 5_000), (4, 20, 48))
    finally:
        masks_by_ring.cache_clear()
