"""Generated clips: seeded, painted films for tests, demonstrations and distractors. No data set is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from encoder.scenery import SCENES, Scene
from hashreel.errors import BadInputError

__all__ = ["Shot", "generate_clip"]


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot of a generated clip.

    Args:
        start_ms: Time of its first frame in ms.
        end_ms: Time at which the next shot begins, or the clip ends.
        description: The kind of scene, such as "hills".
    """

    start_ms: int
    end_ms: int
    description: str


def generate_clip(
    path: str | os.PathLike[str],
    seed: int,
    seconds: float = 8.0,
    size: tuple[int, int] = (320, 180),
    fps: int = 12,
    shots: int = 3,
    codec: str = "libx264",
    gop: int | None = None,
) -> list[Shot]:
    """Write a clip of painted, moving scenes and return its shots, which are equally long.

    The same arguments give the same bytes on one machine and with one version of the libraries; another seed
    gives other scenes, colours and movements. The shots of a clip are of different kinds (up to 12).

    Args:
        path: File to write; its suffix chooses the container (mp4, mkv, webm, avi, ts, ...).
        seed: At least 0.
        seconds: Length, at most 3600.
        size: (width, height) in pixels, both even, 16 to 4096.
        fps: Frames per second, 1 to 120.
        shots: Number of shots, at least 1, each at least one frame long.
        codec: FFmpeg's name of an encoder that takes yuv420p.
        gop: Frames from one codec key-frame to the next, exactly; None leaves it to the encoder.

    Raises:
        BadInputError: If an argument is out of range or FFmpeg has no such encoder or container.
    """
    num_frames = _check(seed, seconds, size, fps, shots)
    borders = [num_frames * shot // shots for shot in range(shots + 1)]
    scenes = _choose_scenes(seed, shots, size)
    try:
        _write(path, _paint(scenes, borders, fps), size, fps, codec, gop)
    except (av.FFmpegError, ValueError) as exc:
        raise BadInputError(f"no clip can be written to {os.path.basename(path)} with {codec}: {exc}") from exc
    times = [(2000 * border + fps) // (2 * fps) for border in borders]
    return [Shot(times[i], times[i + 1], scene.name) for i, scene in enumerate(scenes)]


def _check(seed: int, seconds: float, size: tuple[int, int], fps: int, shots: int) -> int:
    """Return the number of frames."""
    if seed < 0:
        raise BadInputError(f"seed is {seed}; expected at least 0")
    if not 1 <= fps <= 120:
        raise BadInputError(f"fps is {fps}; accepted: 1 to 120")
    if any(side % 2 or not 16 <= side <= 4096 for side in size):
        raise BadInputError(f"size is {size}; expected even sides from 16 to 4096")
    num_frames = round(seconds * fps) if 0 < seconds <= 3600 else 0
    if not 1 <= shots <= num_frames:
        raise BadInputError(
            f"{shots} shots in {seconds} s at {fps} frames per second; expected 1 frame or more a shot, 3600 s or less"
        )
    return num_frames


def _choose_scenes(seed: int, shots: int, size: tuple[int, int]) -> list[Scene]:
    order = np.random.default_rng(seed).permutation(len(SCENES))
    return [SCENES[order[shot % len(SCENES)]](np.random.default_rng([seed, shot]), *size) for shot in range(shots)]


def _paint(scenes: list[Scene], borders: list[int], fps: int) -> Iterator[NDArray[np.uint8]]:
    for scene, first, last in zip(scenes, borders, borders[1:], strict=False):
        for frame in range(first, last):
            yield scene.paint((frame - first) / fps)


def _write(
    path: str | os.PathLike[str],
    images: Iterator[NDArray[np.uint8]],
    size: tuple[int, int],
    fps: int,
    codec: str,
    gop: int | None,
) -> None:
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        if not isinstance(stream, VideoStream):
            raise BadInputError(f"{codec} is not an encoder of video")
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        # More threads would divide the pictures in other places, by the number of cores.
        stream.codec_context.thread_count = 1
        stream.options = _encoder_options(codec, gop)
        if gop is not None:
            stream.codec_context.gop_size = gop
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _encoder_options(codec: str, gop: int | None) -> dict[str, object]:
    if codec != "libx264":
        return {}
    fixed: dict[str, object] = {} if gop is None else {"keyint_min": str(gop), "sc_threshold": "0"}
    # x264's macroblock tree reads memory that it never wrote: with it, equal pictures give differing bytes.
    return {"preset": "veryfast", "crf": "21", "mbtree": "0", **fixed}
