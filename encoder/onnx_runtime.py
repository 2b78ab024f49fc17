"""The forward pass on CPUs through onnxruntime: the same network, several times as fast as eager torch."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.networks.base import HashNetwork
from encoder.runtime import RawOutput, check_positive, padded
from encoder.trunks.base import Trunk
from hashreel.errors import MissingExtraError

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["OnnxFeatures", "OnnxRuntime", "export_onnx", "onnx_is_installed"]

OPSET = 17
PACKAGES = ("onnx", "onnxruntime")
BATCH_SIZE = 1
"""Its maps of one picture stay in the cache, so that batches gain nothing, and a lone query pays for itself alone."""


class OnnxRuntime:
    """Runs a network on pixels with one fixed batch shape, as ``TorchRuntime`` does.

    The graph is made from the network when the runtime is made (a second or two), so that a model file needs no
    second copy of its weights. Outputs agree with torch's to about 1e-6.

    Args:
        network: its weights are copied into the graph.
        size: side of the network's input.
        batch_size: pictures a pass; 1 by default.
        threads: CPU threads of a pass; None lets onnxruntime choose.

    Raises:
        MissingExtraError: If onnx or onnxruntime is not installed.
        BadInputError: If batch_size or threads is below 1.
    """

    def __init__(
        self, network: HashNetwork, size: int, *, batch_size: int | None = None, threads: int | None = None
    ) -> None:
        self.device = torch.device("cpu")
        self.batch_size = BATCH_SIZE if batch_size is None else batch_size
        self.threads = threads
        check_positive(batch_size=self.batch_size, threads=threads)
        self.network = network.eval()
        self.name = f"onnx-cpu-{self.batch_size}"
        self.ahead = 0
        self.runs_side_by_side = True
        self.session = _session(export_onnx(network, size, self.batch_size), threads)

    def run(self, pixels: NDArray[np.uint8]) -> RawOutput:
        """Return the outputs for RGB pixels, uint8 [n, s, s, 3], n ≥ 1."""
        parts: list[list[NDArray[np.float32]]] = []
        for start in range(0, len(pixels), self.batch_size):
            batch = pixels[start : start + self.batch_size]
            results = self.session.run(None, {"pixels": padded(batch, self.batch_size)})
            parts.append([np.asarray(result)[: len(batch)] for result in results])
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return RawOutput(columns[0], columns[1] if len(columns) > 1 else None)

    def start(self, pixels: NDArray[np.uint8]) -> Callable[[], RawOutput]:
        """Compute; return what gives the outputs."""
        result = self.run(pixels)
        return lambda: result


def export_onnx(network: HashNetwork, size: int, batch_size: int) -> bytes:
    """Return the network as an ONNX model.

    Its input ``pixels`` is uint8 [batch_size, size, size, 3], RGB; normalisation is inside. Its outputs are
    ``outputs``, float32 [batch_size, L] in [0, 1], and of a segmenting network ``mask_scores``.

    Raises:
        MissingExtraError: If onnx or onnxruntime is not installed.
    """
    graph = _Graph(network).eval()
    pixels = torch.zeros(batch_size, size, size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        names = ["outputs", "mask_scores"][: len(graph(pixels))]
    return _export(graph, pixels, names)


class OnnxFeatures:
    """A frozen module on normalised pixels, through onnxruntime: for features that are stored for training.

    Args:
        module: float32 [n, 3, s, s] → float32 [n, ...].
        trunk: whose normalisation comes first.
        size: side of the pictures.
        batch_size: pictures a pass.
        threads: CPU threads of a pass.

    Raises:
        MissingExtraError: If onnx or onnxruntime is not installed.
    """

    def __init__(self, module: nn.Module, trunk: Trunk, size: int, *, batch_size: int, threads: int) -> None:
        graph = _NormalisedModule(module, trunk).eval()
        pixels = torch.zeros(batch_size, size, size, 3, dtype=torch.uint8)
        self.batch_size = batch_size
        self.session = _session(_export(graph, pixels, ["features"]), threads)

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the module's output, float32 [n, ...], for RGB pixels, uint8 [n, s, s, 3]."""
        rows = []
        for start in range(0, len(pixels), self.batch_size):
            batch = pixels[start : start + self.batch_size]
            (result,) = self.session.run(None, {"pixels": padded(batch, self.batch_size)})
            rows.append(np.asarray(result, dtype=np.float32)[: len(batch)])
        return np.concatenate(rows)


def _export(graph: nn.Module, pixels: Tensor, names: list[str]) -> bytes:
    if not onnx_is_installed():
        raise MissingExtraError(f"this needs {' and '.join(PACKAGES)}; install them with pip, or use runtime='torch'")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter is called deprecated, but the other one needs a package more and minutes for VGG.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (pixels,),
            buffer,  # type: ignore[arg-type]  # files in memory are accepted
            input_names=["pixels"],
            output_names=names,
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def onnx_is_installed() -> bool:
    """Return whether this runtime can be had here."""
    return all(importlib.util.find_spec(name) is not None for name in PACKAGES)


class _Graph(nn.Module):
    """A network with its normalisation, and a tuple of tensors as its result."""

    def __init__(self, network: HashNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        result = self.network(_normalised(pixels, self.network.trunk))
        if result.mask_scores is None:
            return (result.outputs,)
        return result.outputs, result.mask_scores


class _NormalisedModule(nn.Module):
    def __init__(self, module: nn.Module, trunk: Trunk) -> None:
        super().__init__()
        self.module = module
        self.trunk = trunk

    def forward(self, pixels: Tensor) -> Tensor:
        result: Tensor = self.module(_normalised(pixels, self.trunk))
        return result


def _normalised(pixels: Tensor, trunk: Trunk) -> Tensor:
    """Return what ``trunk.normalise`` returns, without operations in place, which the exporter cannot follow."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (trunk.mean, trunk.std))
    return (pixels.permute(0, 3, 1, 2).to(torch.float32) / 255 - mean) / std


def _session(model: bytes, threads: int | None) -> onnxruntime.InferenceSession:
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that wait in a loop for work take the cores from decoding and from other worker processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
