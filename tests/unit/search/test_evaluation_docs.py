"""What docs/evaluation.md shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import evaluation_cases as cases
import numpy as np
import pytest

from search.evaluation import parse_csv, parse_json_lines

PAGE = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("text", blocks("csv"))
def test_ground_truth_in_csv_is_accepted(text):
    assert parse_csv(text.splitlines(keepends=True)).records


def test_ground_truth_in_json_lines_is_accepted():
    (text,) = blocks("json")
    assert parse_json_lines([text]).records[0].clip == "street2"


def test_the_python_example_writes_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    concepts = [";".join(c for c in cases.CONCEPTS if rng.random() < 0.5) for _ in range(80)]
    rows = [f"p{i:02}.jpg,{names}" for i, names in enumerate(concepts)]
    Path("truth.csv").write_text("\n".join(["picture,concepts", *rows]), encoding="utf-8")
    (code,) = blocks("python")
    codes = rng.integers(0, 256, (80, 6), dtype=np.uint8)
    alone = re.sub(r', Arm\("baseline".*?\)\)', "", code)
    names = {"codes": codes}
    exec(alone, names)
    names = {"codes": codes, "other_run": names["run"]}
    exec(code, names)
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert names["report"].baseline.name == "baseline"
