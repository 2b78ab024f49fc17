"""Frame ids and chunk values: the immutable records that Redis stores, one value a chunk.

A frame id is ``video * 2**32 + chunk * 2**20 + index``. A chunk value is a header and then one fixed-size
record a key-frame: the presentation time in ms (u32), the packed code and, where the model predicts
concepts, a mask of them (u32) and their areas (half a byte each, see ``indexer.areas``). All
integers are little-endian.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import MAX_BITS, MIN_BITS, Codes, check_codes, num_code_bytes
from hashreel.errors import BadInputError, LogCorruptError
from indexer.areas import pack_levels, unpack_levels

__all__ = [
    "MAX_CHUNKS",
    "MAX_CONCEPTS",
    "MAX_FRAMES",
    "MAX_VIDEO",
    "Chunk",
    "chunk_base",
    "decode_chunk",
    "encode_chunk",
    "frame_id",
    "split_frame_id",
    "value_sha",
    "video_range",
]

CHUNK_BITS, INDEX_BITS = 12, 20
MAX_CHUNKS = 1 << CHUNK_BITS
MAX_FRAMES = 1 << INDEX_BITS
# One less than fits, so that the end of the last video's range is an int64 too.
MAX_VIDEO = (1 << 31) - 2
MAX_CONCEPTS = 32

# magic, version, flags, bits, record size, concepts with areas, records, fingerprint
_HEADER = struct.Struct("<4sBBHHHI32s")
_MAGIC, _VERSION, _HAS_CONCEPTS = b"HRCV", 1, 1
_MAX_U32 = (1 << 32) - 1
_FINGERPRINT = re.compile("[0-9a-f]{64}")


def chunk_base(video: int, chunk: int) -> int:
    """Return the id of a chunk's first frame.

    Raises:
        BadInputError: If the video or chunk number is outside its range.
    """
    if not 0 < video <= MAX_VIDEO or not 0 <= chunk < MAX_CHUNKS:
        raise BadInputError(f"video {video}, chunk {chunk}: expected 1..{MAX_VIDEO} and 0..{MAX_CHUNKS - 1}")
    return (video << (CHUNK_BITS + INDEX_BITS)) | (chunk << INDEX_BITS)


def frame_id(video: int, chunk: int, index: int) -> int:
    """Return the id of frame ``index`` of a chunk."""
    if not 0 <= index < MAX_FRAMES:
        raise BadInputError(f"frame index {index} is outside 0..{MAX_FRAMES - 1}")
    return chunk_base(video, chunk) | index


def split_frame_id(frame: int) -> tuple[int, int, int]:
    """Return (video, chunk, index) of a frame id."""
    return frame >> (CHUNK_BITS + INDEX_BITS), (frame >> INDEX_BITS) & (MAX_CHUNKS - 1), frame & (MAX_FRAMES - 1)


def video_range(video: int) -> tuple[int, int]:
    """Return the half-open range of ids that belong to a video."""
    return chunk_base(video, 0), (video + 1) << (CHUNK_BITS + INDEX_BITS)


@dataclass(frozen=True)
class Chunk:
    """The decoded form of a chunk value.

    Attributes:
        times_ms: uint32 [n], presentation times, ascending.
        codes: uint8 [n, ceil(bits / 8)].
        concepts: uint32 [n] masks, or None.
        bits: Length of a code.
        fingerprint: Fingerprint of the model that made the codes, 64 hex digits.
        areas: uint8 [n, C], level of each concept's area (see ``indexer.areas``), or None; goes with ``concepts``.
    """

    times_ms: NDArray[np.uint32]
    codes: Codes
    concepts: NDArray[np.uint32] | None
    bits: int
    fingerprint: str
    areas: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.times_ms)


def _record(bits: int, has_concepts: bool, num_areas: int) -> np.dtype[np.void]:
    fields: list[tuple[Any, ...]] = [("time_ms", "<u4"), ("code", "u1", (num_code_bytes(bits),))]
    if has_concepts:
        fields.append(("concepts", "<u4"))
    if num_areas:
        fields.append(("areas", "u1", ((num_areas + 1) // 2,)))
    return np.dtype(fields)


def encode_chunk(chunk: Chunk) -> bytes:
    """Return the stored value of a chunk; the same chunk always gives the same bytes.

    Raises:
        BadInputError: If lengths differ, there are too many frames, times run backwards or are out of range, or
            the fingerprint is not 64 hex digits.
    """
    codes = check_codes(chunk.codes, chunk.bits)
    count = len(chunk.times_ms)
    concepts = chunk.concepts
    if len(codes) != count:
        raise BadInputError(f"a chunk has {count} times and {len(codes)} codes; expected as many of each")
    if concepts is not None and len(concepts) != count:
        raise BadInputError(f"a chunk has {count} times and {len(concepts)} concept masks; expected as many of each")
    if count > MAX_FRAMES:
        raise BadInputError(f"a chunk has {count} frames; at most {MAX_FRAMES}")
    _check_times(chunk.times_ms)
    num_areas = _num_areas(chunk)
    dtype = _record(chunk.bits, concepts is not None, num_areas)
    records = np.zeros(count, dtype)
    records["time_ms"] = chunk.times_ms
    records["code"] = codes
    if concepts is not None:
        records["concepts"] = concepts
    if chunk.areas is not None and num_areas:
        records["areas"] = pack_levels(chunk.areas)
    flags = _HAS_CONCEPTS if concepts is not None else 0
    fingerprint = _fingerprint_bytes(chunk.fingerprint)
    header = _HEADER.pack(_MAGIC, _VERSION, flags, chunk.bits, dtype.itemsize, num_areas, count, fingerprint)
    return header + records.tobytes()


def _num_areas(chunk: Chunk) -> int:
    """Return how many concepts have an area in each record."""
    areas = chunk.areas
    if areas is None:
        return 0
    is_fit = areas.dtype == np.uint8 and areas.ndim == 2 and len(areas) == len(chunk.times_ms)
    if chunk.concepts is None or not is_fit or areas.shape[1] > MAX_CONCEPTS or (areas > 15).any():
        raise BadInputError(
            f"a chunk has areas of dtype {areas.dtype}, shape {areas.shape}; expected uint8 [n, C] levels "
            f"0 to 15, C at most {MAX_CONCEPTS}, with concept masks"
        )
    return int(areas.shape[1])


def _check_times(times_ms: NDArray[np.uint32]) -> None:
    times = np.asarray(times_ms)
    if times.dtype.kind not in "iu" or times.ndim != 1:
        raise BadInputError(f"the times of a chunk have dtype {times.dtype}, shape {times.shape}; expected uint32 [n]")
    if len(times) and not 0 <= int(times.min()) <= int(times.max()) <= _MAX_U32:
        raise BadInputError(f"the times of a chunk reach from {times.min()} to {times.max()} ms; accepted: uint32")
    if (times[1:] < times[:-1]).any():
        raise BadInputError("the times of a chunk run backwards")


def _fingerprint_bytes(fingerprint: str) -> bytes:
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise BadInputError(f"a chunk has the fingerprint {fingerprint!r}; expected 64 lower-case hex digits")
    return bytes.fromhex(fingerprint)


def decode_chunk(value: bytes) -> Chunk:
    """Return the chunk that a stored value holds.

    Raises:
        LogCorruptError: If the value is not a chunk value of a known version, is truncated, or holds what no
            chunk holds: stray bits in a code, or times that run backwards.
    """
    if len(value) < _HEADER.size:
        raise LogCorruptError(f"a chunk value has {len(value)} bytes; the header alone takes {_HEADER.size}")
    magic, version, flags, bits, size, num_areas, count, fingerprint = _HEADER.unpack_from(value)
    if magic != _MAGIC or version != _VERSION:
        raise LogCorruptError(f"a chunk value starts with {magic!r} version {version}; expected {_MAGIC!r} {_VERSION}")
    is_known = not flags & ~_HAS_CONCEPTS and num_areas <= (MAX_CONCEPTS if flags & _HAS_CONCEPTS else 0)
    if not MIN_BITS <= bits <= MAX_BITS or not is_known:
        raise LogCorruptError(f"a chunk value has codes of {bits} bits and flags {flags:#x}; this is no chunk value")
    dtype = _record(bits, bool(flags & _HAS_CONCEPTS), num_areas)
    if dtype.itemsize != size or len(value) != _HEADER.size + count * size:
        raise LogCorruptError(f"a chunk value of {count} records of {size} bytes has {len(value)} bytes in all")
    records = np.frombuffer(value, dtype, offset=_HEADER.size)
    times = np.ascontiguousarray(records["time_ms"], dtype=np.uint32)
    try:
        _check_times(times)
        codes = check_codes(np.ascontiguousarray(records["code"]), bits)
    except BadInputError as exc:
        raise LogCorruptError(f"a chunk value is damaged: {exc}") from exc
    return Chunk(
        times_ms=times,
        codes=codes,
        concepts=np.ascontiguousarray(records["concepts"], dtype=np.uint32) if flags & _HAS_CONCEPTS else None,
        bits=bits,
        fingerprint=fingerprint.hex(),
        areas=unpack_levels(np.ascontiguousarray(records["areas"]), num_areas) if num_areas else None,
    )


def value_sha(value: bytes) -> str:
    """Return the SHA-256 of a stored value that its log entry names, hex."""
    return hashlib.sha256(value).hexdigest()
