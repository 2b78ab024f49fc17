"""What must hold on a CUDA device; skipped without one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import colour_pictures, recipe

from encoder.codes import unpack_codes
from encoder.model import load_model
from encoder.training.train import Environment, train_hash

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((40, 40, 1))).astype(np.uint8) for _ in range(count)]


def test_gpu_codes_equal_cpu_codes_on_nearly_all_bits() -> None:
    images = pictures(100)
    codes = [load_model("default", device=device, runtime="torch").encode(images) for device in ("cpu", "cuda")]
    different = unpack_codes(codes[0], 48) != unpack_codes(codes[1], 48)
    assert different.mean() <= 1e-3


def test_gpu_codes_do_not_depend_on_neighbours() -> None:
    model, images = load_model("default", device="cuda"), pictures(70)
    alone = np.concatenate([model.outputs([image]) for image in images])
    assert model.outputs(images).tobytes() == alone.tobytes()


def test_mixed_precision_in_bf16_moves_few_bits() -> None:
    model, images = load_model("default", device="cuda"), pictures(100)
    pixels = torch.from_numpy(np.concatenate([model.transform.apply(image) for image in images])).cuda()
    network = model.runtime.network
    with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
        mixed = network(network.trunk.normalise(pixels)).outputs.float().cpu().numpy() >= 0.5
    assert (mixed != unpack_codes(model.encode(images), 48)).mean() <= 0.02


def test_training_in_mixed_precision_learns(tmp_path: Path) -> None:
    environment = Environment(tmp_path, device="cuda", precision="bf16", channels_last=True)
    _, progress = train_hash(recipe(epochs=12), colour_pictures(), environment)
    assert progress.history[-1]["loss"] < 0.8 * progress.history[0]["loss"]
