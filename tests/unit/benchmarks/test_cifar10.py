"""The score of whole models on CIFAR-10, on a small pack of pictures of one colour a class."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import cifar10

CLASSES = ("red", "green", "blue")


def write_pack(folder: Path, split: str, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    files = []
    for number in range(count):
        pixels = rng.integers(0, 90, (32, 32, 3), dtype=np.uint8)
        pixels[..., number % 3] += 160
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    np.savez(
        folder / f"cifar10_{split}.npz",
        jpeg=np.frombuffer(b"".join(files), np.uint8),
        offsets=np.cumsum([0, *map(len, files)]),
        labels=np.arange(count) % 3,
        classes=np.array(CLASSES),
    )


def test_models_are_scored_and_the_gate_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pack(tmp_path, "train", 30, seed=0)
    write_pack(tmp_path, "test", 6, seed=1)
    codes = []
    for gate in ("0.5", "1.01"):
        argv = ["cifar10", "--cifar10", str(tmp_path), "--gate", gate, "--threads", "1", "default"]
        monkeypatch.setattr("sys.argv", argv)
        codes.append(cifar10.main())
    assert codes == [0, 1]
    figures = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (figures["model"], figures["gallery"], figures["queries"]) == ("itq48-lite0", 30, 6)
    assert 0.5 <= figures["map1000_minkr"] <= figures["map1000_hits"] <= 1
    assert figures["precision1000"] == pytest.approx(10 / 1000)  # ten of a class among a thousand places
