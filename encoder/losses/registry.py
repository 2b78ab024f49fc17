"""Names of losses and how each is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from encoder.losses.base import HashLoss
from encoder.losses.pairwise import DPSHLoss, DSHLoss, DTSHLoss
from encoder.losses.pointwise import ClassificationLoss, OrthoHashLoss, SSDHLoss
from hashreel.errors import BadInputError

__all__ = ["create_loss", "loss_names"]

# name -> maker(bits, classes, **options)
_MAKERS: dict[str, Callable[..., HashLoss]] = {
    "classification": lambda bits, classes, **options: ClassificationLoss(**options),
    "dpsh": lambda bits, classes, **options: DPSHLoss(**options),
    "dsh": lambda bits, classes, **options: DSHLoss(bits, **options),
    "dtsh": lambda bits, classes, **options: DTSHLoss(**options),
    "orthohash": lambda bits, classes, **options: OrthoHashLoss(bits, classes, **options),
    "ssdh": lambda bits, classes, **options: SSDHLoss(**options),
}


def loss_names() -> list[str]:
    """Return the names that :func:`create_loss` accepts."""
    return sorted(_MAKERS)


def create_loss(name: str, bits: int, classes: int, **options: Any) -> HashLoss:
    """Return a loss.

    Args:
        name: one of :func:`loss_names`.
        bits: L, code length.
        classes: C.
        options: the weights of the loss's terms.

    Raises:
        BadInputError: If there is no such loss or option.
    """
    if name not in _MAKERS:
        raise BadInputError(f"there is no loss {name!r}; accepted: {', '.join(loss_names())}")
    try:
        return _MAKERS[name](bits, classes, **options)
    except TypeError as exc:
        raise BadInputError(f"loss {name!r} does not take these options: {exc}") from exc
