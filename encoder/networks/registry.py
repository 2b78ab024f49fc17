"""Kinds of networks, by the ``kind`` in a model file's architecture, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from encoder.networks.base import HashNetwork
from encoder.networks.pooled import LinearHead, PooledHashNetwork
from encoder.trunks.base import Trunk
from hashreel.errors import BadInputError

__all__ = ["create_network", "network_kinds"]

Architecture = Mapping[str, Any]


def _linear(architecture: Architecture, trunk: Trunk, bits: int) -> HashNetwork:
    head = LinearHead(trunk.pooled_channels, bits)
    return PooledHashNetwork(trunk, bits, head, normalise=bool(architecture["normalise"]))


_BUILDERS: dict[str, Callable[[Architecture, Trunk, int], HashNetwork]] = {"linear": _linear}


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
