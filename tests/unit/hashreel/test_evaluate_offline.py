"""``hashreel evaluate --offline`` on pictures: no service, the same scores as the library's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from encoder.model import load_model
from encoder.pictures import encode_jpeg, load_picture
from hashreel.cli.evaluate import cli
from hashreel.errors import BadInputError, NotFoundError
from search.evaluation import Exclusion, Labels, choose_queries, count_distances, evaluate, metrics_for, run_to_dict

CONCEPTS = ("red", "blue")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of eight pictures of two colours, with their ground truth beside it."""
    root = tmp_path_factory.mktemp("offline")
    (root / "pictures").mkdir()
    rows, rng = ["picture,concepts"], np.random.default_rng(0)
    for number in range(8):
        picture = rng.integers(0, 60, (60, 80, 3), dtype=np.uint8)
        picture[..., 0 if number % 2 else 2] += 190
        (root / "pictures" / f"{number}.jpg").write_bytes(encode_jpeg(picture))
        rows.append(f"{number}.jpg,{CONCEPTS[1 - number % 2]}")
    (root / "truth.csv").write_text("\n".join(rows))
    return root


def run(folder: Path, *arguments: str) -> Result:
    options = ["--offline", "default", "--pictures", str(folder / "pictures"), "--top", "3", *arguments]
    return CliRunner().invoke(cli, [str(folder / "truth.csv"), *options])


def document_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def test_scores_are_those_of_the_library_and_a_later_run_compares(folder: Path, tmp_path: Path) -> None:
    first = run(folder, "--json")
    (scores,) = document_of(first)["runs"][0]
    model = load_model("default", device="cpu", threads=1)
    codes = model.encode([load_picture(folder / "pictures" / f"{number}.jpg") for number in range(8)])
    labels = Labels.from_sets([{CONCEPTS[1 - number % 2]} for number in range(8)])
    keys = [f"{number}.jpg" for number in range(8)]
    choice = choose_queries(labels, keys)
    itself = Exclusion.of_self(choice.rows, 8)
    counts = count_distances(codes[choice.rows], codes, labels.take(choice.rows), labels, exclusion=itself)
    metrics = metrics_for((3,), with_map_at_r=True)
    expected = run_to_dict(evaluate(counts, labels.concepts, [keys[i] for i in choice.rows], metrics=metrics))
    for part in ("scores", "sharing_scores", "queries", "pairs", "total_relevant", "curves"):
        assert scores[part] == expected[part]
    before, page = tmp_path / "before.json", tmp_path / "report.html"
    before.write_text(first.stdout)
    second = run(folder, "--against", str(before), "--html", str(page), "--name", "again")
    assert "map@3:minKR: difference +0.0000" in second.stdout
    assert page.read_text().count("data:image/jpeg") >= 8


def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "truth.csv").write_text((folder / "truth.csv").read_text())
    assert isinstance(run(tmp_path).exception, NotFoundError)
    (tmp_path / "truth.csv").write_text("video,concepts\na.mp4,x\n")
    wrong = run(tmp_path)
    assert isinstance(wrong.exception, BadInputError)
    assert "names videos in row 2; use --videos" in str(wrong.exception)
    (tmp_path / "run.json").write_text("{}")
    assert isinstance(run(folder, "--against", str(tmp_path / "run.json")).exception, BadInputError)
    assert isinstance(run(folder, "--against", str(tmp_path / "none.json")).exception, NotFoundError)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pictures", "."],
        ["--offline", "default"],
        ["--offline", "default", "--pictures", ".", "--videos", "."],
        ["--queries-per-concept", "none"],
        ["--top", "0"],
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(folder: Path, arguments: list[str]) -> None:
    assert CliRunner().invoke(cli, [str(folder / "truth.csv"), *arguments]).exit_code == 2
