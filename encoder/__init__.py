"""From pixels to codes: video decoding, transforms, networks, training, model files, packed codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoder.model import Model, load_model

__all__ = ["Model", "load_model"]


def __getattr__(name: str) -> Any:
    """Import ``encoder.model`` at the first use of a public name: torch loads only where it is needed."""
    if name in __all__:
        from encoder import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
