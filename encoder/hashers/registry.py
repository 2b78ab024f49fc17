"""Names of hashers and how each is made."""

from __future__ import annotations

from typing import Any

from encoder.hashers.base import Hasher
from encoder.hashers.bre import BREHasher
from encoder.hashers.cnnh import CNNHHasher
from encoder.hashers.isohash import IsoHasher
from encoder.hashers.itq import ITQHasher
from encoder.hashers.linear import LSHHasher, PCASignHasher
from encoder.hashers.spectral import SpectralHasher
from hashreel.errors import BadInputError

__all__ = ["create_hasher", "hasher_names"]

_CLASSES: tuple[type[Hasher], ...] = (
    LSHHasher,
    PCASignHasher,
    SpectralHasher,
    ITQHasher,
    IsoHasher,
    BREHasher,
    CNNHHasher,
)
_HASHERS = {hasher.kind: hasher for hasher in _CLASSES}


def hasher_names() -> list[str]:
    """Return the names that :func:`create_hasher` accepts."""
    return sorted(_HASHERS)


def create_hasher(kind: str, bits: int = 48, **options: Any) -> Hasher:
    """Return an unfitted hasher.

    Args:
        kind: one of :func:`hasher_names`.
        bits: L, 8 to 256.
        options: ``seed``, ``normalise`` and what the method itself takes.

    Raises:
        BadInputError: If there is no such hasher or option.
    """
    if kind not in _HASHERS:
        raise BadInputError(f"there is no hasher {kind!r}; accepted: {', '.join(hasher_names())}")
    try:
        return _HASHERS[kind](bits, **options)
    except TypeError as exc:
        raise BadInputError(f"hasher {kind!r} does not take these options: {exc}") from exc
