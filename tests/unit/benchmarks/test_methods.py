"""The comparison of hashing methods on generated features: resumable, tuned without the queries, written down."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.methods.catalogue import METHODS
from benchmarks.methods.features import FeatureSet, block_wise
from benchmarks.methods.protocol import Protocol
from benchmarks.methods.runner import Runner
from benchmarks.methods.table import write_docs
from hashreel.errors import BadInputError

PROTOCOL = Protocol(
    gallery=400,
    queries=60,
    held_out=80,
    tuning_pictures=200,
    tuning_epochs=2,
    epochs=6,
    batch=32,
    hidden=32,
)
CHOSEN = {m.name: m for m in METHODS if m.name in ("lsh", "itq", "orthohash")}


def generated(count: int, seed: int) -> FeatureSet:
    """Return features of three classes around centres that do not depend on the seed."""
    centres = np.random.default_rng(0).normal(size=(3, 64))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    features = centres[labels] + 1.5 * rng.normal(size=(count, 64))
    return FeatureSet(features.astype(np.float32), labels, ("a", "b", "c"))


SETS = generated(400, 1), generated(60, 2)


@pytest.fixture(scope="module")
def runner(tmp_path_factory) -> Runner:
    made = Runner(lambda kind: SETS, tmp_path_factory.mktemp("work"), PROTOCOL)
    for method in CHOSEN.values():
        for bits in (16, 48):
            made.result(method, bits, 0)
    return made


def forbidden(kind):
    raise AssertionError("stored results must not need the features again")


def test_a_second_run_goes_on_from_what_is_stored(runner):
    again = Runner(forbidden, runner.folder.parent, PROTOCOL)
    for method in CHOSEN.values():
        assert again.result(method, 48, 0) == runner.result(method, 48, 0)
    with pytest.raises(AssertionError):
        again.result(CHOSEN["itq"], 48, 1)


def test_results_of_another_protocol_are_not_mixed_in(runner):
    other = Runner(forbidden, runner.folder.parent, dataclasses.replace(PROTOCOL, epochs=7))
    with pytest.raises(AssertionError):
        other.result(CHOSEN["lsh"], 48, 0)


def test_methods_that_learn_score_above_random_projections_and_chance(runner):
    scores = {name: runner.result(m, 48, 0)["scores"]["map@1000:minKR"] for name, m in CHOSEN.items()}
    assert scores["orthohash"]["macro"] > scores["lsh"]["macro"] + 0.1
    for score in scores.values():
        assert score["chance"] < score["lower"] <= score["macro"] <= score["upper"]
        assert score["worst"] <= score["macro"] <= score["best"]


def test_tuning_sees_no_query(tmp_path):
    class Unreadable:
        def __getattr__(self, name):
            raise AssertionError("tuning looked at the queries")

    made = Runner(lambda kind: (SETS[0], Unreadable()), tmp_path, PROTOCOL)
    tuned = made.tuned(CHOSEN["itq"])
    assert len(tuned["trials"]) == len(CHOSEN["itq"].settings)
    assert tuned["options"] == max(tuned["trials"], key=lambda trial: trial["score"])["options"]


def test_no_method_may_try_more_settings_than_the_protocol_allows(tmp_path):
    made = Runner(lambda kind: SETS, tmp_path, dataclasses.replace(PROTOCOL, trials=1))
    with pytest.raises(BadInputError, match="1 are allowed"):
        made.tuned(CHOSEN["itq"])
    assert all(len(method.settings) <= Protocol().trials for method in METHODS)


def test_a_trial_that_diverges_loses(tmp_path):
    wild = dataclasses.replace(CHOSEN["orthohash"], settings=({"rate": 1e9}, {"rate": 0.03}))
    tuned = Runner(lambda kind: SETS, tmp_path, PROTOCOL).tuned(wild)
    assert tuned["options"] == {"rate": 0.03}


def test_the_page_has_a_row_a_method_and_names_its_command(runner, tmp_path):
    results = [runner.result(m, bits, 0) for m in CHOSEN.values() for bits in (16, 48)]
    tuned = {name: runner.tuned(m) for name, m in CHOSEN.items()}
    write_docs(tmp_path, results, tuned, PROTOCOL, "the command")
    text = (tmp_path / "methods.md").read_text()
    assert "the command" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for method in CHOSEN.values():
        assert sum(line.startswith(f"| {method.title} |") for line in rows) == 3
    orthohash = runner.result(CHOSEN["orthohash"], 48, 0)["scores"]["map@1000:minKR"]["macro"]
    assert f"| OrthoHash (2021) | labels | {orthohash:.3f} |" in text
    plot = (tmp_path / "methods.svg").read_text()
    assert plot.startswith('<svg viewBox="0 0 460 300"')
    assert 'xmlns="http://www.w3.org/2000/svg"' in plot
    assert plot.count('class="line line') == 2 * 3


def test_features_are_computed_once_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.methods.features.BLOCK", 4)
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    calls = []

    def compute(part):
        calls.append(len(part))
        return part.reshape(len(part), 1).astype(np.float32)

    first = block_wise(tmp_path, "x", images[:8], compute)
    whole = block_wise(tmp_path, "x", images, compute)
    assert calls == [4, 4, 2]
    assert first[:, 0].tolist() == list(range(8))
    assert whole[:, 0].tolist() == list(range(10))
