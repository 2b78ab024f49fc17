"""Checks of what callers hand to an index: one wording for every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, check_codes
from hashreel.errors import BadInputError, ConflictError
from indexer.ranges import MAX_FRAME_ID

__all__ = ["bytes_of", "check_frame_ids", "check_new_frames", "check_radius", "check_top", "check_weights", "pad_codes"]

_WORD = np.dtype("<u8")


def check_frame_ids(frame_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return ``frame_ids`` as int64 [n].

    Raises:
        BadInputError: On another shape or dtype, or an id outside [0, 2**63 - 2].
    """
    array = np.asarray(frame_ids)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise BadInputError(f"frame_ids has dtype {array.dtype} and shape {array.shape}; expected int64 [n]")
    if array.min() < 0 or array.max() > MAX_FRAME_ID:
        raise BadInputError(f"frame ids reach from {array.min()} to {array.max()}; accepted: 0 to {MAX_FRAME_ID}")
    return array.astype(np.int64, copy=False)


def check_new_frames(frame_ids: NDArray[Any], codes: NDArray[Any], bits: int) -> tuple[NDArray[np.int64], Codes]:
    """Return checked ids, int64 [n], and codes, uint8 [n, ceil(bits / 8)], of frames to add.

    Raises:
        BadInputError: If either is of a wrong form, or their lengths differ.
        ConflictError: If an id comes twice.
    """
    ids, array = check_frame_ids(frame_ids), check_codes(codes, bits)
    if len(ids) != len(array):
        raise BadInputError(f"{len(ids)} frame ids came with {len(array)} codes; expected one code an id")
    if not (np.diff(ids) > 0).all():
        unique, counts = np.unique(ids, return_counts=True)
        if len(unique) != len(ids):
            raise ConflictError(f"frame id {unique[np.argmax(counts)]} comes twice in one call")
    return ids, array


def check_top(top: int) -> int:
    """Return ``top``, an int of at least 0.

    Raises:
        BadInputError: If it is negative or no integer.
    """
    if isinstance(top, bool) or not isinstance(top, int | np.integer) or top < 0:
        raise BadInputError(f"top is {top!r}; accepted: an integer of at least 0")
    return int(top)


def check_radius(radius: int | NDArray[Any], num_queries: int, bits: int) -> NDArray[np.int32]:
    """Return the radius of each query, int32 [q], cut down to ``bits``.

    Raises:
        BadInputError: If it is negative, no integer, or an array of another length.
    """
    array = np.asarray(radius)
    if array.dtype.kind not in "iu" or array.ndim > 1 or (array.ndim == 1 and len(array) != num_queries):
        raise BadInputError(
            f"radius has dtype {array.dtype} and shape {array.shape}; expected an integer or int32 [{num_queries}]"
        )
    if array.size and array.min() < 0:
        raise BadInputError(f"radius is {array.min()}; accepted: 0 to {bits}")
    return np.broadcast_to(np.minimum(array, bits), (num_queries,)).astype(np.int32)


def check_weights(weights: NDArray[Any], num_queries: int, bits: int) -> NDArray[np.float32]:
    """Return the weight of each bit for each query, float32 [q, bits].

    Raises:
        BadInputError: On another shape or dtype, or where a weight is not finite.
    """
    array = np.asarray(weights)
    if array.dtype.kind not in "fiu" or array.shape not in {(bits,), (num_queries, bits)}:
        raise BadInputError(
            f"weights has dtype {array.dtype} and shape {array.shape}; "
            f"expected float32 [{bits}] or [{num_queries}, {bits}]"
        )
    if not np.isfinite(array).all():
        raise BadInputError("a weight is NaN or infinite; weights must be finite")
    return np.broadcast_to(array.astype(np.float32), (num_queries, bits))


def pad_codes(codes: Codes, num_words: int) -> NDArray[np.uint64]:
    """Return codes, uint8 [n, w], as whole 64-bit words, uint64 [n, num_words], padded with 0.

    Searches over whole words are three to four times faster than over six bytes, with the same distances.
    """
    padded = np.zeros((len(codes), 8 * num_words), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view(_WORD)


def bytes_of(words: NDArray[np.uint64], num_bytes: int) -> Codes:
    """Return padded codes, uint64 [n, words], as packed codes, uint8 [n, num_bytes]."""
    return np.ascontiguousarray(words.view(np.uint8)[:, :num_bytes])
