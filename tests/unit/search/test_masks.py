"""Masks over pictures: where they belong, and in which colours."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from encoder.transforms import Transform
from search.masks import concept_colour, draw_mask, place_masks


@pytest.mark.parametrize("kind", ["centre", "letterbox", "three"])
@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (64, 64)])
def test_a_mask_of_the_networks_input_lies_over_the_same_part_of_the_picture(kind, shape):
    picture = np.zeros((*shape, 3), np.uint8)
    picture[shape[0] // 3 : shape[0] * 2 // 3, shape[1] // 3 : shape[1] * 2 // 3] = 255
    transform = Transform(kind, 64)
    seen = (transform.apply(picture)[..., 0] > 192).astype(np.uint8)  # a network that finds what is white
    found = place_masks(seen, transform, *shape)
    assert found.shape == shape
    assert np.mean(found == (picture[..., 0] > 0)) > 0.96


def test_each_concept_has_a_colour_and_the_background_none():
    classes = ["background", "sea", "sky"]
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    picture = Image.open(io.BytesIO(draw_mask(mask, classes))).convert("RGBA")
    assert [picture.getpixel((x, 0))[3] > 0 for x in (0, 1)] == [False, True]
    assert picture.getpixel((1, 0))[:3] == concept_colour(0)
    assert picture.getpixel((0, 1))[:3] == concept_colour(1)


def test_colours_of_32_concepts_can_be_told_apart():
    colours = [np.array(concept_colour(number)) for number in range(32)]
    assert min(np.abs(a - b).max() for a, b in itertools.combinations(colours, 2)) >= 10
