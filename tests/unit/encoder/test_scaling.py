from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from encoder.scaling import (
    display_size,
    frame_to_rgb,
    orient,
    resize,
    scale_short_side,
    short_side_size,
)
from hashreel.errors import BadInputError

RNG = np.random.default_rng(0)


def noise(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((1920, 1080), 224, (398, 224)),
        ((1080, 1920), 224, (224, 398)),
        ((100, 100), 224, (224, 224)),
        ((1, 1), 224, (224, 224)),
        ((640, 40), 40, (640, 40)),
        ((10_000, 1), 224, (3584, 1)),
        ((1, 65_000), 8, (1, 128)),
    ],
)
def test_the_short_side_is_met_unless_the_long_one_would_explode(size, short_side, expected):
    assert short_side_size(*size, short_side) == expected


def test_a_short_side_below_one_is_refused():
    with pytest.raises(BadInputError, match="short_side is 0"):
        short_side_size(10, 10, 0)


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [
        (None, (176, 144)),
        (Fraction(0), (176, 144)),
        (Fraction(128, 117), (193, 144)),
        (Fraction(1, 2), (88, 144)),
        (Fraction(1, 60_000), (176, 144)),
        (Fraction(60_000), (176, 144)),
    ],
)
def test_pixels_become_square_but_absurd_aspects_are_ignored(aspect, expected):
    assert display_size(176, 144, aspect) == expected


def test_downscaling_averages_areas():
    image = noise(64, 96)
    blocks = image.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, 24, 16) - blocks).max() <= 2


def test_scaling_to_the_same_size_changes_nothing():
    image = noise(30, 40)
    assert np.array_equal(scale_short_side(image, 30), image)
    once = scale_short_side(noise(333, 517), 224)
    assert np.array_equal(scale_short_side(once, 224), once)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (33, 35), (224, 225)])
def test_odd_sizes_keep_their_mean_colour(shape):
    image = np.broadcast_to(np.uint8([200, 90, 30]), (*shape, 3))
    scaled = scale_short_side(image, 21)
    assert min(scaled.shape[:2]) >= 1
    assert np.abs(scaled.astype(int) - (200, 90, 30)).max() <= 1


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(wrong):
    with pytest.raises(BadInputError, match=r"expected uint8 \[h, w, 3\]"):
        scale_short_side(wrong, 8)


# x' = a x + c y, y' = b x + d y: the eight ways in which a picture can lie.
EIGHT = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", EIGHT)
def test_every_display_matrix_moves_each_pixel_where_it_says(matrix):
    image = noise(4, 6)
    turned = orient(image, tuple(65536 * value for value in matrix))
    a, b, c, d = matrix
    points = np.array([(a * x + c * y, b * x + d * y) for y in range(4) for x in range(6)])
    points -= points.min(axis=0)
    for (x, y), pixel in zip(points, image.reshape(-1, 3), strict=True):
        assert np.array_equal(turned[y, x], pixel)
    assert np.array_equal(turned, EIGHT[matrix](image))
    assert turned.flags.c_contiguous


FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "nv12", "gray", "gray16le",
           "rgb24", "bgr24", "rgba", "bgra", "gbrp", "gbrp10le", "pal8", "yuva420p", "rgb48le", "rgb565le"]  # fmt: skip


@pytest.mark.parametrize("pixels", FORMATS)
def test_frames_of_any_pixel_format_become_rgb(pixels):
    grey = np.full((18, 30, 3), 120, np.uint8)
    if pixels == "pal8":
        palette = np.zeros((256, 4), np.uint8)
        palette[:, :] = (255, 120, 120, 120)
        frame = av.VideoFrame.from_ndarray((np.zeros((18, 30), np.uint8), palette), format="pal8")
    else:
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pixels)
    image = frame_to_rgb(frame, None, 9)
    assert image.shape == (9, 15, 3)
    assert np.abs(image.astype(int) - 120).max() <= 6


def test_transparent_pixels_are_put_on_white():
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, 4:] = (10, 20, 30, 255)
    rgba[:4, 4:, 3] = 128
    image = frame_to_rgb(av.VideoFrame.from_ndarray(rgba, format="rgba"), None, None)
    assert (image[:, :4] == 255).all()
    assert (image[4:, 4:] == (10, 20, 30)).all()
    assert np.abs(image[:4, 4:].astype(int) - (132, 137, 142)).max() <= 1


@pytest.mark.parametrize("matrix", range(18))
def test_frames_with_any_colour_matrix_become_rgb(matrix):
    grey = np.full((16, 16, 3), 120, np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="yuv444p")
    frame.colorspace = matrix
    assert np.abs(frame_to_rgb(frame, None, None).astype(int) - 120).max() <= 16
