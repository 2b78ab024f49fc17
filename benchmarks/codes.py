"""Synthetic galleries of packed codes, uniform or shaped like a video archive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, num_code_bytes

__all__ = ["ArchiveShape", "clustered", "frame_ids", "uniform"]

_BLOCK = 1 << 22


@dataclass(frozen=True)
class ArchiveShape:
    """How an archive's codes lie: subjects, videos about a subject, frames of a video.

    Attributes:
        subjects: number of cluster centres.
        frames_per_video: frames that share their video's code but for noise.
        video_flips: chance that a bit of a video differs from its subject's, a power of one half.
        frame_flips: chance that a bit of a frame differs from its video's, a power of one half.
    """

    subjects: int = 2000
    frames_per_video: int = 27
    video_flips: float = 1 / 16
    frame_flips: float = 1 / 32


def uniform(count: int, bits: int, seed: int = 0) -> Codes:
    """Return independent codes with fair bits, uint8 [count, ceil(bits / 8)]: the hard case for any index."""
    rng = np.random.default_rng(seed)
    codes = np.frombuffer(rng.bytes(count * num_code_bytes(bits)), np.uint8).reshape(count, -1).copy()
    return _without_unused_bits(codes, bits)


def clustered(
    count: int, bits: int, seed: int = 0, queries: int = 256, shape: ArchiveShape | None = None
) -> tuple[Codes, Codes]:
    """Return codes of an archive's frames in order, and queries to it.

    Every other query is a new frame of a video in the archive; the rest are frames of new videos about its
    subjects.

    Returns:
        uint8 [count, ceil(bits / 8)] and uint8 [queries, ceil(bits / 8)].
    """
    shape = shape or ArchiveShape()
    rng = np.random.default_rng(seed)
    width = num_code_bytes(bits)
    subjects = rng.integers(0, 256, (shape.subjects, width), dtype=np.uint8)
    num_videos = -(-count // shape.frames_per_video)
    videos = subjects[rng.integers(0, shape.subjects, num_videos)]
    videos ^= _noise(rng, num_videos, width, shape.video_flips)
    codes = np.empty((count, width), np.uint8)
    for start in range(0, count, _BLOCK):
        end = min(count, start + _BLOCK)
        codes[start:end] = videos[np.arange(start, end) // shape.frames_per_video]
        codes[start:end] ^= _noise(rng, end - start, width, shape.frame_flips)
    asked = subjects[rng.integers(0, shape.subjects, queries)] ^ _noise(rng, queries, width, shape.video_flips)
    asked[::2] = videos[rng.integers(0, num_videos, len(asked[::2]))]
    asked ^= _noise(rng, queries, width, shape.frame_flips)
    return _without_unused_bits(codes, bits), _without_unused_bits(asked, bits)


def frame_ids(count: int, frames_per_video: int = 27) -> NDArray[np.int64]:
    """Return ids ``video * 2**32 + frame`` of an archive's frames in order, int64 [count]."""
    rows = np.arange(count, dtype=np.int64)
    return (rows // frames_per_video << 32) + rows % frames_per_video


def _noise(rng: np.random.Generator, count: int, width: int, chance: float) -> Codes:
    noise = np.full((count, width), 255, np.uint8)
    for _ in range(round(-np.log2(chance))):
        noise &= np.frombuffer(rng.bytes(count * width), np.uint8).reshape(count, width)
    return noise


def _without_unused_bits(codes: Codes, bits: int) -> Codes:
    if bits % 8:
        codes[:, -1] &= (1 << bits % 8) - 1
    return codes
