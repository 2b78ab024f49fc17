"""VGG with 16 layers, configurations D and C, cut where the paper's segmentation module stands."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from encoder.fingerprints import digest_tensors
from encoder.trunks.base import Trunk, WeightsSource
from hashreel.errors import UnavailableError

__all__ = ["CUT", "BlockWidths", "VggNetwork", "VggTrunk", "fetch_vgg16_weights"]

BlockWidths = tuple[int, int, int, int, int]

WIDTHS: BlockWidths = (64, 128, 256, 512, 512)
CONVOLUTIONS = (2, 2, 3, 3, 3)
CUT = 23
"""Layers up to block 4's output before its pooling: 28 × 28 × 512 at 224 pixels."""


class VggNetwork(nn.Module):
    """The whole network: ``features`` and ``classifier`` under torchvision's names and numbers.

    Configuration D has 3 × 3 kernels throughout (138.4 M parameters with 1000 classes); in C the third
    convolution of blocks 3, 4 and 5 is 1 × 1 (133.6 M). Both have 13 convolutions and 3 full layers.

    Args:
        configuration: "D" or "C".
        widths: channels of the five blocks.
        hidden: width of fc6 and fc7.
        classes: width of the last layer.

    Source:
        [0] Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014.
    """

    def __init__(
        self, configuration: str = "D", *, widths: BlockWidths = WIDTHS, hidden: int = 4096, classes: int = 1000
    ) -> None:
        super().__init__()
        self.configuration = configuration
        self.features = nn.Sequential(*_feature_layers(configuration, widths))
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * 49, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores, float32 [n, classes], for normalised pictures [n, 3, 224, 224]."""
        scores: Tensor = self.classifier(self.features(x).flatten(1))
        return scores


class VggTrunk(Trunk):
    """VGG16 up to block 4 (the map); its final map is block 5 pooled, 7 × 7 × 512 at 224 pixels."""

    def __init__(self, configuration: str = "D", *, pretrained: bool) -> None:
        name = "vgg16" if configuration == "D" else "vgg16c"
        super().__init__(name, channels=512, stride=8, pooled_channels=512)
        with torch.device("meta"):  # the full layers are 124 M parameters that a trunk does not keep
            features = VggNetwork(configuration).features
        features = features.to_empty(device="cpu")
        _initialise(features)
        if pretrained:
            state = _feature_state(configuration, fetch_vgg16_weights(), features)
            features.load_state_dict(state)
            how = "" if configuration == "D" else ", taps of nine summed where configuration C has 1 × 1 kernels"
            source = f"torchvision VGG16_Weights.IMAGENET1K_V1{how}"
            self.weights_source = WeightsSource(source, "BSD-3-Clause", digest_tensors(state))
        self.body = features[:CUT]
        self.tail = features[CUT:]

    def forward(self, x: Tensor) -> Tensor:
        """Return block 4's output before pooling, float32 [n, 512, s / 8, s / 8]."""
        feature_map: Tensor = self.body(x)
        return feature_map

    def final_map(self, feature_map: Tensor) -> Tensor:
        """Return block 5's pooled output, float32 [n, 512, s / 32, s / 32]: the input of VGG's fc6."""
        final: Tensor = self.tail(feature_map)
        return final


def fetch_vgg16_weights() -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights of VGG16 (configuration D), from its cache or over the network.

    Raises:
        UnavailableError: If they cannot be fetched.
    """
    from torchvision.models import VGG16_Weights

    try:
        state: dict[str, Tensor] = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except OSError as exc:
        raise UnavailableError(
            f"the weights of VGG16 cannot be fetched: {exc}; fetch them where there is a network and copy the file "
            "into torch's cache (torch.hub.get_dir()/checkpoints)"
        ) from exc
    return state


def _feature_layers(configuration: str, widths: BlockWidths) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for block, (width, count) in enumerate(zip(widths, CONVOLUTIONS, strict=True)):
        for number in range(count):
            kernel = 1 if configuration == "C" and block >= 2 and number == 2 else 3
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return layers


def _initialise(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _feature_state(configuration: str, weights: Mapping[str, Tensor], features: nn.Module) -> dict[str, Tensor]:
    prefix = "features."
    state = {key.removeprefix(prefix): t for key, t in weights.items() if key.startswith(prefix)}
    if configuration == "D":
        return state
    from encoder.trunks.vgg_transfer import sum_taps

    return {key: sum_taps(t) if t.shape != features.state_dict()[key].shape else t for key, t in state.items()}
