"""Clips of the encoder's tests: generated, small, each written once a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from encoder.clips import generate_clip
from encoder.scenery.landscapes import Hills, Sea

WIDTH, HEIGHT, FPS = 96, 64, 25
X264 = {"preset": "ultrafast", "mbtree": "0"}

WriteVideo = Callable[..., Path]


@cache
def film(num_frames: int) -> list[np.ndarray]:
    """Two shots, the cut in the middle; uint8 [64, 96, 3] each."""
    scenes = [kind(np.random.default_rng(3), WIDTH, HEIGHT) for kind in (Hills, Sea)]
    return [scenes[2 * i // num_frames].paint(i / FPS) for i in range(num_frames)]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 6 s, 12 frames a second, 3 shots, a codec key-frame each second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    generate_clip(path, seed=7, seconds=6, size=(160, 96), gop=12)
    return path


@pytest.fixture(scope="session")
def write_video(tmp_path_factory: pytest.TempPathFactory) -> WriteVideo:
    """A function that writes frames to a new file and returns its path."""
    folder = tmp_path_factory.mktemp("videos")

    def write(
        name: str,
        images: Sequence[np.ndarray] | None = None,
        *,
        times_ms: Sequence[int] | None = None,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        aspect: Fraction | None = None,
        prepare: Callable[[Any], None] | None = None,
        **options: str,
    ) -> Path:
        path = folder / name
        images = film(100) if images is None else images
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=FPS)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = pixels
            stream.codec_context.thread_count = 1
            stream.options = {**(X264 if codec == "libx264" else {}), **options}
            base = Fraction(1, FPS) if times_ms is None else Fraction(1, 1000)
            stream.codec_context.time_base = base
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            if prepare is not None:
                prepare(stream)
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index if times_ms is None else times_ms[index], base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write
