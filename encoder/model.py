"""A model: a network, its transform and its fingerprint, from pictures to packed codes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from encoder.analysis import BACKGROUND, Analysis, concept_areas, predict_masks
from encoder.codes import binarise
from encoder.fingerprints import fingerprint
from encoder.model_files import (
    Manifest,
    read_manifest,
    read_tensors,
    resolve_model,
    write_model_files,
)
from encoder.networks import HashNetwork, create_network
from encoder.onnx_runtime import OnnxRuntime, onnx_is_installed
from encoder.runtime import RawOutput, Runtime, TorchRuntime, pick_device
from encoder.transforms import Transform
from encoder.trunks import create_trunk
from hashreel.errors import BadInputError, ModelFileError

__all__ = ["Model", "load_model", "save_model"]

Image = NDArray[np.uint8]
TRUNK_PREFIX = "trunk."
RuntimeKind = Literal["auto", "torch", "onnx"]


class Model:
    """Turns pictures into codes.

    Attributes:
        name: the model's name.
        bits: L, code length.
        fingerprint: 64 hex digits; codes of models with different fingerprints never meet.
        concepts: names of what the model segments, background left out; () if it does not.
        transform: what is done to a picture before the network.
        manifest: everything else in the model's file.
    """

    def __init__(self, manifest: Manifest, runtime: Runtime) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.bits = manifest.bits
        self.fingerprint = manifest.fingerprint
        self.concepts = tuple(name for name in manifest.concepts if name != BACKGROUND)
        self.transform = Transform.from_json(manifest.transform)
        self.runtime = runtime

    def encode(self, images: Sequence[Image]) -> NDArray[np.uint8]:
        """Return packed codes, uint8 [n, ceil(bits / 8)]; bit j is 1 where outputs[:, j] ≥ 0.5.

        Args:
            images: n ≥ 1 RGB pictures, each uint8 [h, w, 3] of any size.

        Raises:
            BadInputError: If there is no picture, or one has another dtype or shape.

        Example:
            >>> model = load_model("default")                           # doctest: +SKIP
            >>> model.encode([np.zeros((360, 640, 3), np.uint8)]).shape  # doctest: +SKIP
            (1, 6)
        """
        return binarise(self.outputs(images))

    def outputs(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Return the real-valued outputs, float32 [n, bits] in [0, 1]; the mean over crops if there are several.

        Args:
            images: as for :meth:`encode`.

        Raises:
            BadInputError: As :meth:`encode`.
        """
        outputs: NDArray[np.float32] = self._crop_outputs(images).mean(axis=1)
        return outputs

    def encode_crops(self, images: Sequence[Image]) -> NDArray[np.uint8]:
        """Return the code of every crop that the transform makes, uint8 [n, crops, ceil(bits / 8)]."""
        outputs = self._crop_outputs(images)
        n, crops, bits = outputs.shape
        return binarise(outputs.reshape(n * crops, bits)).reshape(n, crops, -1)

    def analyse(self, images: Sequence[Image]) -> Analysis:
        """Return codes, outputs and, of a model that segments, masks and concept areas, in one pass.

        Args:
            images: as for :meth:`encode`.

        Raises:
            BadInputError: As :meth:`encode`.
        """
        return self.read(self._run(images)[0])

    def prepare(self, image: Image) -> NDArray[np.uint8]:
        """Return the network's inputs for one picture, uint8 [crops, s, s, 3]; needs no network.

        Raises:
            BadInputError: As :meth:`encode`.
        """
        return self.transform.apply(_check_images([image])[0])

    def read(self, raw: RawOutput) -> Analysis:
        """Return what a runtime's output for prepared pictures says; needs no network.

        Args:
            raw: of n · crops inputs, a picture's crops one after another.
        """
        crops = self.transform.num_crops
        outputs: NDArray[np.float32] = raw.outputs.reshape(-1, crops, self.bits).mean(axis=1)
        codes = binarise(outputs)
        if raw.mask_scores is None:
            return Analysis(codes, outputs)
        masks = predict_masks(raw.mask_scores, self.transform.size)
        areas = concept_areas(masks, self.manifest.concepts).reshape(-1, crops, len(self.concepts)).mean(axis=1)
        return Analysis(codes, outputs, masks.reshape(-1, crops, *masks.shape[1:]), areas)

    def _crop_outputs(self, images: Sequence[Image]) -> NDArray[np.float32]:
        raw, crops = self._run(images)
        return raw.outputs.reshape(-1, crops, self.bits)

    def _run(self, images: Sequence[Image]) -> tuple[RawOutput, int]:
        crops = [self.transform.apply(image) for image in _check_images(images)]
        return self.runtime.run(np.concatenate(crops)), len(crops[0])


def load_model(
    name_or_path: str | os.PathLike[str] = "default",
    *,
    device: str | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    runtime: RuntimeKind = "auto",
) -> Model:
    """Return a model, after checking that its files are those that were published.

    Args:
        name_or_path: the name of a shipped model, "default", or a model directory.
        device: "cpu", "cuda", ... or None for CUDA where there is one.
        threads: CPU threads of a forward pass; None keeps torch's setting.
        batch_size: pictures a forward pass; by default 1 for onnxruntime, 8 for torch on CPUs, 64 on GPUs.
        runtime: "torch", "onnx" (CPU only), or "auto": onnxruntime on CPUs where it is installed, else torch.
            Both compute in float32 and agree to about 1e-6; byte equality of outputs holds within one of them.

    Raises:
        NotFoundError: If there is no such model.
        ModelFileError: If a file is damaged, or weights and configuration do not give the stored fingerprint.
        MissingExtraError: If the trunk's weights are in a package that is not installed.
    """
    directory = resolve_model(name_or_path)
    manifest = read_manifest(directory)
    network = _build(directory, manifest)
    found = fingerprint(manifest.codes_config(), network.state_dict())
    if found != manifest.fingerprint:
        raise ModelFileError(
            f"the model in {directory} gives fingerprint {found[:16]}…, its manifest says "
            f"{manifest.fingerprint[:16]}…: a file or the trunk's weights were changed; copy the model anew"
        )
    return Model(manifest, _make_runtime(runtime, network, manifest, device, threads, batch_size))


def save_model(
    directory: str | os.PathLike[str], manifest: Manifest, network: HashNetwork, card: str, *, half: bool = False
) -> Manifest:
    """Write a model directory and return its manifest with the fingerprint filled in.

    Args:
        directory: where; made if it does not exist.
        manifest: its ``fingerprint`` is replaced; ``trunk["weights"]`` says whether the trunk goes into the file.
        network: the trained or fitted network.
        card: the model card, Markdown.
        half: whether to store what stands on the trunk as float16; ``network`` is rounded to it in place, so that
            it and the loaded model are the same. Computation stays in float32.
    """
    if half:
        network.load_state_dict(_rounded(network.state_dict()))
    state = network.state_dict()
    complete = replace(manifest, fingerprint=fingerprint(manifest.codes_config(), state))
    if manifest.trunk["weights"] == "package":
        state = {name: tensor for name, tensor in state.items() if not name.startswith(TRUNK_PREFIX)}
    write_model_files(Path(directory), complete, _halved(state) if half else state, card)
    return complete


def _halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return floating point tensors outside the trunk as float16, all else as it is."""
    return {
        name: tensor.half() if tensor.is_floating_point() and not name.startswith(TRUNK_PREFIX) else tensor
        for name, tensor in state.items()
    }


def _rounded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(state[name].dtype) for name, tensor in _halved(state).items()}


def _make_runtime(
    kind: RuntimeKind,
    network: HashNetwork,
    manifest: Manifest,
    device: str | None,
    threads: int | None,
    batch_size: int | None,
) -> Runtime:
    place = pick_device(device)
    if kind not in get_args(RuntimeKind):
        raise BadInputError(f"runtime is {kind!r}; accepted: {', '.join(get_args(RuntimeKind))}")
    if kind == "onnx" and place.type != "cpu":
        raise BadInputError(f"the onnx runtime is for CPUs, not for {place}; use runtime='torch'")
    if kind == "onnx" or (kind == "auto" and place.type == "cpu" and onnx_is_installed()):
        return OnnxRuntime(network, manifest.transform["size"], batch_size=batch_size, threads=threads)
    return TorchRuntime(network, device=str(place), threads=threads, batch_size=batch_size)


def _build(directory: Path, manifest: Manifest) -> HashNetwork:
    packaged = manifest.trunk.get("weights") == "package"
    try:
        trunk = create_trunk(manifest.trunk["name"], pretrained=packaged, output_stride=manifest.trunk["output_stride"])
        network = create_network(manifest.architecture, trunk, manifest.bits)
    except BadInputError as exc:
        raise ModelFileError(f"the model in {directory} cannot be built: {exc}") from exc
    _load_weights(network, read_tensors(directory), packaged, directory)
    return network


def _load_weights(network: HashNetwork, tensors: dict[str, Any], packaged: bool, directory: Path) -> None:
    expected = {name for name in network.state_dict() if not (packaged and name.startswith(TRUNK_PREFIX))}
    if set(tensors) != expected:
        difference = sorted(expected ^ set(tensors))
        raise ModelFileError(f"the weights in {directory} do not fit its manifest; names differ: {difference[:4]}")
    try:
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as exc:
        raise ModelFileError(f"the weights in {directory} do not fit its manifest: {exc}") from exc


def _check_images(images: Sequence[Image]) -> Sequence[Image]:
    if len(images) == 0:
        raise BadInputError("there is no picture to encode; expected at least one uint8 [h, w, 3] array")
    for number, image in enumerate(images):
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
            raise BadInputError(f"picture {number} is {kind}; expected a uint8 array [h, w, 3], RGB, 0 to 255")
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise BadInputError(f"picture {number} has shape {image.shape}; expected [h, w, 3] with h, w ≥ 1")
    return images
