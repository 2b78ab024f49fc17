"""Frozen layers on pictures: through onnxruntime on CPUs where it is installed, else through torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from encoder.onnx_runtime import OnnxFeatures, onnx_is_installed
from encoder.runtime import padded
from encoder.trunks.base import Trunk

__all__ = ["FrozenRunner"]


class FrozenRunner:
    """Runs layers that are not trained, always in the same batch shape.

    Args:
        layers: normalised pictures, float32 [n, 3, s, s] → float32 [n, ...]; set to evaluation mode.
        trunk: whose normalisation comes first; its device is where the layers run.
        size: s.
        batch_size: pictures a pass.
    """

    def __init__(self, layers: nn.Module, trunk: Trunk, size: int, batch_size: int) -> None:
        self.layers = layers.eval()
        self.trunk = trunk
        self.batch_size = batch_size
        self.device = next(trunk.parameters()).device
        self.onnx: OnnxFeatures | None = None
        if self.device.type == "cpu" and onnx_is_installed():
            threads = torch.get_num_threads()
            self.onnx = OnnxFeatures(layers, trunk, size, batch_size=batch_size, threads=threads)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the layers give, float32 [n, ...], for RGB pixels, uint8 [n, s, s, 3], n ≥ 1."""
        if self.onnx is not None:
            return self.onnx.run(pixels)
        rows = []
        with torch.inference_mode():
            for start in range(0, len(pixels), self.batch_size):
                batch = pixels[start : start + self.batch_size]
                full = torch.from_numpy(padded(batch, self.batch_size)).to(self.device)
                rows.append(self.layers(self.trunk.normalise(full))[: len(batch)].float().cpu().numpy())
        return np.concatenate(rows)
