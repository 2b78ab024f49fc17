"""Key-frames of a video file: what a source is, and the frames of it that get a code.

All times are whole milliseconds since the start of the video stream. The same file and policy give
byte-identical frames, whole or in pieces.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av

from encoder.containers import plain_reason
from encoder.damage import DecodeWarning, note
from encoder.decoding import TimedFrame
from encoder.hardware import OFF, check_hardware, hardware_first
from encoder.policies import CodecKeyFrames, Every, Policy, Scenes, parse_policy
from encoder.probing import VideoInfo, probe
from encoder.reader import VideoReader
from encoder.scaling import Image
from hashreel.errors import BadInputError, DecodeError

__all__ = [
    "CodecKeyFrames",
    "DecodeWarning",
    "Every",
    "KeyFrame",
    "Policy",
    "Scenes",
    "VideoInfo",
    "grab_frame",
    "iter_key_frames",
    "parse_policy",
    "probe",
]

Convert = Callable[[TimedFrame], "KeyFrame | None"]

SHORT_GOPS = 2
"""So many codec key-frames inside one step make a seek for every step cheaper than decoding through; with one, the two
cost about the same (``python -m benchmarks.sampling``)."""


@dataclass(frozen=True, slots=True, eq=False)
class KeyFrame:
    """One frame that gets a code.

    Args:
        time_ms: When it is first shown, in ms since the start of the video stream.
        image: uint8 [h, w, 3] RGB, upright, square pixels.
    """

    time_ms: int
    image: Image


@dataclass(frozen=True, slots=True)
class _Window:
    start_ms: int
    end_ms: int | None

    def is_past(self, time_ms: int) -> bool:
        return self.end_ms is not None and time_ms >= self.end_ms


def iter_key_frames(
    path: str | os.PathLike[str],
    policy: Policy,
    *,
    start_ms: int = 0,
    end_ms: int | None = None,
    short_side: int | None = None,
    threads: int = 1,
    warnings: list[DecodeWarning] | None = None,
    hardware: str = OFF,
) -> Iterator[KeyFrame]:
    """Return the key-frames of a video with start_ms <= time < end_ms, in order of time.

    For ``Every`` and ``CodecKeyFrames`` the frames of adjoining ranges are together those of the whole, at
    any border. For ``Scenes`` a border acts as a cut, so a video is best done in one piece. Over the whole
    range every policy gives at least one frame.

    Args:
        path: A video file on this machine.
        policy: Which frames.
        start_ms: Start of the range, at least 0.
        end_ms: End of the range (not in it), or None for the end of the video.
        short_side: Length in pixels to which the shorter side is scaled, or None for the frame's own size.
        threads: Decoder threads, at least 1.
        warnings: A list that receives what was survived, up to the frame that was got last.
        hardware: A kind of device that decodes where it can and there is one, such as "cuda"; the frames are the same.

    Returns:
        An iterator; frames are decoded as it goes on, and no more than a few are in memory at a time.

    Raises:
        BadInputError: At once, if an argument is out of range.
        DecodeError: While iterating, if the file is no video or not one frame of it can be decoded.
        NotFoundError: While iterating, if there is no such file.
    """
    if start_ms < 0 or (end_ms is not None and end_ms < start_ms):
        raise BadInputError(f"time range is [{start_ms}, {end_ms}) ms; expected 0 <= start <= end")
    if short_side is not None and short_side < 1:
        raise BadInputError(f"short_side is {short_side}; expected at least 1")
    if threads < 1:
        raise BadInputError(f"threads is {threads}; expected at least 1")
    check_hardware(hardware)
    window = _Window(start_ms, end_ms)
    if hardware == OFF:
        return _iterate(path, policy, window, short_side, threads, warnings, OFF)

    def decode(device: str, found: list[DecodeWarning]) -> Iterator[KeyFrame]:
        return _iterate(path, policy, window, short_side, threads, found, device)

    return hardware_first(decode, hardware, [] if warnings is None else warnings)


def grab_frame(path: str | os.PathLike[str], time_ms: int, short_side: int | None = None) -> KeyFrame:
    """Return the frame that is shown at a time: the last one with its time <= ``time_ms``, or the first.

    Args:
        path: A video file on this machine.
        time_ms: At least 0; past the end gives the last frame.
        short_side: As for :func:`iter_key_frames`.

    Raises:
        BadInputError: If ``time_ms`` or ``short_side`` is out of range.
        DecodeError: If the file is no video or not one frame of it can be decoded.
        NotFoundError: If there is no such file.
    """
    if time_ms < 0:
        raise BadInputError(f"time_ms is {time_ms}; expected at least 0")
    with VideoReader(path) as reader:
        frames = reader.frames(time_ms)
        shown = next(frames)
        for timed in frames:
            if timed.time_ms > time_ms:
                break
            shown = timed
        try:
            image = reader.to_rgb(shown.frame, short_side)
        except av.FFmpegError as exc:
            raise DecodeError(f"{reader.name}: the frame cannot be turned into RGB ({plain_reason(exc)})") from exc
        return KeyFrame(shown.time_ms, image)


def _iterate(
    path: str | os.PathLike[str],
    policy: Policy,
    window: _Window,
    short_side: int | None,
    threads: int,
    warnings: list[DecodeWarning] | None,
    hardware: str,
) -> Iterator[KeyFrame]:
    with VideoReader(path, threads=threads, warnings=warnings, hardware=hardware) as reader:

        def convert(timed: TimedFrame) -> KeyFrame | None:
            try:
                return KeyFrame(timed.time_ms, reader.to_rgb(timed.frame, short_side))
            except av.FFmpegError as exc:
                note(reader.warnings, [DecodeWarning("convert", plain_reason(exc), timed.time_ms)])
                return None

        match policy:
            case Every():
                yield from _every(reader, policy, window, convert)
            case CodecKeyFrames():
                yield from _codec_key_frames(reader, window, convert)
            case Scenes():
                # PySceneDetect brings OpenCV: a heavy import that the other policies do without.
                from encoder.scenes import iter_shots

                yield from iter_shots(_inside(reader.frames(window.start_ms), window), policy, convert)


def _inside(frames: Iterator[TimedFrame], window: _Window) -> Iterator[TimedFrame]:
    for timed in frames:
        if window.is_past(timed.time_ms):
            return
        if timed.time_ms >= window.start_ms:
            yield timed


def _codec_key_frames(reader: VideoReader, window: _Window, convert: Convert) -> Iterator[KeyFrame]:
    for timed in _inside(reader.frames(window.start_ms, keys_only=True), window):
        key_frame = convert(timed)
        if key_frame is not None:
            yield key_frame


def _every(reader: VideoReader, policy: Every, window: _Window, convert: Convert) -> Iterator[KeyFrame]:
    """Yield the first frame of every cell, decoding through while that is cheaper than a seek for each."""
    step_ms = policy.step_ms
    # Cells are looked at from their beginning, so that a border inside one does not give it two frames.
    done = window.start_ms // step_ms - 1
    frames = reader.frames((done + 1) * step_ms)
    num_keys, does_jump, may_jump = 0, False, True
    while True:
        for timed in frames:
            if window.is_past(timed.time_ms):
                return
            if timed.time_ms // step_ms <= done:
                num_keys += timed.frame.key_frame
                if may_jump and not does_jump and num_keys >= SHORT_GOPS:
                    does_jump = True
                    break
                continue
            key_frame = convert(timed)
            if key_frame is None:
                continue
            done = timed.time_ms // step_ms
            if timed.time_ms >= window.start_ms:
                yield key_frame
            if window.is_past((done + 1) * step_ms):
                return
            does_jump = may_jump and (does_jump or num_keys >= SHORT_GOPS)
            num_keys = 0
            if does_jump:
                break
        else:
            return
        jumped = reader.frames_by_seeking((done + 1) * step_ms)
        may_jump = jumped is not None
        frames = jumped if jumped is not None else reader.frames((done + 1) * step_ms)
