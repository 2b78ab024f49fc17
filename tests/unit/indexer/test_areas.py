"""Areas in half a byte: close enough, in order, and back again."""

from __future__ import annotations

import numpy as np
import pytest

from hashreel.errors import BadInputError
from indexer.areas import LEAST_AREA, area_levels, level_areas, pack_levels, unpack_levels


def test_levels_are_the_nearest_in_log_scale() -> None:
    shares = np.geomspace(LEAST_AREA, 1, 1000)
    known = level_areas(np.arange(16, dtype=np.uint8))
    assert known[0] == 0
    assert known[1] == pytest.approx(LEAST_AREA)
    assert known[15] == 1
    for share, level in zip(shares, area_levels(shares), strict=True):
        assert level == 1 + np.abs(np.log(known[1:]) - np.log(share)).argmin()
    assert np.abs(level_areas(area_levels(shares)) / shares - 1).max() < 0.22


def test_what_is_below_half_a_percent_is_absent() -> None:
    assert area_levels(np.array([0.0, 0.0049, 0.005, 1.0])).tolist() == [0, 0, 1, 15]


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_what_is_no_share_is_refused(bad: float) -> None:
    with pytest.raises(BadInputError, match="shares"):
        area_levels(np.array([0.5, bad]))


@pytest.mark.parametrize("concepts", [1, 2, 7, 16, 32])
def test_packing_goes_back(concepts: int) -> None:
    levels = np.random.default_rng(concepts).integers(0, 16, (50, concepts), dtype=np.uint8)
    packed = pack_levels(levels)
    assert packed.shape == (50, (concepts + 1) // 2)
    assert np.array_equal(unpack_levels(packed, concepts), levels)
    assert packed[0, 0] & 15 == levels[0, 0]
