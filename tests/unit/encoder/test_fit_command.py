import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from PIL import Image

from encoder.model import load_model
from hashreel.cli.fit import cli as fit
from hashreel.cli.models import cli as models


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(24):
        blocks = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((16, 16, 1)))
        Image.fromarray(blocks.astype(np.uint8)).save(folder / f"{i:02}.png")
    return folder


def run_fit(method: str, pictures: Path, out: Path) -> dict[str, object]:
    args = [method, "--folder", str(pictures), "--out", str(out), "--bits", "8", "--size", "64", "--threads", "1"]
    result = CliRunner().invoke(fit, [*args, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    return dict(json.loads(result.stdout))


def test_fit_writes_a_model_that_loads_and_says_how_it_was_made(pictures: Path, tmp_path: Path) -> None:
    report = run_fit("itq", pictures, tmp_path / "mine")
    model = load_model(tmp_path / "mine", device="cpu")
    assert report["fingerprint"] == model.fingerprint
    assert report["pictures"] == 24
    assert model.name == "mine"
    assert model.manifest.training["command"].startswith("hashreel fit itq --folder pictures")
    assert str(pictures) not in (tmp_path / "mine" / "model.json").read_text()


def test_fitting_twice_gives_the_same_fingerprint(pictures: Path, tmp_path: Path) -> None:
    first, second = (run_fit("lsh", pictures, tmp_path / name) for name in "ab")
    assert first["fingerprint"] == second["fingerprint"]


def test_fit_without_pictures_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(fit, ["itq", "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "--folder" in result.stderr


def test_models_are_listed_shown_and_verified() -> None:
    runner = CliRunner()
    listed = json.loads(runner.invoke(models, ["list", "--json"], catch_exceptions=False).stdout)["models"]
    assert [row["name"] for row in listed if row["default"]]
    assert "(default)" in runner.invoke(models, ["list"]).stdout
    shown = json.loads(runner.invoke(models, ["show", "default", "--json"], catch_exceptions=False).stdout)
    assert shown["fingerprint"] in runner.invoke(models, ["show", "default"]).stdout
    verified = json.loads(runner.invoke(models, ["verify", "default", "--json"], catch_exceptions=False).stdout)
    assert verified["ok"] is True
    assert verified["fingerprint"] == shown["fingerprint"]


def test_an_exported_model_gives_the_same_outputs(tmp_path: Path, pictures: Path) -> None:
    run_fit("lsh", pictures, tmp_path / "mine")
    file = tmp_path / "mine.onnx"
    args = ["export", str(tmp_path / "mine"), "--out", str(file), "--batch", "2", "--json"]
    assert json.loads(CliRunner().invoke(models, args, catch_exceptions=False).stdout)["bytes"] == file.stat().st_size
    model = load_model(tmp_path / "mine", device="cpu", runtime="torch")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"pixels": pixels})[0], model.outputs(list(pixels)), atol=1e-4)
