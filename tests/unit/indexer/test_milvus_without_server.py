"""What the kind milvus says where there is no pymilvus, and what filters look like; the rest is in tests/milvus."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest

from hashreel.doctor.engine import _milvus
from hashreel.errors import MissingExtraError
from hashreel.settings import Settings
from indexer import make_index
from indexer.milvus.filters import MAX_RANGES, expression_of, expressions_of
from indexer.ranges import check_ranges

without_pymilvus = pytest.mark.skipif(
    importlib.util.find_spec("pymilvus") is not None, reason="pymilvus is installed here"
)


@without_pymilvus
def test_a_missing_package_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r"hashreel\[milvus\]"):
        make_index("milvus", 48)
    found = _milvus(Settings(index="milvus"))
    assert found.is_problem
    assert "hashreel[milvus]" in found.said


def test_ranges_become_expressions_of_little_depth() -> None:
    ranges = check_ranges(np.stack([np.arange(0, 40_000, 20), np.arange(5, 40_005, 20)], axis=1))
    parts = list(expressions_of(ranges))
    assert len(parts) == -(-len(ranges) // MAX_RANGES)
    found = [tuple(map(int, pair)) for part in parts for pair in re.findall(r"\((\d+) <= id < (\d+)\)", part)]
    assert found == [tuple(pair) for pair in ranges.tolist()]
    depths = np.cumsum([{"(": 1, ")": -1}.get(letter, 0) for letter in parts[0]])
    assert (depths.max(), depths[-1]) == (11, 0)
    assert list(expressions_of(None)) == [""]
    assert list(expressions_of(ranges[:0])) == []
    assert expression_of(ranges[:1]) == "(0 <= id < 5)"
