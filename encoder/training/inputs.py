"""Stored inputs of both phases: which frozen layers run, on which pictures, under which key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.data.pairs import centre_pair
from encoder.data.sets import MaskSet, PictureSet
from encoder.fingerprints import canonical_json, digest_tensors
from encoder.frozen import FrozenRunner
from encoder.networks import HashNetwork
from encoder.training.cache import stored_features
from encoder.training.hashing import StoredInputs
from encoder.training.recipes import Freeze
from encoder.training.segmentation import StoredMaps
from encoder.transforms import Transform
from encoder.trunks import Trunk

__all__ = ["picture_digest", "store_inputs", "store_maps"]

Report = Callable[[str, int, int], None]
SAMPLES = 16


def store_maps(
    folder: Path, trunk: Trunk, data: MaskSet, size: int, report: Report, *, batch_size: int = 8
) -> StoredMaps:
    """Return the trunk's maps of all centre crops of ``data``, and the masks, from ``folder`` or computed."""
    key = _key(trunk, {"size": size, "data": mask_digest(data)})

    runner = _Lazy(lambda: FrozenRunner(trunk, trunk, size, batch_size))

    def compute(numbers: range) -> NDArray[np.float32]:
        return runner.get().run(np.stack([centre_pair(*data.read(i), size)[0] for i in numbers]))

    def tell(done: int, count: int) -> None:
        report(f"maps of {data.name}", done, count)

    maps = stored_features(folder / f"maps-{key[:16]}.npy", key, len(data), compute, tell)
    masks = np.stack([centre_pair(*data.read(i), size)[1] for i in range(len(data))])
    return StoredMaps(maps, masks)


def store_inputs(
    folder: Path,
    network: HashNetwork,
    data: PictureSet,
    transform: Transform,
    freeze: Freeze,
    report: Report,
    *,
    flip: bool,
    batch_size: int = 8,
) -> StoredInputs:
    """Return what the frozen layers give for ``data``, flipped pictures too if asked, from ``folder`` or computed.

    Args:
        folder: for the files.
        network: in the state that stays frozen.
        data: pictures.
        transform: of the model.
        freeze: "trunk" stores maps, "features" the head's inputs.
        report: called with (what, rows done, rows).
        flip: whether to store the flipped pictures too.
        batch_size: pictures a pass.
    """
    stem = _FrozenPart(network, whole=freeze == "features")
    runner = _Lazy(lambda: FrozenRunner(stem, network.trunk, transform.size, batch_size))
    views = []
    for turned in (False, True)[: 1 + flip]:
        key = _key(stem, {"transform": transform.to_json(), "data": picture_digest(data), "turned": turned})
        compute = _computer(runner, data, transform, turned)
        tell = partial(report, f"{data.name}, flipped" if turned else data.name)
        views.append(stored_features(folder / f"{freeze}-{key[:16]}.npy", key, len(data), compute, tell))
    return StoredInputs(tuple(views))


def picture_digest(data: PictureSet) -> str:
    """Return a digest of a picture set: name, classes, all targets, and a sample of pictures."""
    digest = hashlib.sha256(canonical_json([data.name, len(data), list(data.classes)]))
    digest.update(np.ascontiguousarray(data.targets).tobytes())
    for number in _sample(len(data)):
        digest.update(np.ascontiguousarray(data.read(number)).tobytes())
    return digest.hexdigest()


def mask_digest(data: MaskSet) -> str:
    """Return a digest of a mask set: name, classes, and a sample of pictures and masks."""
    digest = hashlib.sha256(canonical_json([data.name, len(data), list(data.classes)]))
    for number in _sample(len(data)):
        for array in data.read(number):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class _FrozenPart(nn.Module):
    """The part of a network before the head (``whole``), or its trunk alone."""

    def __init__(self, network: HashNetwork, *, whole: bool) -> None:
        super().__init__()
        kept = {name for name, _ in network.named_children() if name != "head"} if whole else {"trunk"}
        self.parts = nn.ModuleDict({name: module for name, module in network.named_children() if name in kept})
        self._input = [network.head_input] if whole else []  # in a list: not registered as a module

    def forward(self, x: Tensor) -> Tensor:
        feature_map: Tensor = self.parts["trunk"](x)
        return self._input[0](feature_map) if self._input else feature_map


def _computer(
    runner: _Lazy, data: PictureSet, transform: Transform, turned: bool
) -> Callable[[range], NDArray[np.float32]]:
    def compute(numbers: range) -> NDArray[np.float32]:
        crops = [transform.apply(data.read(i))[0] for i in numbers]
        return runner.get().run(np.stack([crop[:, ::-1] if turned else crop for crop in crops]))

    return compute


class _Lazy:
    """A runner that is made at its first use: where everything is stored already, none is."""

    def __init__(self, make: Callable[[], FrozenRunner]) -> None:
        self.make = make
        self.made: FrozenRunner | None = None

    def get(self) -> FrozenRunner:
        """Return the runner."""
        if self.made is None:
            self.made = self.make()
        return self.made


def _key(stem: nn.Module, facts: dict[str, object]) -> str:
    return hashlib.sha256(canonical_json({"weights": digest_tensors(stem.state_dict()), **facts})).hexdigest()


def _sample(count: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, count - 1, SAMPLES)})
