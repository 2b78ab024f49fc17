"""The recipe ``paper-2018`` at full size: VGG16, 224 pixels, 4096-wide layers, both phases, killed and resumed."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from encoder.model import load_model

COMMAND = [sys.executable, "-c", "from hashreel.cli.train import cli; cli()"]
SIZES = ["--batch", "2", "--epochs", "1", "--random-trunk", "--threads", "1", "--device", "cpu"]


def write_kit(root: Path, count: int = 4) -> None:
    kit = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (kit / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        mask = np.kron(rng.integers(0, 21, (4, 5)), np.ones((60, 60))).astype(np.uint8)
        Image.fromarray(np.stack([mask * 12] * 3, axis=2)).save(kit / "JPEGImages" / f"{i}.jpg")
        Image.fromarray(mask).save(kit / "SegmentationClass" / f"{i}.png")
    (kit / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join(map(str, range(count))))


def write_cifar(root: Path, count: int = 4) -> None:
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    blob = np.frombuffer(b"".join(files), np.uint8)
    offsets = np.cumsum([0, *map(len, files)])
    names = [f"class{i}" for i in range(10)]
    np.savez(root / "cifar10_train.npz", jpeg=blob, offsets=offsets, labels=np.arange(count) % 10, classes=names)


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen([*COMMAND, *arguments, *SIZES], env=environment, stdout=subprocess.DEVNULL)


def kill_after_first_checkpoint(arguments: list[str], checkpoint: Path) -> None:
    process = start([*arguments, "--checkpoint-every", "0"])
    while not checkpoint.is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def run(arguments: list[str]) -> None:
    assert start(arguments).wait() == 0


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_both_phases_end_with_the_same_weights_after_a_kill(tmp_path: Path) -> None:
    write_kit(tmp_path)
    write_cifar(tmp_path)
    for phase in ("segmentation", "hash"):
        for way in ("whole", "killed"):
            out = tmp_path / f"{phase}-{way}"
            if phase == "segmentation":
                arguments = ["segmentation", "paper-2018", "--voc", str(tmp_path), "--out", str(out)]
            else:
                arguments = ["hash", "paper-2018", "--segmentation", str(tmp_path / f"segmentation-{way}")]
                arguments += ["--cifar10", str(tmp_path), "--held-out", "0", "--out", str(out)]
            if way == "killed":
                kill_after_first_checkpoint(arguments, out / phase / "last.safetensors")
            run(arguments)
        first, second = (
            load_file(tmp_path / f"{phase}-{way}" / phase / "last.safetensors") for way in ("whole", "killed")
        )
        assert first.keys() == second.keys()
        assert [name for name in first if not first[name].equal(second[name])] == []
    model = load_model(tmp_path / "hash-killed" / "model", device="cpu", runtime="torch")
    assert model.bits == 48
    assert model.concepts[:2] == ("aeroplane", "bicycle")
    assert model.manifest.architecture["hidden"] == [4096, 4096]
    assert model.encode([np.zeros((240, 320, 3), np.uint8)]).shape == (1, 6)
