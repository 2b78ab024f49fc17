"""Packed binary codes: the one format that every room shares. numpy only.

A code of L bits is ``ceil(L / 8)`` bytes. Bit j is byte ``j // 8``, bit ``j % 8`` counted from the least
significant (FAISS's order). Bits past L in the last byte are 0; anything else is an error, since such a bit
would count in a Hamming distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = [
    "MAX_BITS",
    "MIN_BITS",
    "binarise",
    "check_bits",
    "check_codes",
    "code_from_hex",
    "code_to_hex",
    "hamming_distances",
    "num_code_bytes",
    "pack_codes",
    "unpack_codes",
]

MIN_BITS = 8
MAX_BITS = 256

Codes = NDArray[np.uint8]


def check_bits(bits: int) -> int:
    """Return ``bits``, an int in [8, 256].

    Raises:
        BadInputError: If it is outside that range.
    """
    if not MIN_BITS <= bits <= MAX_BITS:
        raise BadInputError(f"bits is {bits}; accepted: {MIN_BITS} to {MAX_BITS}")
    return int(bits)


def num_code_bytes(bits: int) -> int:
    """Return how many bytes a code of ``bits`` bits takes: ceil(bits / 8)."""
    return (check_bits(bits) + 7) // 8


def pack_codes(bits: NDArray[Any]) -> Codes:
    """Return packed codes of a matrix of bits.

    Args:
        bits: bool or {0, 1} integers, [n, L] with L in [8, 256].

    Returns:
        uint8 [n, ceil(L / 8)], unused bits 0.

    Raises:
        BadInputError: If the array is not two-dimensional, holds other values, or L is out of range.

    Example:
        >>> pack_codes(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 1, 1]])).tolist()
        [[1, 3]]
    """
    matrix = np.asarray(bits)
    if matrix.ndim != 2:
        raise BadInputError(f"bits has shape {matrix.shape}; expected two dimensions, [n, L]")
    check_bits(matrix.shape[1])
    if matrix.dtype != np.bool_:
        if not np.isin(matrix, (0, 1)).all():
            raise BadInputError("bits holds values other than 0 and 1; binarise real outputs first (r >= 0.5)")
        matrix = matrix.astype(np.bool_)
    return np.packbits(matrix, axis=1, bitorder="little")


def unpack_codes(codes: Codes, bits: int) -> NDArray[np.bool_]:
    """Return the bits of packed codes, bool [n, bits]. The inverse of :func:`pack_codes`."""
    return np.unpackbits(check_codes(codes, bits), axis=1, count=bits, bitorder="little").astype(np.bool_)


def binarise(outputs: NDArray[Any]) -> Codes:
    """Return packed codes of real-valued outputs: a bit is 1 where r >= 0.5.

    Args:
        outputs: floating point [n, L] in [0, 1] (sigmoid outputs).

    Source:
        [0] Gkountakos et al., Incorporation of Semantic Segmentation Information in Deep Hashing Techniques
        for Image Retrieval, 2018, equations 1 and 2 (sgn(0) is +1).

    Raises:
        BadInputError: If a value is not finite, since NaN would silently become 0.
    """
    values = np.asarray(outputs)
    if not np.isfinite(values).all():
        raise BadInputError("the network's outputs hold NaN or infinity; no code can be made of them")
    return pack_codes(values >= 0.5)


def check_codes(codes: NDArray[Any], bits: int) -> Codes:
    """Return ``codes`` as a contiguous uint8 [n, ceil(bits / 8)] array after checking its form.

    Raises:
        BadInputError: On another shape or dtype, or where an unused bit is 1.
    """
    width = num_code_bytes(bits)
    array = np.asarray(codes)
    if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != width:
        raise BadInputError(
            f"codes has dtype {array.dtype} and shape {array.shape}; expected uint8 [n, {width}] for {bits} bits"
        )
    if bits % 8 and array.size and (array[:, -1] >> (bits % 8)).any():
        raise BadInputError(f"a code has a bit set past bit {bits - 1}; unused bits must be 0")
    return np.ascontiguousarray(array)


def code_to_hex(code: Codes) -> str:
    """Return one packed code, uint8 [ceil(L / 8)], as lower-case hex of its bytes in order."""
    array = np.asarray(code, dtype=np.uint8)
    if array.ndim != 1:
        raise BadInputError(f"code has shape {array.shape}; expected one code, [ceil(bits / 8)]")
    return array.tobytes().hex()


def code_from_hex(text: str, bits: int) -> Codes:
    """Return the packed code, uint8 [ceil(bits / 8)], that ``text`` spells.

    Raises:
        BadInputError: If the text is not hex, of another length, or sets an unused bit.
    """
    width = num_code_bytes(bits)
    try:
        raw = bytes.fromhex(text.strip())
    except ValueError as exc:
        raise BadInputError(f"code {text[:80]!r} is not hex; expected {2 * width} hex digits") from exc
    if len(raw) != width:
        raise BadInputError(f"code {text[:80]!r} has {len(raw)} bytes; expected {width} ({bits} bits)")
    code: Codes = check_codes(np.frombuffer(raw, dtype=np.uint8)[None], bits)[0]
    return code


def hamming_distances(queries: Codes, gallery: Codes) -> NDArray[np.int32]:
    """Return all Hamming distances, int32 [q, n], of uint8 [q, w] against uint8 [n, w].

    The slow, obvious version: it materialises [q, n, w] bytes. Indexes are checked against it.
    """
    different = np.bitwise_count(queries[:, None, :] ^ gallery[None, :, :])
    distances: NDArray[np.int32] = different.sum(axis=2, dtype=np.int32)
    return distances
