"""Names of trunks and how each is made."""

from __future__ import annotations

from collections.abc import Callable

from encoder.trunks.base import Trunk
from encoder.trunks.lite import VERSIONS, LiteTrunk
from encoder.trunks.timm_trunk import TimmTrunk
from hashreel.errors import BadInputError

__all__ = ["create_trunk", "trunk_names"]

OUTPUT_STRIDES = (8, 16, 32)


def _lite(version: int) -> Callable[[bool, int], Trunk]:
    return lambda pretrained, stride: LiteTrunk(version, pretrained=pretrained, output_stride=stride)


_MAKERS: dict[str, Callable[[bool, int], Trunk]] = {f"efficientnet-lite{v}": _lite(v) for v in VERSIONS}


def trunk_names() -> list[str]:
    """Return the trunks known by name; any convolutional network of timm is ``timm:NAME`` besides."""
    return sorted(_MAKERS)


def create_trunk(name: str, pretrained: bool = True, *, output_stride: int | None = None) -> Trunk:
    """Return a trunk in evaluation mode, on the CPU.

    Args:
        name: one of :func:`trunk_names`, or ``timm:NAME`` for any convolutional network of timm.
        pretrained: whether to load ImageNet weights; without, the initialisation is random.
        output_stride: pixels a map cell: 32, 16 or 8, by default what the network was made with.

    Raises:
        BadInputError: If there is no such trunk, or it cannot have that output stride.
        MissingExtraError: If the weights are in a package that is not installed.
        UnavailableError: If the weights would have to be fetched and cannot be.
    """
    if output_stride is not None and output_stride not in OUTPUT_STRIDES:
        raise BadInputError(f"output_stride is {output_stride}; accepted: 8, 16, 32")
    stride = output_stride or 32
    if name.startswith("timm:"):
        return TimmTrunk(name.removeprefix("timm:"), pretrained=pretrained, output_stride=stride).eval()
    if name not in _MAKERS:
        raise BadInputError(f"there is no trunk {name!r}; accepted: {', '.join(trunk_names())}, or timm:NAME")
    return _MAKERS[name](pretrained, stride).eval()
