"""Names of trunks and how each is made."""

from __future__ import annotations

from collections.abc import Callable

from encoder.trunks.base import Trunk
from encoder.trunks.lite import VERSIONS, LiteTrunk
from encoder.trunks.lite_stages import StagedLiteTrunk
from encoder.trunks.resnet import DEPTHS, ResNetTrunk
from encoder.trunks.timm_trunk import TimmTrunk
from encoder.trunks.vgg import VggTrunk
from hashreel.errors import BadInputError

__all__ = ["create_trunk", "trunk_names"]

OUTPUT_STRIDES = (8, 16, 32)

# name -> maker(pretrained, output stride or None for the network's own)
_Maker = Callable[[bool, int | None], Trunk]


def _lite(version: int) -> _Maker:
    return lambda pretrained, stride: LiteTrunk(version, pretrained=pretrained, output_stride=stride or 32)


def _stages(version: int) -> _Maker:
    return lambda pretrained, stride: StagedLiteTrunk(version, pretrained=pretrained, output_stride=stride or 32)


def _multi(version: int) -> _Maker:
    def make(pretrained: bool, stride: int | None) -> Trunk:
        if stride not in (None, 8):
            raise BadInputError(f"a multi-stage map has stride 8; {stride} is not possible")
        return LiteTrunk(version, pretrained=pretrained, output_stride=8, multi=True)

    return make


def _resnet(depth: int) -> _Maker:
    return lambda pretrained, stride: ResNetTrunk(depth, pretrained=pretrained, output_stride=stride or 32)


def _vgg(configuration: str) -> _Maker:
    def make(pretrained: bool, stride: int | None) -> Trunk:
        if stride not in (None, 8):
            raise BadInputError(f"VGG16's map has stride 8; {stride} is not possible")
        return VggTrunk(configuration, pretrained=pretrained)

    return make


_MAKERS: dict[str, _Maker] = {f"efficientnet-lite{version}": _lite(version) for version in VERSIONS}
_MAKERS |= {f"efficientnet-lite{version}-multi": _multi(version) for version in VERSIONS}
_MAKERS |= {f"efficientnet-lite{version}-stages": _stages(version) for version in VERSIONS}
_MAKERS |= {f"resnet{depth}": _resnet(depth) for depth in DEPTHS}
_MAKERS |= {"vgg16": _vgg("D"), "vgg16c": _vgg("C")}


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
    if name.startswith("timm:"):
        bare = name.removeprefix("timm:")
        return TimmTrunk(bare, pretrained=pretrained, output_stride=output_stride or 32).eval()
    if name not in _MAKERS:
        raise BadInputError(f"there is no trunk {name!r}; accepted: {', '.join(trunk_names())}, or timm:NAME")
    return _MAKERS[name](pretrained, output_stride).eval()
