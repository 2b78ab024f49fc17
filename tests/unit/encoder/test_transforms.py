from __future__ import annotations

import numpy as np
import pytest

from encoder.pictures import scale_short_side
from encoder.transforms import Transform
from hashreel.errors import BadInputError

RNG = np.random.default_rng(1)
KINDS = ["centre", "letterbox", "three"]


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramp(height, width):
    """A picture whose red tells the column and whose green tells the row, each in percent."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 100, width)[None, :]
    image[..., 1] = np.linspace(0, 100, height)[:, None]
    return image


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(224, 224), (480, 640), (640, 480), (1, 1), (3, 900), (900, 3), (225, 224), (20, 30)]
)
def test_any_picture_becomes_square_inputs(kind, shape):
    transform = Transform(kind, 64)
    inputs = transform.apply(noise(*shape))
    assert inputs.shape == (3 if kind == "three" else 1, 64, 64, 3)
    assert inputs.shape[0] == transform.num_crops
    assert inputs.dtype == np.uint8
    assert inputs.flags.c_contiguous


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(480, 640), (333, 517), (900, 100), (50, 70), (2000, 3)])
def test_a_picture_that_was_scaled_before_gives_the_same_bytes(kind, shape):
    transform = Transform(kind, 64)
    image = noise(*shape)
    assert np.array_equal(transform.apply(image), transform.apply(scale_short_side(image, 64)))


def test_centre_is_the_square_with_the_smaller_dimension():
    image = noise(64, 100)
    assert np.array_equal(Transform("centre", 64).apply(image)[0], image[:, 18:82])
    image = noise(101, 64)
    assert np.array_equal(Transform("centre", 64).apply(image)[0], image[18:82])


def test_three_windows_lie_at_the_start_the_centre_and_the_end():
    wide = noise(64, 100)
    crops = Transform("three", 64).apply(wide)
    for crop, x in zip(crops, (0, 18, 36), strict=True):
        assert np.array_equal(crop, wide[:, x : x + 64])
    tall = noise(100, 64)
    crops = Transform("three", 64).apply(tall)
    for crop, y in zip(crops, (0, 18, 36), strict=True):
        assert np.array_equal(crop, tall[y : y + 64])


@pytest.mark.parametrize("size", [32, 64, 224])
def test_the_same_part_is_seen_at_every_size(size):
    (centre,) = Transform("centre", size).apply(ramp(180, 320))
    # 56.25 % of the width is seen: from 21.875 to 78.125.
    assert abs(int(centre[0, 0, 0]) - 22) <= 2
    assert abs(int(centre[0, -1, 0]) - 78) <= 2
    assert (int(centre[0, 0, 1]), int(centre[-1, 0, 1])) == pytest.approx((0, 100), abs=3)


def test_letterbox_shows_the_whole_picture_between_grey_bars():
    (box,) = Transform("letterbox", 80).apply(np.full((90, 160, 3), 255, np.uint8))
    assert (box[:17] == 128).all()
    assert (box[18:62] == 255).all()
    assert (box[63:] == 128).all()
    (box,) = Transform("letterbox", 80).apply(ramp(160, 90))
    assert (box[:, :17] == 128).all()
    assert (box[:, -17:] == 128).all()
    assert (int(box[0, 40, 1]), int(box[-1, 40, 1])) == pytest.approx((0, 100), abs=3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_transform_comes_back_from_its_json(kind):
    transform = Transform(kind, 112)
    assert transform.to_json() == {"kind": kind, "size": 112}
    assert Transform.from_json(transform.to_json()) == transform


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kind": "centre"}, "expected kind and size"),
        ({"kind": "centre", "size": 224, "mean": 0}, "expected kind and size"),
        ({"kind": "center", "size": 224}, "accepted: centre, letterbox, three"),
        ({"kind": "centre", "size": 7}, "accepted: 8 to 1024"),
        ({"kind": "centre", "size": 2000}, "accepted: 8 to 1024"),
        ({"kind": "centre", "size": 64.0}, "whole number"),
        ({"kind": "centre", "size": True}, "whole number"),
    ],
)
def test_a_transform_that_is_not_accepted_says_what_is(document, said):
    with pytest.raises(BadInputError, match=said):
        Transform.from_json(document)


def test_a_picture_of_another_form_is_refused():
    with pytest.raises(BadInputError, match="expected uint8"):
        Transform().apply(np.zeros((4, 4), np.uint8))
