"""What a video file is: size, duration, codec. Cheap: one frame is decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from encoder.containers import choose_video_stream, frame_rate_of, open_container
from encoder.reader import VideoReader
from encoder.scaling import display_size

__all__ = ["VideoInfo", "key_frames_before", "probe"]

FALLBACK_RATE = 25.0

# Their stated duration is the time of the end, whenever the first frame comes.
COUNTING_FROM_ZERO = frozenset({"flv", "matroska,webm"})


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file is.

    Args:
        duration_ms: Length of the video stream in ms, at least 1. An estimate: headers may lie.
        width: Pixels as shown, after rotation and with square pixels.
        height: As ``width``.
        codec: FFmpeg's name of the decoder, such as "h264".
        frame_rate: Mean frames per second, or None where the file does not tell.
        rotation: Degrees clockwise by which frames are turned to be upright: 0, 90, 180 or 270.
        is_still: Whether it is a single picture.
    """

    duration_ms: int
    width: int
    height: int
    codec: str
    frame_rate: float | None
    rotation: int
    is_still: bool


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Return what the video file is, after decoding its first frame.

    Raises:
        DecodeError: If the file is empty, no video, without a video stream, or has no frame that can be
            decoded.
        NotFoundError: If there is no such file.
    """
    with VideoReader(path) as reader:
        frame = next(reader.frames()).frame
        rotation = round(-frame.rotation / 90) * 90 % 360
        width, height = display_size(frame.width, frame.height, reader.pixel_aspect)
        if rotation % 180:
            width, height = height, width
        return VideoInfo(
            duration_ms=_duration_ms(path, reader.container, reader.stream),
            width=width,
            height=height,
            codec=reader.stream.codec_context.name,
            frame_rate=frame_rate_of(reader.stream),
            rotation=rotation,
            is_still=_is_still(reader.container, reader.stream),
        )


def key_frames_before(path: str | os.PathLike[str], times_ms: Sequence[int]) -> list[int | None]:
    """Return the time in ms of the key-frame from which decoding can go on to each time; None where none is found.

    Args:
        path: A video file.
        times_ms: Ascending, each at least 1.
    """
    found: list[int | None] = []
    with VideoReader(path) as reader:
        for time_ms in times_ms:
            frames = reader.frames_by_seeking(time_ms, keys_only=True)
            first = next(frames, None) if frames is not None else None
            found.append(first.time_ms if first is not None and first.time_ms <= time_ms else None)
    return found


def _duration_ms(path: str | os.PathLike[str], container: InputContainer, stream: VideoStream) -> int:
    seconds = _stated_duration(container, stream)
    return max(1, round(1000 * (seconds if seconds is not None else _scanned_duration(path))))


def _stated_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration and stream.duration > 0 and stream.time_base:
        return stream.duration * stream.time_base
    if container.duration and container.duration > 0:
        whole = Fraction(container.duration, av.time_base)
        if stream.start_time is not None and container.start_time is not None and stream.time_base:
            # The span starts at 0 or with the container's earliest stream, ours may start later.
            counts_from_0 = container.format.name in COUNTING_FROM_ZERO
            whole -= stream.start_time * stream.time_base
            whole += 0 if counts_from_0 else Fraction(container.start_time, av.time_base)
        return whole if whole > 0 else None
    return None


def _scanned_duration(path: str | os.PathLike[str]) -> Fraction:
    """Return the duration in seconds from the time stamps of all packets; nothing is decoded."""
    num_packets = 0
    stamps: tuple[Fraction, Fraction] | None = None
    with open_container(path) as container:
        stream = choose_video_stream(container, os.path.basename(path))
        frame_s = 1 / Fraction(frame_rate_of(stream) or FALLBACK_RATE).limit_denominator(100_000)
        # A damaged end is no reason to fail here: what could be read is the estimate.
        with suppress(av.FFmpegError, IndexError):
            for packet in container.demux(stream):
                num_packets += bool(packet.size)
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and packet.time_base:
                    at = stamp * packet.time_base
                    stamps = (min(stamps[0], at), max(stamps[1], at)) if stamps else (at, at)
    if stamps is None or stamps[0] == stamps[1]:
        return num_packets * frame_s
    return stamps[1] - stamps[0] + frame_s


def _is_still(container: InputContainer, stream: VideoStream) -> bool:
    return container.format.name.endswith("_pipe") or stream.frames == 1
