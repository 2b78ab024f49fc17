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

__all__ = ["fit_hasher", "hasher_manifest", "hasher_network"]


def fit_hasher(hasher: Hasher, trunk: Trunk, transform: Transform, images: Iterable[NDArray[np.uint8]]) -> HashNetwork:
    """Fit ``hasher`` in place to the pooled features of ``images`` and return trunk and hasher as one network.

    Args:
        hasher: from ``encoder.hashers.create_hasher``.
        trunk: gives the features.
        transform: what the model will do to every picture.
        images: RGB pictures, each uint8 [h, w, 3].

    Raises:
        BadInputError: If there are too few pictures for the method and its number of bits.
    """
    hasher.fit(pooled_features(trunk, images, transform))
    return hasher_network(hasher, trunk)


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
