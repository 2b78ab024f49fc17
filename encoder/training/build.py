"""Networks from recipes, and how learning rates are shared out over their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from encoder.networks import HashNetwork, create_network
from encoder.networks.hash_head import HashHead
from encoder.networks.segmentation import SegmentationNetwork
from encoder.training.recipes import NetworkSettings
from encoder.trunks import Trunk, create_trunk
from hashreel.errors import BadInputError

__all__ = ["architecture", "build_hash_network", "build_segmentation_network", "build_trunk", "groups", "map_side"]


def map_side(trunk: Trunk, size: int) -> int:
    """Return the cells a side of the trunk's map for size × size pictures."""
    return -(-size // trunk.stride)


def build_trunk(settings: NetworkSettings) -> Trunk:
    """Return the recipe's trunk."""
    return create_trunk(settings.trunk, settings.pretrained, output_stride=settings.output_stride)


def architecture(settings: NetworkSettings, trunk: Trunk, classes: int, mask_classes: int) -> dict[str, Any]:
    """Return the architecture of the recipe's network as a model file carries it."""
    common = {
        "kind": settings.kind,
        "input": settings.input,
        "hidden": list(settings.hidden),
        "classes": classes,
        "dropout": settings.dropout,
        "centre": settings.centre,
        **({"standardise": True} if settings.standardise else {}),
    }
    if settings.kind == "baseline":
        return common
    return {
        **common,
        "side": map_side(trunk, settings.size),
        "fuse_channels": settings.fuse_channels,
        "mask_classes": mask_classes,
        "with_trunk": settings.with_trunk,
    }


def build_segmentation_network(settings: NetworkSettings, mask_classes: int, seed: int) -> SegmentationNetwork:
    """Return the first two parts of the paper's framework, what is not pretrained initialised by ``seed``."""
    torch.manual_seed(seed)
    trunk = build_trunk(settings)
    torch.manual_seed(seed)  # again: a pretrained trunk draws another amount of random numbers
    return SegmentationNetwork(trunk, map_side(trunk, settings.size), mask_classes, settings.fuse_channels)


def build_hash_network(settings: NetworkSettings, classes: int, mask_classes: int, seed: int) -> HashNetwork:
    """Return the recipe's network, what is not pretrained initialised by ``seed``.

    On VGG16, where the head is as wide as fc6 and fc7, it starts from their published weights.
    """
    torch.manual_seed(seed)
    trunk = build_trunk(settings)
    torch.manual_seed(seed)
    network = create_network(architecture(settings, trunk, classes, mask_classes), trunk, settings.bits)
    if settings.pretrained and settings.trunk in ("vgg16", "vgg16c") and settings.hidden == (4096, 4096):
        _start_from_vgg(network)
    return network


def groups(network: nn.Module, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return optimiser groups of the parameters that are trained.

    Args:
        network: parameters with ``requires_grad`` off are left out.
        factors: prefix of parameter names → factor of the learning rate; the longest prefix that fits counts.

    Returns:
        ``{"params", "factor"}`` each, one a factor, in the order of the network's parameters.
    """
    shared: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            fitting = [prefix for prefix in factors if name.startswith(prefix)]
            factor = factors[max(fitting, key=len)] if fitting else 1.0
            shared.setdefault(factor, []).append(parameter)
    if not shared:
        raise BadInputError("every part of the network is frozen; nothing is left to train")
    return [{"params": parameters, "factor": factor} for factor, parameters in shared.items()]


def freeze(modules: Sequence[nn.Module]) -> None:
    """Take modules out of training."""
    for module in modules:
        module.requires_grad_(requires_grad=False)


def _start_from_vgg(network: HashNetwork) -> None:
    from encoder.trunks.vgg import fetch_vgg16_weights

    head = network.get_submodule("head")
    assert isinstance(head, HashHead)  # both trainable kinds have one
    weights = fetch_vgg16_weights()
    for layer, number in ((head.hidden[0], 0), (head.hidden[3], 3)):
        layer.load_state_dict({key: weights[f"classifier.{number}.{key}"] for key in ("weight", "bias")})
