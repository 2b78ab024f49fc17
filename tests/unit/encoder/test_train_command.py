import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_training
import torch
from click.testing import CliRunner
from PIL import Image

from encoder.model import load_model
from hashreel.cli.train import cli

RECIPE = """
[network]
kind = "{kind}"
trunk = "tiny"
size = 32
input = "{input}"
hidden = [16]
bits = 16
fuse_channels = 16
centre = true

{segmentation}
[hash]
loss = "orthohash"
epochs = 2
batch = 8
rate = 0.05
freeze = "{freeze}"
held_out = 6
"""


@pytest.fixture(autouse=True)
def _global_settings() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folders of coloured pictures, a VOC kit of coloured halves, and a recipe for each kind of network."""
    pictures, masks = tiny_training.colour_pictures(), tiny_training.colour_masks(8)
    for i in range(len(pictures)):
        folder = tmp_path / "colours" / tiny_training.CLASSES[int(pictures.targets[i].argmax())]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures.read(i)).save(folder / f"{i}.png")
    kit = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (kit / name).mkdir(parents=True)
    for i in range(8):
        image, mask = masks.read(i)
        Image.fromarray(image).save(kit / "JPEGImages" / f"{i}.jpg")
        Image.fromarray(mask).save(kit / "SegmentationClass" / f"{i}.png")
    (kit / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join(map(str, range(8))))
    (tmp_path / "classes.txt").write_text("\n".join(("background", *tiny_training.CLASSES)))
    (tmp_path / "plain.toml").write_text(
        RECIPE.format(kind="baseline", input="pooled", segmentation="", freeze="features")
    )
    phase = "[segmentation]\nepochs = 2\nbatch = 4\nrate = 0.05\n"
    (tmp_path / "psp.toml").write_text(RECIPE.format(kind="psp", input="masked", segmentation=phase, freeze="none"))
    return tmp_path


def run(*args: object) -> dict[str, object]:
    result = CliRunner().invoke(cli, [*map(str, args), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_baseline_writes_a_model_logs_and_curves(data: Path) -> None:
    out = data / "runs" / "plain"
    report = run("baseline", data / "plain.toml", "--folders", data / "colours", "--out", out, "--device", "cpu")
    model = load_model(out / "model", device="cpu", runtime="torch")
    assert report["fingerprint"] == model.fingerprint
    assert model.name == "plain"
    assert (out / "hash" / "history.csv").read_text().count("\n") == 3
    assert (out / "hash" / "history.png").is_file()
    assert str(data) not in (out / "model" / "model.json").read_text()
    # The same folder goes on: nothing is left to do, and the model is the same.
    again = run("baseline", data / "plain.toml", "--folders", data / "colours", "--out", out, "--device", "cpu")
    assert again["fingerprint"] == report["fingerprint"]


def test_both_phases_and_the_score(data: Path) -> None:
    masks = ["--voc", data, "--classes", data / "classes.txt", "--split", "train"]
    first = run("segmentation", data / "psp.toml", *masks, "--held-out-split", "train", "--out", data / "seg")
    assert first["classes"] == ["background", *tiny_training.CLASSES]
    scored = run("score", data / "psp.toml", data / "seg", *masks, "--picture", data / "sheet.png")
    assert 0 <= scored["figures"]["mean_iou"] <= 1  # type: ignore[index]
    assert (data / "sheet.png").is_file()
    pictures = ["--folders", data / "colours", "--out", data / "psp", "--name", "seeing", "--half"]
    rehearse = ["--segmentation-weight", 0.5, *masks]
    run("hash", data / "psp.toml", "--segmentation", data / "seg", *pictures, *rehearse, "--device", "cpu")
    model = load_model(data / "psp" / "model", device="cpu")
    assert (model.name, model.concepts) == ("seeing", tiny_training.CLASSES)
    uses = [entry["use"] for entry in model.manifest.data]
    assert uses == ["trunk weights", "segmentation phase, 8 pictures with masks", "hash phase, 48 pictures with labels"]
    analysis = model.analyse([np.zeros((40, 60, 3), np.uint8)])
    assert analysis.areas is not None
    assert analysis.areas.shape == (1, 3)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["baseline", "baseline-2015", "--out", "x"], "give one of"),
        (["baseline", "paper-2018", "--out", "x", "--folders", "."], "hashreel train hash"),
        (["segmentation", "paper-2018", "--out", "x"], "--voc"),
    ],
)
def test_missing_or_unfit_options_are_usage_errors(args: list[str], says: str) -> None:
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 2
    assert says in result.stderr


def test_size_and_event_files(data: Path) -> None:
    out = data / "runs" / "large"
    options = ["--folders", data / "colours", "--out", out, "--device", "cpu", "--size", 48, "--tensorboard"]
    run("baseline", data / "plain.toml", *options)
    assert load_model(out / "model", device="cpu", runtime="torch").transform.size == 48
    (file,) = (out / "tensorboard").iterdir()
    content = file.read_bytes()
    assert b"hash/loss" in content
    assert b"hash/precision_at_50" in content


def test_masks_of_other_classes_are_not_rehearsed(data: Path) -> None:
    masks = ["--voc", data, "--split", "train"]
    run("segmentation", data / "psp.toml", *masks, "--classes", data / "classes.txt", "--out", data / "seg")
    pictures = ["--folders", data / "colours", "--out", data / "psp", "--segmentation", data / "seg"]
    args = ["hash", data / "psp.toml", *pictures, *masks, "--segmentation-weight", 1]
    result = CliRunner().invoke(cli, [*map(str, args)])
    assert result.exit_code == 2
    assert "tvmonitor" in result.stderr


def test_recipes_are_listed() -> None:
    names = [row["name"] for row in run("recipes")["recipes"]]  # type: ignore[attr-defined]
    assert "paper-2018" in names
    assert "paper-2018: The paper" in CliRunner().invoke(cli, ["recipes"]).stdout
