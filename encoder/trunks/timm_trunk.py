"""Any convolutional network of timm as a trunk."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from encoder.fingerprints import digest_tensors
from encoder.trunks.base import Trunk, WeightsSource
from hashreel.errors import BadInputError, UnavailableError

__all__ = ["TimmTrunk"]

PROBE_SIDE = 64


class TimmTrunk(Trunk):
    """``timm.create_model(name)`` without its classifier; the map is ``forward_features``.

    Raises:
        BadInputError: If timm has no such network, it refuses the output stride, or its features are not a
            map [n, C, h, w] (as with plain transformers).
        UnavailableError: If the pretrained weights cannot be fetched.
    """

    def __init__(self, name: str, *, pretrained: bool, output_stride: int = 32) -> None:
        net = _create(name, pretrained, output_stride)
        config = net.pretrained_cfg
        side = config["input_size"][1] if config.get("fixed_input_size") else PROBE_SIDE
        with torch.inference_mode():
            probe = net.eval().forward_features(torch.zeros(1, 3, side, side))
        if probe.ndim != 4 or probe.shape[1] != net.num_features:
            raise BadInputError(
                f"timm's {name} gives features of shape {tuple(probe.shape)}; a trunk needs a map [n, C, h, w]"
            )
        super().__init__(
            f"timm:{name}",
            channels=probe.shape[1],
            stride=side // probe.shape[2],
            pooled_channels=probe.shape[1],
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )
        if pretrained:
            source = f"timm {config.get('hf_hub_id') or config.get('url') or name}"
            licence = config.get("license") or "unknown"
            self.weights_source = WeightsSource(source, licence, digest_tensors(net.state_dict()))
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Return the last feature map, float32 [n, C, h, w]."""
        feature_map: Tensor = self.net.forward_features(x)
        return feature_map


def _create(name: str, pretrained: bool, output_stride: int) -> Any:
    import timm

    if not timm.is_model(name):
        raise BadInputError(f"timm has no network {name!r}; timm.list_models('*word*') searches its names")
    options: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (TypeError, NotImplementedError, AssertionError) as exc:
        raise BadInputError(f"timm's {name} refuses output stride {output_stride}: {exc}") from exc
    except (OSError, RuntimeError) as exc:
        raise UnavailableError(f"the pretrained weights of timm's {name} cannot be fetched: {exc}") from exc
