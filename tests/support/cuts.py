"""Cuts and variants of videos, made by re-encoding: what people do to a clip before they search with it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
TICKS = 90_000


def unchanged(picture: Picture) -> Picture:
    return picture


def grey(picture: Picture) -> Picture:
    return np.repeat(picture.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


def logo(picture: Picture) -> Picture:
    """A white sign with a dark rim in the upper right corner, a sixth of the picture's sides."""
    height, width = picture.shape[0] // 6, picture.shape[1] // 6
    marked = picture.copy()
    marked[height // 4 : height + height // 4, -width - width // 4 : -(width // 4)] = 30
    marked[height // 2 : height, -width : -(width // 2)] = 255
    return marked


def bars(picture: Picture) -> Picture:
    """Black above and below, a twelfth of the height each, over nothing: the picture grows."""
    add = picture.shape[0] // 12
    return np.pad(picture, ((add, add), (0, 0), (0, 0)))


def crop(picture: Picture) -> Picture:
    """The middle nine tenths of either side."""
    top, left = picture.shape[0] // 20, picture.shape[1] // 20
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


VARIANTS: dict[str, dict[str, object]] = {
    "grey": {"change": grey},
    "logo": {"change": logo},
    "bars": {"change": bars},
    "crop": {"change": crop},
    "half": {"scale": 0.5},
    "crf35": {"crf": 35},
}


def recut(
    source: Path,
    target: Path,
    *,
    start_s: float = 0.0,
    length_s: float = 1e9,
    speed: float = 1.0,
    scale: float = 1.0,
    crf: int = 23,
    change: Callable[[Picture], Picture] = unchanged,
) -> Path:
    """Write the frames of a stretch into another file, none dropped; ``speed`` shortens their times."""
    with av.open(str(source)) as into, av.open(str(target), "w") as out:
        stream = None
        for frame in into.decode(into.streams.video[0]):
            at = frame.time - start_s
            if at < -1e-6:
                continue
            if at >= length_s:
                break
            picture = change(frame.to_ndarray(format="rgb24"))
            if stream is None:
                stream = out.add_stream("libx264", rate=30, options={"crf": str(crf), "preset": "veryfast"})
                stream.height, stream.width = (max(16, int(side * scale) // 2 * 2) for side in picture.shape[:2])
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
                stream.codec_context.time_base = Fraction(1, TICKS)
            small = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            small = small.reformat(width=stream.width, height=stream.height, format="yuv420p")
            small.pts, small.time_base = round(at / speed * TICKS), Fraction(1, TICKS)
            out.mux(stream.encode(small))
        assert stream is not None, f"{source} has no frame there"
        out.mux(stream.encode())
    return target
