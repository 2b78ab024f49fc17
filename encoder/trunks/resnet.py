"""ResNet-18 and ResNet-50 of torchvision as trunks."""

from __future__ import annotations

from torch import Tensor, nn

from encoder.fingerprints import digest_tensors
from encoder.trunks.base import Trunk, WeightsSource
from hashreel.errors import BadInputError, UnavailableError

__all__ = ["ResNetTrunk"]

DEPTHS = {18: 512, 50: 2048}


class ResNetTrunk(Trunk):
    """ResNet up to its last block: 512 channels (18 layers) or 2048 (50), 7 × 7 cells at 224 pixels.

    At output stride 16 or 8 the last stages of ResNet-50 are dilated instead of strided; torchvision's
    ResNet-18 cannot be dilated.
    """

    def __init__(self, depth: int, *, pretrained: bool, output_stride: int = 32) -> None:
        from torchvision import models

        if depth == 18 and output_stride != 32:
            raise BadInputError(
                f"resnet18 cannot have output stride {output_stride}; accepted: 32, or use timm:resnet18"
            )
        channels = DEPTHS[depth]
        super().__init__(f"resnet{depth}", channels=channels, stride=output_stride, pooled_channels=channels)
        dilate = [False, output_stride <= 8, output_stride <= 16]
        net = getattr(models, f"resnet{depth}")(replace_stride_with_dilation=dilate)
        if pretrained:
            state = _fetch(models, depth)
            net.load_state_dict(state)
            source = f"torchvision ResNet{depth}_Weights.IMAGENET1K_V1"
            self.weights_source = WeightsSource(source, "BSD-3-Clause", digest_tensors(state))
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.Sequential(net.layer1, net.layer2, net.layer3, net.layer4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last block's output, float32 [n, C, s / stride, s / stride]."""
        feature_map: Tensor = self.stages(self.stem(x))
        return feature_map


def _fetch(models: object, depth: int) -> dict[str, Tensor]:
    weights = getattr(models, f"ResNet{depth}_Weights").IMAGENET1K_V1
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as exc:
        raise UnavailableError(f"the weights of ResNet-{depth} cannot be fetched: {exc}") from exc
    return state
