"""Kinds of networks, by the ``kind`` in a model file's architecture, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from encoder.networks.base import HashNetwork
from encoder.networks.baseline import BaselineHashNetwork, BaselineInput, baseline_width
from encoder.networks.hash_head import HashHead
from encoder.networks.pooled import LinearHead, PooledHashNetwork, SpectralHead
from encoder.networks.psp import PspModule
from encoder.networks.psp_hash import PspHashNetwork, psp_head_width
from encoder.networks.segmentation import SegmentationHead
from encoder.trunks.base import Trunk
from hashreel.errors import BadInputError

__all__ = ["create_network", "network_kinds"]

Architecture = Mapping[str, Any]


def _linear(architecture: Architecture, trunk: Trunk, bits: int) -> HashNetwork:
    head = LinearHead(trunk.pooled_channels, bits)
    return PooledHashNetwork(trunk, bits, head, normalise=bool(architecture["normalise"]))


def _spectral(architecture: Architecture, trunk: Trunk, bits: int) -> HashNetwork:
    head = SpectralHead(trunk.pooled_channels, bits)
    return PooledHashNetwork(trunk, bits, head, normalise=bool(architecture["normalise"]))


def _baseline(architecture: Architecture, trunk: Trunk, bits: int) -> HashNetwork:
    input_kind = architecture["input"]
    if input_kind not in get_args(BaselineInput):
        raise BadInputError(f"head input is {input_kind!r}; accepted: {', '.join(get_args(BaselineInput))}")
    head = _hash_head(architecture, baseline_width(trunk, input_kind), bits)
    return BaselineHashNetwork(trunk, head, bits, input_kind)


def _psp(architecture: Architecture, trunk: Trunk, bits: int) -> HashNetwork:
    side, mask_classes = architecture["side"], architecture["mask_classes"]
    input_kind, with_trunk = architecture["input"], bool(architecture["with_trunk"])
    psp = PspModule(trunk.channels, side, architecture["fuse_channels"])
    segmentation = SegmentationHead(psp.fuse_channels, mask_classes)
    width = psp_head_width(trunk, psp, mask_classes, side, input_kind, with_trunk)
    head = _hash_head(architecture, width, bits)
    return PspHashNetwork(trunk, psp, segmentation, head, bits, input_kind, with_trunk=with_trunk)


def _hash_head(architecture: Architecture, width: int, bits: int) -> HashHead:
    return HashHead(
        width,
        hidden=architecture["hidden"],
        bits=bits,
        classes=architecture["classes"],
        dropout=architecture["dropout"],
        centre=architecture["centre"],
        standardise=bool(architecture.get("standardise", False)),  # models of old do not say
    )


_BUILDERS: dict[str, Callable[[Architecture, Trunk, int], HashNetwork]] = {
    "linear": _linear,
    "spectral": _spectral,
    "baseline": _baseline,
    "psp": _psp,
}


def network_kinds() -> list[str]:
    """Return the kinds that :func:`create_network` accepts."""
    return sorted(_BUILDERS)


def create_network(architecture: Architecture, trunk: Trunk, bits: int) -> HashNetwork:
    """Return the network that ``architecture`` describes, on ``trunk``, its own weights not yet loaded.

    Args:
        architecture: ``{"kind": ..., ...}`` as in a model file; the other keys belong to the kind.
        trunk: the trunk; its channels set the sizes of what stands on it.
        bits: L, code length.

    Raises:
        BadInputError: If the kind is unknown or a key is missing.
    """
    kind = architecture.get("kind")
    if kind not in _BUILDERS:
        raise BadInputError(f"there is no network kind {kind!r}; accepted: {', '.join(network_kinds())}")
    try:
        return _BUILDERS[kind](architecture, trunk, bits)
    except KeyError as exc:
        raise BadInputError(f"the architecture {kind!r} needs the key {exc.args[0]!r}") from exc
