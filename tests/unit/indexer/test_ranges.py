"""Sets of frame ids as ranges, against Python sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashreel.errors import BadInputError
from indexer.ranges import MAX_FRAME_ID, all_but, check_ranges, expand, intersect_ranges, ranges_of_ids

pairs = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


def array(ranges):
    return np.array(ranges, np.int64).reshape(-1, 2)


def members(ranges):
    return {number for first, end in ranges for number in range(first, end)}


def assert_normal(ranges):
    assert (ranges[:, 0] < ranges[:, 1]).all()
    assert (ranges[1:, 0] > ranges[:-1, 1]).all()


@given(pairs)
def test_normal_form_holds_the_same_ids(ranges):
    normal = check_ranges(array(ranges))
    assert_normal(normal)
    assert members(normal) == members(ranges)


@given(pairs, pairs)
def test_intersection(left, right):
    both = intersect_ranges(array(left), array(right))
    assert_normal(both)
    assert members(both) == members(left) & members(right)


@given(pairs)
def test_all_but(ranges):
    others = all_but(array(ranges))
    assert_normal(others)
    assert members(np.minimum(others, 60)) == set(range(60)) - members(ranges)
    assert others[-1, 1] == MAX_FRAME_ID + 1


@given(st.lists(st.integers(0, 40)))
def test_ranges_of_ids(ids):
    ranges = ranges_of_ids(np.array(ids, np.int64))
    assert_normal(ranges)
    assert members(ranges) == set(ids)


@given(pairs)
def test_expand_lists_every_number(ranges):
    expected = [number for first, end in ranges for number in range(first, end)]
    assert expand(array(ranges)[:, 0], array(ranges)[:, 1]).tolist() == expected


@pytest.mark.parametrize("bad", [[[3, 2]], [1, 2], [[1, 2, 3]], [[0.5, 1.5]]])
def test_what_is_no_range_is_refused(bad):
    with pytest.raises(BadInputError):
        check_ranges(np.array(bad))
