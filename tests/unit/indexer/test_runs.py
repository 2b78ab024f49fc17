"""The map between rows and frame ids, against a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashreel.errors import ConflictError
from indexer.ranges import check_ranges
from indexer.runs import RowMap

steps = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, 30), min_size=1, max_size=10, unique=True)), max_size=12
)


@given(steps)
def test_map_equals_a_dictionary(steps):
    rows, expected, by_row = RowMap(), {}, []
    for is_add, ids in steps:
        if is_add:
            new = [number for number in ids if number not in expected]
            rows.add(np.array(new, np.int64), len(by_row))
            expected |= {number: len(by_row) + i for i, number in enumerate(new)}
            by_row += new
        else:
            first, end = min(ids), max(ids) + 1
            gone = rows.remove(check_ranges(np.array([[first, end]])))
            dead = sorted(row for number, row in expected.items() if first <= number < end)
            assert sorted(row for a, b in gone for row in range(a, b)) == dead
            expected = {number: row for number, row in expected.items() if not first <= number < end}
    runs = rows.freeze()
    asked = np.arange(31)
    assert runs.rows_of(asked).tolist() == [expected.get(number, -1) for number in asked]
    assert runs.ids_of(np.arange(len(by_row))).tolist() == by_row
    ids, first_rows, lengths = runs.pieces(check_ranges(np.array([[3, 9], [20, 28]])))
    found = {i + k: r + k for i, r, n in zip(ids, first_rows, lengths, strict=True) for k in range(n)}
    assert found == {n: r for n, r in expected.items() if 3 <= n < 9 or 20 <= n < 28}


def test_consecutive_ids_share_one_run():
    rows = RowMap()
    rows.add(np.arange(1000), 0)
    rows.add(2**32 + np.arange(500), 1000)
    assert len(rows.freeze().first_rows) == len(rows.freeze().live_ids) == 2


def test_a_conflict_changes_nothing():
    rows = RowMap()
    rows.add(np.arange(10), 0)
    before = rows.freeze()
    with pytest.raises(ConflictError, match="frame id 4 "):
        rows.add(np.array([20, 4, 30]), 10)
    np.testing.assert_array_equal(rows.freeze().first_ids, before.first_ids)


def test_a_frozen_map_does_not_follow_the_writer():
    rows = RowMap()
    rows.add(np.arange(10), 0)
    before = rows.freeze()
    rows.add(np.arange(100, 110), 10)
    rows.remove(check_ranges(np.array([[2, 5]])))
    assert before.rows_of(np.array([3, 105])).tolist() == [3, -1]
