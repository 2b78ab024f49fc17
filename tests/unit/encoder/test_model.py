import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import encoder
from encoder.codes import unpack_codes
from encoder.fitting import fit_hasher, hasher_manifest
from encoder.hashers import create_hasher
from encoder.model import Model, load_model, save_model
from encoder.model_card import model_card
from encoder.model_files import DEFAULT_MODEL, read_manifest, resolve_model, shipped_models
from encoder.transforms import Transform
from encoder.trunks import create_trunk
from hashreel.errors import BadInputError, MissingExtraError, ModelFileError, NotFoundError, UnavailableError

Image = NDArray[np.uint8]


def pictures(count: int, seed: int = 0) -> list[Image]:
    """Return pictures of random coarse blocks in random sizes."""
    rng = np.random.default_rng(seed)
    return [
        np.kron(rng.integers(0, 256, (*rng.integers(3, 9, 2), 3)), np.ones((16, 16, 1))).astype(np.uint8)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fitted model: 16 bits at 64 pixels."""
    path = tmp_path_factory.mktemp("model")
    trunk, transform, hasher = create_trunk("efficientnet-lite0"), Transform("centre", 64), create_hasher("itq", 16)
    network = fit_hasher(hasher, trunk, transform, pictures(40, seed=1))
    data = [{"name": "blocks", "use": "40 generated pictures", "licence": "CC0-1.0"}]
    manifest = hasher_manifest("small", hasher, trunk, transform, data=data, training={"seed": 0})
    save_model(path, manifest, network, model_card(manifest))
    return path


@pytest.fixture(scope="module", params=["torch", "onnx"])
def model(directory: Path, request: pytest.FixtureRequest) -> Model:
    return load_model(directory, device="cpu", threads=1, runtime=request.param)


@pytest.fixture(scope="module")
def torch_model(directory: Path) -> Model:
    return load_model(directory, device="cpu", threads=1, runtime="torch")


def test_a_model_says_what_it_is(model: Model) -> None:
    assert (model.name, model.bits, model.concepts, model.transform.size) == ("small", 16, (), 64)
    assert len(bytes.fromhex(model.fingerprint)) == 32


def test_codes_are_the_outputs_cut_at_one_half(model: Model) -> None:
    images = pictures(5)
    outputs = model.outputs(images)
    assert outputs.shape == (5, 16)
    assert outputs.dtype == np.float32
    assert 0 <= outputs.min() <= outputs.max() <= 1
    np.testing.assert_array_equal(unpack_codes(model.encode(images), 16), outputs >= 0.5)


def test_a_code_does_not_depend_on_its_neighbours(model: Model) -> None:
    """Byte for byte, for the real-valued outputs even: alone, at every place of a batch, across batches."""
    images = pictures(model.runtime.batch_size + 3)
    together = model.outputs(images)
    alone = np.concatenate([model.outputs([image]) for image in images])
    assert together.tobytes() == alone.tobytes()
    for shift in range(1, len(images)):
        rolled = model.outputs(images[shift:] + images[:shift])
        assert np.roll(rolled, shift, axis=0).tobytes() == together.tobytes()


def test_the_network_computes_what_the_hasher_computes(model: Model) -> None:
    trunk, transform, hasher = create_trunk("efficientnet-lite0"), Transform("centre", 64), create_hasher("itq", 16)
    fit_hasher(hasher, trunk, transform, pictures(40, seed=1))
    images = pictures(6)
    pixels = torch.from_numpy(np.concatenate([transform.apply(image) for image in images]))
    with torch.inference_mode():
        projections = hasher.project(trunk.pooled(trunk.normalise(pixels)).numpy())
    np.testing.assert_allclose(model.outputs(images), 1 / (1 + np.exp(-2 * projections)), atol=1e-4)


def test_runtimes_agree(directory: Path) -> None:
    one, other = (load_model(directory, device="cpu", runtime=kind) for kind in ("torch", "onnx"))
    assert one.fingerprint == other.fingerprint
    images = pictures(40)
    np.testing.assert_allclose(one.outputs(images), other.outputs(images), atol=1e-5)
    different = unpack_codes(one.encode(images), 16) != unpack_codes(other.encode(images), 16)
    assert different.mean() <= 1e-4


def test_onnx_codes_do_not_depend_on_threads(directory: Path) -> None:
    images = pictures(10)
    outputs = [load_model(directory, device="cpu", runtime="onnx", threads=n).outputs(images) for n in (1, 2)]
    assert outputs[0].tobytes() == outputs[1].tobytes()


def test_runtimes_are_checked(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match="runtime"):
        load_model(directory, runtime="fast")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="onnxruntime"):
        load_model(directory, device="cpu", runtime="onnx")


def test_crops_have_a_code_each(model: Model) -> None:
    images = pictures(3)
    np.testing.assert_array_equal(model.encode_crops(images), model.encode(images)[:, None])


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([], "no picture"),
        ([np.zeros((4, 4, 3), np.float32)], "picture 0 is float32"),
        ([np.full((4, 4, 3), np.nan)], "float64"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)], r"picture 1 has shape \(4, 4\)"),
        ([np.zeros((4, 4, 4), np.uint8)], "shape"),
        ([np.zeros((0, 4, 3), np.uint8)], "shape"),
        ([[1, 2, 3]], "list"),
    ],
)
def test_what_is_no_picture_is_refused(model: Model, images: list[Image], says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        model.encode(images)


def test_outputs_that_are_not_numbers_are_refused(directory: Path) -> None:
    broken = load_model(directory, device="cpu", runtime="torch")
    with torch.no_grad():
        broken.runtime.network.get_buffer("head.weight").fill_(float("nan"))
    with pytest.raises(BadInputError, match="NaN"):
        broken.encode(pictures(1))


def _copy(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "copy"))


def test_a_changed_weight_is_noticed(directory: Path, tmp_path: Path) -> None:
    copy = _copy(directory, tmp_path)
    tensors = load_file(copy / "weights.safetensors")
    tensors["head.weight"][0, 0] += 1e-3
    save_file(tensors, copy / "weights.safetensors")
    with pytest.raises(ModelFileError, match="fingerprint"):
        load_model(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"transform": {"kind": "letterbox", "size": 64}},
        {"concepts": ["person"]},
        {"architecture": {"kind": "linear", "normalise": False}},
    ],
)
def test_changed_settings_are_noticed(directory: Path, tmp_path: Path, change: dict[str, object]) -> None:
    copy = _copy(directory, tmp_path)
    manifest = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(manifest | change))
    with pytest.raises(ModelFileError, match="fingerprint"):
        load_model(copy)


def test_a_new_name_is_no_new_model(directory: Path, tmp_path: Path) -> None:
    copy = _copy(directory, tmp_path)
    manifest = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(manifest | {"name": "other"}))
    assert load_model(copy, runtime="torch").fingerprint == load_model(directory, runtime="torch").fingerprint


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("model.json", b"{", "not a model manifest"),
        ("model.json", b'{"format": 99}', "format version 99"),
        ("model.json", b'{"format": 1, "concepts": [], "data": []}', "not a complete"),
        ("weights.safetensors", b"torn", "cannot be read"),
    ],
)
def test_damaged_files_are_refused(directory: Path, tmp_path: Path, file: str, content: bytes, says: str) -> None:
    copy = _copy(directory, tmp_path)
    (copy / file).write_bytes(content)
    with pytest.raises(ModelFileError, match=says):
        load_model(copy)


def test_weights_with_other_names_or_shapes_are_refused(directory: Path, tmp_path: Path) -> None:
    copy = _copy(directory, tmp_path)
    tensors = load_file(copy / "weights.safetensors")
    save_file({**tensors, "extra": torch.zeros(1)}, copy / "weights.safetensors")
    with pytest.raises(ModelFileError, match="extra"):
        load_model(copy)
    save_file({**tensors, "head.mean": torch.zeros(3)}, copy / "weights.safetensors")
    with pytest.raises(ModelFileError, match=r"head\.mean"):
        load_model(copy)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="default"):
        load_model(tmp_path)


def test_devices_and_sizes_are_checked(directory: Path) -> None:
    with pytest.raises(BadInputError, match="batch_size"):
        load_model(directory, batch_size=0)
    with pytest.raises(BadInputError, match="threads"):
        load_model(directory, threads=0)
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableError, match="cuda"):
            load_model(directory, device="cuda")


def test_threads_are_set_for_the_pass_only(directory: Path) -> None:
    before = torch.get_num_threads()
    load_model(directory, device="cpu", threads=before + 1, runtime="torch").encode(pictures(1))
    assert torch.get_num_threads() == before


def test_the_trunk_goes_into_the_file_when_it_was_trained(torch_model: Model, tmp_path: Path) -> None:
    manifest = torch_model.manifest
    changed = type(manifest)(**{**manifest.__dict__, "trunk": {**manifest.trunk, "weights": "file"}})
    save_model(tmp_path, changed, torch_model.runtime.network, "card")
    loaded = load_model(tmp_path, device="cpu", runtime="torch")
    assert loaded.fingerprint == torch_model.fingerprint  # the same tensors, wherever they lie
    np.testing.assert_array_equal(loaded.encode(pictures(3)), torch_model.encode(pictures(3)))


def test_a_file_in_half_precision_is_half_as_large_and_loads_as_what_was_saved(directory: Path, tmp_path: Path) -> None:
    fresh = load_model(directory, device="cpu", runtime="torch")
    network = fresh.runtime.network
    manifest = save_model(tmp_path, fresh.manifest, network, "card", half=True)
    loaded = load_model(tmp_path, device="cpu", runtime="torch")
    assert loaded.fingerprint == manifest.fingerprint != fresh.manifest.fingerprint
    assert loaded.outputs(pictures(3)).tobytes() == fresh.outputs(pictures(3)).tobytes()
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (tmp_path, directory)]
    assert sizes[0] < 0.6 * sizes[1]


def test_the_default_model_ships_and_loads() -> None:
    assert DEFAULT_MODEL in shipped_models()
    default = encoder.load_model()
    assert default.bits == 48
    assert resolve_model("default") == resolve_model(DEFAULT_MODEL)
    assert default.encode(pictures(2)).shape == (2, 6)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_are_small_documented_and_licensed(name: str) -> None:
    directory = resolve_model(name)
    manifest = read_manifest(directory)
    assert sum(file.stat().st_size for file in directory.iterdir()) < 10_000_000
    assert manifest.licence
    assert all(entry["licence"] for entry in manifest.data)
    assert manifest.name in (directory / "README.md").read_text()
