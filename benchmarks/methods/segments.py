"""The paper's own features: what a segmentation module, trained on masks, makes of the frozen trunk's maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.methods.features import BATCH, FeatureSet, feature_sets
from benchmarks.methods.protocol import Protocol
from encoder.data.masks import read_voc_masks
from encoder.data.pairs import centre_pair
from encoder.data.sets import IGNORE, MaskSet
from encoder.networks import HashNetwork
from encoder.networks.segmentation import SegmentationNetwork
from encoder.training.build import build_hash_network, build_segmentation_network
from encoder.training.loop import LAST, RunOptions, run_phase
from encoder.training.recipes import NetworkSettings, SegmentationSettings
from encoder.training.segmentation import SegmentationPhase, StoredMaps
from encoder.transforms import Transform

__all__ = ["segment_sets", "stack_width"]

OUTPUT_STRIDE = 8
FUSE_CHANNELS = 256
MASK_RATE = 0.02
MASK_BATCH = 32


def segment_sets(data: Path, masks: Path, work: Path, protocol: Protocol) -> tuple[FeatureSet, FeatureSet]:
    """Return gallery and queries as the PSP stack's means, followed by the pooled features of the same trunk.

    The PSP module is trained first, on the masks, with the trunk frozen.

    Args:
        data: folder of the CIFAR-10 pack.
        masks: folder in the VOC layout, with a ``classes.txt`` of lines "mask value, class name".
        work: folder for results.
        protocol: names trunk, size and numbers.
    """
    folder = work / f"psp-{protocol.digest()}"
    network = _network_with_masks(masks, folder / "segmentation", protocol)
    transform = Transform("centre", protocol.size)

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        with torch.inference_mode():
            return np.concatenate([_head_inputs(network, transform, part) for part in parts])

    return feature_sets(data, folder, protocol, compute)


def stack_width(protocol: Protocol) -> int:
    """Return how many of the features are the PSP stack's; the rest are the trunk's pooled ones."""
    from encoder.trunks import create_trunk

    return 2 * create_trunk(protocol.trunk, pretrained=False).channels


def _settings(protocol: Protocol) -> NetworkSettings:
    return NetworkSettings(
        kind="psp",
        trunk=protocol.trunk,
        size=protocol.size,
        input="gap",
        hidden=(protocol.hidden,),
        output_stride=OUTPUT_STRIDE,
        fuse_channels=FUSE_CHANNELS,
        with_trunk=True,
    )


def _network_with_masks(masks: Path, folder: Path, protocol: Protocol) -> HashNetwork:
    classes = _class_names(masks / "classes.txt")
    trained, held_out = (read_voc_masks(masks, split, classes=classes) for split in ("train", "val"))
    segmentation = build_segmentation_network(_settings(protocol), len(classes), seed=0)
    settings = SegmentationSettings(
        epochs=protocol.mask_epochs,
        batch=MASK_BATCH,
        rate=MASK_RATE,
        drop_epoch=protocol.mask_epochs * 2 // 3,
        freeze="trunk",
    )
    is_done = (folder / LAST).exists()
    phase = SegmentationPhase(
        segmentation,
        trained,
        protocol.size,
        settings,
        seed=0,
        stored=_stored_maps(segmentation, trained, protocol.size),
        held_out=held_out,
        held_out_stored=_stored_maps(segmentation, held_out, protocol.size),
    )
    progress = run_phase(phase, settings, RunOptions(folder, seed=0, run=protocol.digest()))
    if not is_done:
        print(f"segmentation on {trained.name}: {progress.history[-1]}", flush=True)
    network = build_hash_network(_settings(protocol), classes=2, mask_classes=len(classes), seed=0)
    for part in ("psp", "segmentation"):
        network.get_submodule(part).load_state_dict(segmentation.get_submodule(part).state_dict())
    return network.eval()


def _class_names(file: Path) -> list[str]:
    rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [name for value, name in sorted((int(value), name) for value, name in rows) if value != IGNORE]


def _stored_maps(network: SegmentationNetwork, data: MaskSet, size: int) -> StoredMaps:
    network.eval()
    maps, masks = [], []
    for number in range(len(data)):
        image, mask = centre_pair(*data.read(number), size)
        pixels = torch.from_numpy(image[None])
        with torch.inference_mode():
            maps.append(network.trunk(network.trunk.normalise(pixels)).half().numpy())
        masks.append(mask)
    return StoredMaps(np.concatenate(maps), np.stack(masks))


def _head_inputs(network: HashNetwork, transform: Transform, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    pixels = torch.from_numpy(np.stack([transform.apply(image)[0] for image in images]))
    feature_map = network.trunk(network.trunk.normalise(pixels))
    inputs: NDArray[np.float32] = network.head_input(feature_map).numpy()
    return inputs
