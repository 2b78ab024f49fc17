"""The one interface of all hashers, and the linear family that most of them belong to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from encoder.codes import check_bits, pack_codes
from hashreel.errors import BadInputError

__all__ = ["Hasher", "LinearHasher", "centred", "check_features", "principal_directions", "unit_rows"]

Floats = NDArray[np.float64]


class Hasher(ABC):
    """Learns L functions of a feature vector; bit j is 1 where the j-th is ≥ 0.

    Args:
        bits: L, 8 to 256.
        seed: of every random choice; equal seeds and features give equal codes.
        normalise: whether features are scaled to unit length first.
    """

    kind: ClassVar[str]
    """The name of the method."""

    head: ClassVar[str]
    """The head in ``encoder.networks`` that computes a fitted hasher inside a network."""

    scale: float

    def __init__(self, bits: int = 48, *, seed: int = 0, normalise: bool = True) -> None:
        self.bits = check_bits(bits)
        self.seed = seed
        self.normalise = normalise

    def fit(self, features: NDArray[Any], targets: NDArray[Any] | None = None) -> Self:
        """Learn from features and return self.

        Args:
            features: floating point [n, d].
            targets: for methods that learn from labels: [n, C] with 1 where a picture has the class, else 0.

        Raises:
            BadInputError: If there are too few pictures or dimensions for this method and number of bits, a
                value is not finite, or labels are given to a method without or missing for one with.
        """
        x = self._prepare(features)
        if np.ptp(x, axis=0).max() <= 1e-9 * np.abs(x).max():
            raise BadInputError("all features are equal; nothing can be learned from them")
        if targets is None:
            self._fit(x)
        else:
            self._fit_supervised(x, _check_targets(targets, len(x)))
        self.scale = 1 / float(self._project(x).std())
        return self

    def project(self, features: NDArray[Any]) -> Floats:
        """Return the real-valued functions, float64 [n, L], whose signs are the bits.

        They are scaled by one number to a standard deviation of 1 over the training features, so that their
        sizes say how sure a bit is, in the same unit for every method.
        """
        if not hasattr(self, "scale"):
            raise BadInputError(f"this {self.kind} hasher has not been fitted; call fit(features) first")
        return self._project(self._prepare(features)) * self.scale

    def encode(self, features: NDArray[Any]) -> NDArray[np.uint8]:
        """Return packed codes, uint8 [n, ceil(L / 8)], of features [n, d]."""
        return pack_codes(self.project(features) >= 0)

    @abstractmethod
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return what was learned, by name, as it goes into a model file: the scale is inside them."""

    def head_options(self) -> dict[str, Any]:
        """Return what the head in ``encoder.networks`` needs to know besides its tensors; JSON values."""
        return {}

    @abstractmethod
    def _fit(self, x: Floats) -> None: ...

    def _fit_supervised(self, x: Floats, targets: Floats) -> None:
        raise BadInputError(f"{self.kind} does not learn from labels; leave targets out, or use cnnh")

    @abstractmethod
    def _project(self, x: Floats) -> Floats: ...

    def _prepare(self, features: NDArray[Any]) -> Floats:
        x = check_features(features)
        return unit_rows(x) if self.normalise else x


class LinearHasher(Hasher):
    """A hasher of the form (x − mean) W, with mean [d] and W [d, L]."""

    head: ClassVar[str] = "linear"
    mean: Floats
    weight: Floats

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return ``mean`` [d] and ``weight`` [L, d], the latter scaled."""
        return {"mean": self.mean.astype(np.float32), "weight": (self.weight.T * self.scale).astype(np.float32)}

    def _project(self, x: Floats) -> Floats:
        return (x - self.mean) @ self.weight


def check_features(features: NDArray[Any]) -> Floats:
    """Return ``features`` as float64 [n, d].

    Raises:
        BadInputError: If it is not a matrix of finite numbers, or has no row.
    """
    x = np.asarray(features)
    if x.ndim != 2 or 0 in x.shape or not np.issubdtype(x.dtype, np.floating):
        raise BadInputError(f"features has dtype {x.dtype} and shape {x.shape}; expected floating point [n, d], n ≥ 1")
    if not np.isfinite(x).all():
        raise BadInputError("features holds NaN or infinity")
    return x.astype(np.float64)


def _check_targets(targets: NDArray[Any], count: int) -> Floats:
    array = np.asarray(targets)
    if array.ndim != 2 or len(array) != count or not np.isin(array, (0, 1)).all():
        raise BadInputError(f"targets has shape {array.shape}; expected [{count}, C] of 0 and 1")
    return array.astype(np.float64)


def unit_rows(x: Floats) -> Floats:
    """Return rows scaled to length 1; rows of zeros stay zeros."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms == 0, 1, norms)


def centred(x: Floats) -> tuple[Floats, Floats]:
    """Return x minus its column means, and the means [d]."""
    mean = x.mean(axis=0)
    return x - mean, mean


def principal_directions(x: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the ``count`` directions of largest variance, [d, count] in falling order, and those variances.

    Each direction's sign is fixed by making its largest component positive, so that codes do not depend on
    the linear algebra library's choice.

    Args:
        x: centred rows [n, d].
        count: how many, at most min(n, d).

    Raises:
        BadInputError: If n or d is smaller than ``count``.
    """
    if min(x.shape) < count:
        raise BadInputError(f"{x.shape[0]} vectors of {x.shape[1]} dimensions cannot give {count} principal directions")
    variances, directions = np.linalg.eigh(x.T @ x / len(x))
    variances, directions = variances[::-1][:count], directions[:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(count)])
    return directions * signs, variances
