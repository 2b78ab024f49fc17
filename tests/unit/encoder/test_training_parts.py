import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from encoder.codes import hamming_distances
from encoder.training.cache import CHUNK, stored_features
from encoder.training.recipes import load_recipe, recipe_names
from encoder.training.scores import confusion, expected_precision, overlap_scores
from encoder.training.segmentation import median_frequency_weights, segmentation_loss
from hashreel.errors import BadInputError, NotFoundError


def test_every_recipe_that_ships_is_complete() -> None:
    assert {"paper-2018", "baseline-2015"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.about
        json.dumps(recipe.as_json())


def test_the_papers_recipe_has_the_papers_settings() -> None:
    recipe = load_recipe("paper-2018")
    assert (recipe.network.trunk, recipe.network.size, recipe.network.bits) == ("vgg16", 224, 48)
    assert (recipe.network.input, recipe.network.hidden, recipe.network.fuse_channels) == ("grid", (4096, 4096), 512)
    assert recipe.segmentation is not None
    for phase, batch in ((recipe.segmentation, 32), (recipe.hash, 96)):
        assert (phase.epochs, phase.batch, phase.momentum) == (30, batch, 0.9)
        assert [phase.rate_at(epoch) for epoch in (0, 19, 20, 29)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert recipe.hash.loss == "classification"
    assert not recipe.segmentation.augment
    assert not recipe.hash.flip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not toml", "TOML"),
        ("speed = 9", "unknown settings"),
        ("[network]\nkind = 'baseline'", "incomplete"),
        ("[network]\nkind='baseline'\ntrunk='vgg16'\nsize=224\ninput='pooled'\nhidden=[]\nspeed=1", "speed"),
        ("[network]\nkind='psp'\ntrunk='vgg16'\nsize=224\ninput='gap'\nhidden=[]", "segmentation"),
        ("[network]\nkind='baseline'\ntrunk='vgg16'\nsize=0\ninput='pooled'\nhidden=[]", "size is 0"),
        ("[network]\nkind='baseline'\ntrunk='v'\nsize=9\ninput='p'\nhidden=[]\n[hash]\nfreeze='x'", "freeze"),
    ],
)
def test_bad_recipes_are_refused_with_their_file(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadInputError, match=says) as caught:
        load_recipe(path)
    assert "mine.toml" in str(caught.value)
    with pytest.raises(NotFoundError, match="paper-2018"):
        load_recipe("nothing")


def numbered(calls: list[range]) -> object:
    def compute(numbers: range) -> NDArray[np.float32]:
        calls.append(numbers)
        return np.arange(numbers.start, numbers.stop, dtype=np.float32)[:, None] * np.ones(3, dtype=np.float32)

    return compute


def test_stored_features_are_computed_once_and_go_on_after_a_stop(tmp_path: Path) -> None:
    path, count = tmp_path / "f" / "x.npy", 2 * CHUNK + 10
    calls: list[range] = []

    def stop(done: int, total: int) -> None:
        if done >= CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored_features(path, "key", count, numbered(calls), stop)  # type: ignore[arg-type]
    features = stored_features(path, "key", count, numbered(calls))  # type: ignore[arg-type]
    np.testing.assert_array_equal(features[:, 1], np.arange(count))
    assert [call.start for call in calls] == [0, CHUNK, 2 * CHUNK]
    stored_features(path, "key", count, numbered(calls))  # type: ignore[arg-type]
    assert len(calls) == 3


def test_stored_features_of_another_key_are_made_anew(tmp_path: Path) -> None:
    calls: list[range] = []
    stored_features(tmp_path / "x.npy", "a", 5, numbered(calls))  # type: ignore[arg-type]
    stored_features(tmp_path / "x.npy", "b", 7, numbered(calls))  # type: ignore[arg-type]
    assert [len(call) for call in calls] == [5, 7]


def test_overlap_scores_of_a_worked_case() -> None:
    truth = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
    predicted = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
    counts = confusion(truth, predicted, 4, 255)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    figures = overlap_scores(counts)
    assert figures["pixel_accuracy"] == pytest.approx(3 / 5)
    assert figures["mean_iou"] == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)


def test_expected_precision_equals_the_mean_over_tie_orders() -> None:
    rng = np.random.default_rng(0)
    queries, gallery = rng.integers(0, 4, (5, 1), dtype=np.uint8), rng.integers(0, 4, (40, 1), dtype=np.uint8)
    query_targets, gallery_targets = np.eye(3)[rng.integers(0, 3, 5)], np.eye(3)[rng.integers(0, 3, 40)]
    distances = hamming_distances(queries, gallery)
    means = []
    for _ in range(4000):
        order = np.argsort(distances + 0.5 * rng.random(distances.shape), axis=1)[:, :7]
        relevant = (query_targets @ gallery_targets.T > 0)[np.arange(5)[:, None], order]
        means.append(relevant.mean())
    expected = expected_precision(queries, query_targets, gallery, gallery_targets, 7)
    assert expected == pytest.approx(float(np.mean(means)), abs=5e-3)


def test_segmentation_loss_is_the_mean_over_pixels_that_have_a_class() -> None:
    torch.manual_seed(0)
    scores, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    masks[0, :2] = 255
    weights = torch.tensor([1.0, 2.0, 0.5])
    for w in (None, weights):
        expected = F.cross_entropy(scores, masks, weight=w, ignore_index=255)
        torch.testing.assert_close(segmentation_loss(scores, masks, w), expected)
    assert float(segmentation_loss(scores, torch.full_like(masks, 255))) == 0


def test_median_frequency_weights_are_capped() -> None:
    weights = median_frequency_weights(np.array([100, 10, 1, 0, 10000]))
    assert weights.tolist() == pytest.approx([0.55, 5.5, 10.0, 1.0, 0.0055])
