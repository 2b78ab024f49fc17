"""VGG configuration C from the published weights of D: nobody published weights for C."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from encoder.trunks.vgg import VggNetwork
from hashreel.errors import BadInputError

__all__ = ["fit_pointwise", "sum_taps", "transfer_d_to_c"]

RIDGE = 1e-6
"""Of the mean diagonal of the normal matrix; it keeps dead channels from making it singular."""


def sum_taps(weight: Tensor) -> Tensor:
    """Return the 1 × 1 kernel that equals a 3 × 3 kernel on constant input: the sum of its nine taps.

    Args:
        weight: [out, in, 3, 3] → [out, in, 1, 1].
    """
    return weight.sum(dim=(2, 3), keepdim=True)


def transfer_d_to_c(source: VggNetwork, target: VggNetwork, batches: Iterable[Tensor] = ()) -> None:
    """Fill ``target`` (configuration C) from ``source`` (configuration D), in place.

    Layers of equal shape are copied. Each 1 × 1 convolution is fitted, front to back, so that on the target's own
    activations x it gives what the source's 3 × 3 convolution gives on its, y, in the least squares sense:
    [W b] = (Σ y x̃ᵀ)(Σ x̃ x̃ᵀ)⁻¹ with x̃ = (x, 1), summed over cells and pictures. Without pictures the nine
    taps are summed.

    Args:
        source: configuration D with weights.
        target: configuration C of the same widths.
        batches: normalised pictures, float32 [n, 3, s, s] each; a few hundred pictures are enough.

    Raises:
        BadInputError: If the configurations or widths do not fit.
    """
    if (source.configuration, target.configuration) != ("D", "C"):
        raise BadInputError("the transfer goes from configuration D to configuration C")
    pointwise = _copy_shared(source, target)
    pictures = list(batches)
    if not pictures:
        return
    for number in pointwise:
        _fit_layer(source.features, target.features, number, pictures)


def fit_pointwise(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return W [out, in] and b [out] with the least Σ‖W x + b − y‖², for rows x [m, in] and y [m, out]."""
    ones = torch.ones(len(x), 1, dtype=torch.float64)
    rows = torch.cat([x.double(), ones], dim=1)
    return _solve(rows.T @ rows, rows.T @ y.double())


def _copy_shared(source: VggNetwork, target: VggNetwork) -> list[int]:
    """Copy what has equal shape, sum taps elsewhere, and return the numbers of the layers that were summed."""
    wanted = target.state_dict()
    given = source.state_dict()
    state, summed = {}, []
    for key, tensor in given.items():
        if tensor.shape == wanted[key].shape:
            state[key] = tensor
        elif tensor.ndim == 4 and tensor.shape[:2] == wanted[key].shape[:2]:
            state[key] = sum_taps(tensor)
            summed.append(int(key.split(".")[1]))
        else:
            raise BadInputError(
                f"{key} is {tuple(tensor.shape)} in D and {tuple(wanted[key].shape)} in C: other widths"
            )
    target.load_state_dict(state)
    return summed


def _fit_layer(source: nn.Sequential, target: nn.Sequential, number: int, pictures: list[Tensor]) -> None:
    layer = target[number]
    assert isinstance(layer, nn.Conv2d)  # by construction: only convolutions have four-dimensional weights
    width = layer.in_channels + 1
    normal = torch.zeros(width, width, dtype=torch.float64)
    moment = torch.zeros(width, layer.out_channels, dtype=torch.float64)
    with torch.inference_mode():
        for batch in pictures:
            x = target[:number](batch)
            y = source[: number + 1](batch)
            rows = torch.cat([_cells(x), torch.ones(x.numel() // x.shape[1], 1)], dim=1).double()
            normal += rows.T @ rows
            moment += rows.T @ _cells(y).double()
    weight, bias = _solve(normal, moment)
    layer.load_state_dict({"weight": weight.float()[:, :, None, None], "bias": bias.float()})


def _cells(feature_map: Tensor) -> Tensor:
    """Return [n, C, h, w] as rows [n · h · w, C]."""
    return feature_map.permute(0, 2, 3, 1).flatten(0, 2)


def _solve(normal: Tensor, moment: Tensor) -> tuple[Tensor, Tensor]:
    ridge = RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=normal.dtype)
    solution = torch.linalg.solve(normal + ridge, moment)  # [in + 1, out]
    return solution[:-1].T, solution[-1]
