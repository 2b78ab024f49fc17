"""From pictures to a model file, with a hasher that needs no training of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.features import pooled_features
from encoder.hashers import Hasher
from encoder.model_files import Manifest
from encoder.networks import HashNetwork, create_network
from encoder.transforms import Transform
from encoder.trunks import Trunk
from hashreel.errors import BadInputError

__all__ = ["fit_hasher", "hasher_manifest", "hasher_network", "match_means"]


MOST = 10.0
"""A channel is scaled by at most this factor, up or down."""


def fit_hasher(
    hasher: Hasher,
    trunk: Trunk,
    transform: Transform,
    images: Iterable[NDArray[np.uint8]],
    *,
    match_trunk: bool = False,
) -> HashNetwork:
    """Fit ``hasher`` in place to the pooled features of ``images`` and return trunk and hasher as one network.

    Args:
        hasher: from ``encoder.hashers.create_hasher``.
        trunk: gives the features.
        transform: what the model will do to every picture.
        images: RGB pictures, each uint8 [h, w, 3].
        match_trunk: whether features are first scaled, channel by channel, to the means that the trunk expects:
            for pictures that are unlike those that the model is meant for (:func:`match_means`).

    Raises:
        BadInputError: If there are too few pictures for the method and its number of bits, or the trunk does not
            tell what it expects.
    """
    features = pooled_features(trunk, images, transform)
    if match_trunk:
        expected = trunk.expected_features()
        if expected is None:
            raise BadInputError(f"trunk {trunk.name} does not tell which features it expects; fit without matching")
        features = match_means(features, expected.numpy())
    hasher.fit(features)
    return hasher_network(hasher, trunk)


def match_means(features: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features whose channel means are those expected, as far as a factor of 10 goes.

    Small pictures that were enlarged excite other channels than photographs do. Codes fitted on their features
    spend bits on channels that are silent on photographs, and have means far off. After scaling, channels that
    photographs excite count in proportion.

    Args:
        features: float32 [n, P], not negative.
        expected: float32 [P].
    """
    factors = np.clip(expected / np.maximum(features.mean(axis=0), 1e-3), 1 / MOST, MOST)
    matched: NDArray[np.float32] = (features * factors).astype(np.float32)
    return matched


def hasher_network(hasher: Hasher, trunk: Trunk) -> HashNetwork:
    """Return the network that computes a fitted ``hasher`` on ``trunk``'s pooled features."""
    network = create_network(_architecture(hasher), trunk, hasher.bits)
    tensors = {f"head.{name}": torch.from_numpy(np.ascontiguousarray(a)) for name, a in hasher.tensors().items()}
    network.load_state_dict(tensors, strict=False)
    return network.eval()


def hasher_manifest(
    name: str,
    hasher: Hasher,
    trunk: Trunk,
    transform: Transform,
    *,
    data: Sequence[Mapping[str, str]],
    training: Mapping[str, Any],
) -> Manifest:
    """Return the manifest of a fitted hasher, its fingerprint still empty.

    Args:
        name: of the model.
        hasher: fitted.
        trunk: with its packaged weights.
        transform: of the model.
        data: what was fitted on, one ``{"name", "use", "licence"}`` each.
        training: the record: command, seed, numbers of pictures.
    """
    source = trunk.weights_source
    weights = {"name": source.name, "use": "trunk weights", "licence": source.licence, "sha256": source.sha256}
    return Manifest(
        name=name,
        architecture=_architecture(hasher),
        trunk={"name": trunk.name, "output_stride": trunk.stride, "weights": "package"},
        bits=hasher.bits,
        transform=transform.to_json(),
        data=(weights, *data),
        training={"method": hasher.kind, **training},
    )


def _architecture(hasher: Hasher) -> dict[str, Any]:
    return {"kind": hasher.head, "normalise": hasher.normalise, **hasher.head_options()}
