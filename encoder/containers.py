"""Opening a video file: the checks before FFmpeg sees it, and the choice of the stream that is the video."""

from __future__ import annotations

import os
import stat
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from hashreel.errors import DecodeError, ForbiddenError, NotFoundError, UnavailableError

__all__ = ["MAX_FRAME_PIXELS", "check_file", "choose_video_stream", "frame_rate_of", "open_container", "plain_reason"]

# Formats that make FFmpeg open *other* files or addresses named inside the file, or that read no file at all.
INDIRECT_FORMATS = frozenset(
    {"concat", "dash", "hls", "image2", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp", "tty", "webm_dash_manifest"}
)

MAX_FRAME_PIXELS = 16_384 * 8_704
"""Frames with more pixels than the largest that H.265 knows are refused, before memory is taken for them."""

COVER = Disposition.attached_pic | Disposition.timed_thumbnails


def check_file(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` after checking that it is a readable file with something in it.

    Raises:
        NotFoundError: If there is no such file.
        ForbiddenError: If it may not be read.
        UnavailableError: If reading it fails in another way (a network file system that is away, say).
        DecodeError: If it is a folder, a device or empty.
    """
    file = Path(path)
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise DecodeError(f"{file.name}: this is a folder or a device, not a file")
        with file.open("rb") as stream:
            is_empty = not stream.read(1)
    except FileNotFoundError as exc:
        raise NotFoundError(f"{file.name}: there is no such file") from exc
    except PermissionError as exc:
        raise ForbiddenError(f"{file.name}: the file may not be read") from exc
    except OSError as exc:
        raise UnavailableError(f"{file.name}: the file cannot be read now: {exc.strerror or exc}") from exc
    if is_empty:
        raise DecodeError(f"{file.name}: the file is empty")
    return file


def open_container(path: str | os.PathLike[str], hardware: HWAccel | None = None) -> InputContainer:
    """Return the opened file. Only this file is read: play lists and the like are not followed.

    Args:
        path: The file.
        hardware: What decodes its streams where it can; None for the processor.

    Raises:
        DecodeError: If it is no video that FFmpeg knows, empty, or its name is not UTF-8.
        HashreelError: As :func:`check_file`.
    """
    file = check_file(path)
    try:
        os.fspath(file).encode()
    except UnicodeEncodeError as exc:
        raise DecodeError(f"{file.name!a}: the file's name is not UTF-8; rename it") from exc
    options = {"format_whitelist": _self_contained_formats(), "protocol_whitelist": "file"}
    try:
        # The prefix keeps a name like "http:clip.mp4" or "12:30.mp4" a file's name.
        container = av.open(f"file:{file}", container_options=options, metadata_errors="replace", hwaccel=hardware)
    except av.FFmpegError as exc:
        raise DecodeError(f"{file.name}: not a video file that can be read ({plain_reason(exc)})") from exc
    return container


def choose_video_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the stream that is the video: never a cover picture; the default one, then the largest.

    Raises:
        DecodeError: If there is none, or none with a known codec.
    """
    if not container.streams.video:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise DecodeError(f"{name}: there is no video stream in it (found: {found})")
    moving = [stream for stream in container.streams.video if not stream.disposition & COVER]
    if not moving:
        raise DecodeError(f"{name}: there is no video stream in it, only a cover picture")
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise DecodeError(f"{name}: no decoder is known for its video stream")
    return max(known, key=_preference)


def frame_rate_of(stream: VideoStream) -> float | None:
    """Return the stream's mean frame rate in frames per second, or None where the file does not tell."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate and Fraction(1, 3600) <= rate <= 10_000 else None


def plain_reason(error: av.FFmpegError) -> str:
    """Return what FFmpeg said, without its error numbers, file names and function names."""
    return (error.strerror or type(error).__name__).strip().rstrip(".").lower()


def _preference(stream: VideoStream) -> tuple[bool, int, int]:
    context = stream.codec_context
    return bool(stream.disposition & Disposition.default), context.width * context.height, -stream.index


@cache
def _self_contained_formats() -> str:
    return ",".join(sorted(av.formats_available - INDIRECT_FORMATS))
