"""The videos of the benchmarks, made by command: the same on every machine with the same libraries."""

from __future__ import annotations

import shutil
from pathlib import Path

from encoder.clips import generate_clip

__all__ = ["copies", "decode_bound_clip", "network_bound_clip"]

GOP = 250


def network_bound_clip(folder: Path, *, frames: int, seed: int) -> Path:
    """Write a film of which codec key-frames are cheap to come by: 320 × 180, one in five frames is one.

    They take a core less than half of the time that the default network takes for them.

    Args:
        folder: Where.
        frames: How many key-frames.
        seed: Which film.
    """
    path = folder / f"light-{seed}.mp4"
    generate_clip(path, seed=seed, seconds=frames / 2, size=(320, 180), fps=10, shots=3, gop=5)
    return path


def decode_bound_clip(folder: Path, *, seconds: float, size: tuple[int, int] = (1920, 1080)) -> Path:
    """Write a film in H.264 of 25 frames a second, with 250 frames from one codec key-frame to the next."""
    path = folder / f"heavy-{size[1]}.mp4"
    generate_clip(path, seed=1, seconds=seconds, size=size, fps=25, shots=2, gop=GOP)
    return path


def copies(clips: list[Path], folder: Path, count: int) -> None:
    """Fill a folder with as many files, the clips by turns."""
    folder.mkdir()
    for number in range(count):
        clip = clips[number % len(clips)]
        shutil.copy(clip, folder / f"{number:03}-{clip.name}")
