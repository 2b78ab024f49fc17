import numpy as np
import pytest

from encoder.features import pooled_features
from encoder.fitting import fit_hasher, match_means
from encoder.hashers import create_hasher
from encoder.transforms import Transform
from encoder.trunks import create_trunk
from hashreel.errors import BadInputError


def test_matched_features_have_the_expected_means_up_to_a_factor_of_ten() -> None:
    features = np.random.default_rng(0).random((50, 4)).astype(np.float32)
    means = features.mean(axis=0)
    matched = match_means(features, means * np.array([1.0, 3.0, 0.5, 100.0], dtype=np.float32))
    np.testing.assert_allclose(matched.mean(axis=0), means * [1.0, 3.0, 0.5, 10.0], rtol=1e-5)


def test_features_come_in_order_and_do_not_depend_on_the_batch() -> None:
    trunk, transform = create_trunk("timm:resnet10t", pretrained=False), Transform("three", 32)
    images = [np.full((20, 50, 3), value, np.uint8) for value in (0, 100, 200)]
    features = pooled_features(trunk, images, transform, batch_size=4)
    assert features.shape == (9, 512)
    np.testing.assert_allclose(features[3], pooled_features(trunk, images[1:2], transform)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(BadInputError, match="no picture"):
        pooled_features(trunk, [], transform)


def test_a_trunk_that_does_not_tell_cannot_be_matched() -> None:
    trunk, transform = create_trunk("timm:resnet10t", pretrained=False), Transform("centre", 32)
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(BadInputError, match="does not tell"):
        fit_hasher(create_hasher("itq", 8), trunk, transform, images, match_trunk=True)
