import numpy as np
import pytest

from encoder.analysis import concept_areas, concept_bits, predict_masks
from hashreel.errors import BadInputError


def test_areas_are_shares_of_pixels_without_the_background() -> None:
    masks = np.array([[[0, 1], [2, 2]], [[1, 1], [1, 1]]], np.uint8)
    areas = concept_areas(masks, ("background", "sky", "sea", "car"))
    assert areas.dtype == np.float32
    assert areas.tolist() == [[0.25, 0.5, 0.0], [1.0, 0.0, 0.0]]


def test_every_class_is_a_concept_where_there_is_no_background() -> None:
    assert concept_areas(np.array([[[0, 1]]], np.uint8), ("sky", "sea")).tolist() == [[0.5, 0.5]]


def test_concept_bits_hold_what_covers_half_a_percent() -> None:
    areas = np.array([[0.005, 0.0049, 1.0], [0.0, 0.0, 0.0]], np.float32)
    bits = concept_bits(areas)
    assert bits.dtype == np.uint32
    assert bits.tolist() == [0b101, 0]
    assert concept_bits(np.ones((1, 32), np.float32)).tolist() == [2**32 - 1]
    with pytest.raises(BadInputError, match="32"):
        concept_bits(np.ones((1, 33), np.float32))


def test_masks_choose_the_highest_interpolated_score() -> None:
    scores = np.zeros((1, 3, 2, 2), np.float32)
    scores[0, 1, :, 0] = 1  # left half
    scores[0, 2, :, 1] = 1  # right half
    mask = predict_masks(scores, 8)
    assert mask.shape == (1, 8, 8)
    assert (mask[0, :, :4] == 1).all()
    assert (mask[0, :, 4:] == 2).all()
