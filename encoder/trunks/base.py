"""What every trunk is: a feature map, pooled features, and the normalisation its weights were trained with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Trunk", "WeightsSource"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class WeightsSource:
    """Where a trunk's weights come from: a name, a licence, and the digest of its tensors."""

    name: str
    licence: str
    sha256: str


class Trunk(nn.Module, ABC):
    """A network from normalised pictures to a feature map.

    Attributes:
        name: the canonical name that :func:`create_trunk` accepts.
        channels: C, channels of the map.
        stride: pixels a map cell; a map of an s × s picture is ceil(s / stride) on each side.
        pooled_channels: P, channels of the final map and width of the pooled features.
        mean, std: three floats each on the 0 to 1 scale; they belong to the weights.
        weights_source: origin of the weights.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __init__(
        self,
        name: str,
        *,
        channels: int,
        stride: int,
        pooled_channels: int,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.name = name
        self.channels = channels
        self.stride = stride
        self.pooled_channels = pooled_channels
        self.mean = mean
        self.std = std
        self.weights_source = WeightsSource("random", "none", "")

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map, float32 [n, C, h, w], of normalised pictures, float32 [n, 3, s, s]."""

    def final_map(self, feature_map: Tensor) -> Tensor:
        """Return the last map before the classifier, float32 [n, P, h', w'], of a feature map [n, C, h, w]."""
        return feature_map

    def pool(self, feature_map: Tensor) -> Tensor:
        """Return pooled features, float32 [n, P], of a feature map [n, C, h, w]: the mean of the final map."""
        return self.final_map(feature_map).mean(dim=(2, 3))

    def pooled(self, x: Tensor) -> Tensor:
        """Return pooled features, float32 [n, P], of normalised pictures, float32 [n, 3, s, s]."""
        return self.pool(self(x))

    def expected_features(self) -> Tensor | None:
        """Return the mean of the pooled features over the pictures that the trunk was trained on, float32 [P].

        None where the trunk does not tell.
        """
        return None

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return network inputs, float32 [n, 3, s, s], of RGB pixels, uint8 [n, s, s, 3]: (x / 255 − mean) / std."""
        x = pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        mean = torch.tensor(self.mean, device=x.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(1, 3, 1, 1)
        return x.sub_(mean).div_(std)
