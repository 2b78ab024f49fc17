"""Frame ids and chunk values: what goes in comes out, and nothing else is accepted."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.codes import num_code_bytes
from hashreel.errors import BadInputError, LogCorruptError
from indexer.chunks import (
    MAX_CHUNKS,
    MAX_FRAMES,
    MAX_VIDEO,
    Chunk,
    chunk_base,
    decode_chunk,
    encode_chunk,
    frame_id,
    split_frame_id,
    value_sha,
    video_range,
)

FINGERPRINT = "0123456789abcdef" * 4


def make(frames: int = 3, bits: int = 12, *, has_concepts: bool = False, seed: int = 0) -> Chunk:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (frames, num_code_bytes(bits)), dtype=np.uint8)
    if bits % 8:
        codes[:, -1] &= (1 << bits % 8) - 1
    times = np.sort(rng.integers(0, 2**32, frames, dtype=np.uint32))
    concepts = rng.integers(0, 2**32, frames, dtype=np.uint32) if has_concepts else None
    return Chunk(times, codes, concepts, bits, FINGERPRINT)


def test_frame_id_is_the_documented_sum() -> None:
    assert frame_id(3, 5, 7) == 3 * 2**32 + 5 * 2**20 + 7
    assert chunk_base(1, 0) == 2**32
    assert video_range(2) == (2 * 2**32, 3 * 2**32)


@given(st.integers(1, MAX_VIDEO), st.integers(0, MAX_CHUNKS - 1), st.integers(0, MAX_FRAMES - 1))
def test_frame_id_splits_into_its_parts_and_lies_in_its_video(video: int, chunk: int, index: int) -> None:
    frame = frame_id(video, chunk, index)
    assert split_frame_id(frame) == (video, chunk, index)
    first, end = video_range(video)
    assert first <= frame < end


def test_last_video_has_a_range_of_int64() -> None:
    last = frame_id(MAX_VIDEO, MAX_CHUNKS - 1, MAX_FRAMES - 1)
    assert np.array([last, *video_range(MAX_VIDEO)], dtype=np.int64).tolist() == [last, *video_range(MAX_VIDEO)]


@pytest.mark.parametrize(
    ("video", "chunk", "index"),
    [(0, 0, 0), (-1, 0, 0), (MAX_VIDEO + 1, 0, 0), (1, -1, 0), (1, MAX_CHUNKS, 0), (1, 0, -1), (1, 0, MAX_FRAMES)],
)
def test_frame_id_outside_the_range_is_refused(video: int, chunk: int, index: int) -> None:
    with pytest.raises(BadInputError, match=r"expected|outside"):
        frame_id(video, chunk, index)


@given(st.integers(0, 50), st.integers(8, 256), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_chunk_comes_back_as_it_was_stored(frames: int, bits: int, has_concepts: bool, seed: int) -> None:
    chunk = make(frames, bits, has_concepts=has_concepts, seed=seed)
    value = encode_chunk(chunk)
    back = decode_chunk(value)
    assert (back.bits, back.fingerprint, len(back)) == (bits, FINGERPRINT, frames)
    assert back.times_ms.tolist() == chunk.times_ms.tolist()
    assert back.codes.tolist() == chunk.codes.tolist()
    assert (back.concepts is None) == (not has_concepts)
    if chunk.concepts is not None and back.concepts is not None:
        assert back.concepts.tolist() == chunk.concepts.tolist()
    assert encode_chunk(back) == value


def test_value_has_the_documented_bytes() -> None:
    chunk = Chunk(
        np.array([1, 2**32 - 1], np.uint32),
        np.array([[0xAB, 0x0C], [0, 0]], np.uint8),
        np.array([5, 6], np.uint32),
        12,
        FINGERPRINT,
    )
    header = b"HRCV" + bytes([1, 1]) + struct.pack("<HHHI", 12, 10, 0, 2) + bytes.fromhex(FINGERPRINT)
    records = struct.pack("<I", 1) + b"\xab\x0c" + struct.pack("<I", 5)
    records += struct.pack("<I", 2**32 - 1) + b"\0\0" + struct.pack("<I", 6)
    assert encode_chunk(chunk) == header + records
    assert value_sha(header + records) == hashlib.sha256(header + records).hexdigest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times_ms": np.array([5, 4, 6], np.uint32)}, "backwards"),
        ({"times_ms": np.array([1, 2], np.uint32)}, "2 times and 3 codes"),
        ({"times_ms": np.array([-1, 0, 1], np.int64)}, "from -1 to 1 ms"),
        ({"times_ms": np.array([0, 1, 2**32], np.int64)}, "accepted: uint32"),
        ({"times_ms": np.array([0.0, 1.0, 2.0])}, "float64"),
        ({"concepts": np.array([1], np.uint32)}, "1 concept masks"),
        ({"fingerprint": "abc"}, "64 lower-case hex digits"),
        ({"fingerprint": FINGERPRINT.upper()}, "64 lower-case hex digits"),
        ({"fingerprint": "zz" * 32}, "64 lower-case hex digits"),
        ({"bits": 300}, "8 to 256"),
        ({"bits": 9}, "past bit 8"),
    ],
)
def test_chunk_of_a_wrong_form_is_refused(changes: dict[str, object], message: str) -> None:
    good = make(3, 12).__dict__ | {"codes": np.full((3, 2), 0x0F, np.uint8)}
    with pytest.raises(BadInputError, match=message):
        encode_chunk(Chunk(**(good | changes)))


def test_chunk_of_too_many_frames_is_refused() -> None:
    count = MAX_FRAMES + 1
    with pytest.raises(BadInputError, match="at most"):
        encode_chunk(Chunk(np.zeros(count, np.uint32), np.zeros((count, 1), np.uint8), None, 8, FINGERPRINT))


def test_every_truncation_of_a_value_is_noticed() -> None:
    value = encode_chunk(make(3, 12, has_concepts=True))
    for length in range(len(value)):
        with pytest.raises(LogCorruptError):
            decode_chunk(value[:length])
    with pytest.raises(LogCorruptError):
        decode_chunk(value + b"\0")


@given(st.binary(max_size=100), st.integers(0, 200))
@settings(max_examples=200)
def test_damaged_value_is_noticed_or_still_a_chunk(noise: bytes, at: int) -> None:
    value = bytearray(encode_chunk(make(3, 12)))
    value[at : at + len(noise)] = noise
    try:
        chunk = decode_chunk(bytes(value))
    except LogCorruptError:
        return
    assert encode_chunk(chunk)  # no value comes out that could not go in


@pytest.mark.parametrize(
    ("place", "byte", "message"),
    [
        (4, 2, "version 2"),
        (5, 0x80, "flags"),
        (6, 3, "3 bits"),
        (48 + 5, 0xF0, "past bit 11"),
        (48 + 3, 0xFF, "backwards"),
    ],
)
def test_value_that_no_encoder_writes_is_corrupt(place: int, byte: int, message: str) -> None:
    plain = Chunk(np.array([1, 2], np.uint32), np.zeros((2, 2), np.uint8), None, 12, FINGERPRINT)
    value = bytearray(encode_chunk(plain))
    value[place] = byte
    with pytest.raises(LogCorruptError, match=message):
        decode_chunk(bytes(value))


def test_concept_areas_go_with_masks_and_come_back() -> None:
    rng = np.random.default_rng(3)
    levels = rng.integers(0, 16, (9, 11), dtype=np.uint8)
    chunk = Chunk(
        np.arange(9, dtype=np.uint32),
        np.zeros((9, 6), np.uint8),
        np.arange(9, dtype=np.uint32),
        48,
        FINGERPRINT,
        levels,
    )
    value = encode_chunk(chunk)
    assert len(value) == len(encode_chunk(Chunk(chunk.times_ms, chunk.codes, chunk.concepts, 48, FINGERPRINT))) + 9 * 6
    back = decode_chunk(value)
    assert back.areas is not None
    assert np.array_equal(back.areas, levels)
    assert np.array_equal(back.concepts, chunk.concepts)
    for areas in (levels[:5], levels.astype(np.int64), levels + np.uint8(16), np.zeros((9, 33), np.uint8)):
        with pytest.raises(BadInputError, match="areas"):
            encode_chunk(Chunk(chunk.times_ms, chunk.codes, chunk.concepts, 48, FINGERPRINT, areas))
    with pytest.raises(BadInputError, match="areas"):
        encode_chunk(Chunk(chunk.times_ms, chunk.codes, None, 48, FINGERPRINT, levels))
