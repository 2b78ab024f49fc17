"""SHA-256 over tensors and configuration: what makes two models the same model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["canonical_json", "digest_tensors", "fingerprint"]


def canonical_json(value: Any) -> bytes:
    """Return ``value`` as UTF-8 JSON with sorted keys and no spaces, so that equal values are equal bytes.

    Raises:
        ValueError: If a number is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 hex digest over name, dtype, shape and bytes of every tensor, in the order of names.

    Args:
        tensors: any dtype and shape, on any device; bytes are taken row-major.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        header = {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        digest.update(canonical_json(header))
        digest.update(tensor.flatten().view(_byte_type()).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def fingerprint(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the fingerprint of a model: SHA-256 hex over canonical JSON of ``config``, then over ``tensors``.

    Args:
        config: everything outside the tensors that determines codes (architecture, trunk, bits, transform).
        tensors: all weights and buffers, the trunk's among them.
    """
    digest = hashlib.sha256(canonical_json(config))
    digest.update(digest_tensors(tensors).encode())
    return digest.hexdigest()


def _byte_type() -> Any:
    import torch

    return torch.uint8
