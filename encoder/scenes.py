"""Shots of a video: cuts found by PySceneDetect in our own decoded frames, one frame a shot from its middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detector import FlashFilter
from scenedetect.detectors import ContentDetector

from encoder.policies import Scenes
from encoder.reader import TimedFrame
from encoder.scaling import frame_to_rgb

if TYPE_CHECKING:
    from encoder.video import KeyFrame

__all__ = ["MAX_CANDIDATES", "SHORTEST_SHOT_S", "iter_shots"]

SHORTEST_SHOT_S = 0.4
"""A cut that follows the last one sooner is a flash, not a shot."""

MAX_CANDIDATES = 6
"""Frames kept while a shot lasts, so that one near its middle is at hand when it ends."""

DETECTOR_SHORT_SIDE = 90

# The detector wants a rate to name frames by number; all its decisions are made on the time stamps.
NOMINAL_RATE = Fraction(25)


def iter_shots(
    frames: Iterator[TimedFrame], policy: Scenes, convert: Callable[[TimedFrame], KeyFrame | None]
) -> Iterator[KeyFrame]:
    """Yield one frame a shot, in order of time; a shot ends at a cut, at its greatest length or with the video.

    Args:
        frames: All frames of the range.
        policy: Threshold and the length at which a shot is divided.
        convert: Turns a decoded frame into a key-frame, or gives None where the pixels cannot be had.
    """
    detector = ContentDetector(
        threshold=policy.threshold,
        min_scene_len=SHORTEST_SHOT_S,
        filter_mode=FlashFilter.Mode.SUPPRESS,
    )
    longest_ms = round(policy.longest_s * 1000)
    shot: _Shot | None = None
    last_ms = 0
    for timed in frames:
        last_ms = timed.time_ms
        is_cut = _is_cut(detector, timed)
        if shot is not None and (is_cut or timed.time_ms - shot.start_ms >= longest_ms):
            yield from shot.close(timed.time_ms)
            shot = None
        if shot is None:
            shot = _Shot(timed.time_ms, [], 0)
        shot.offer(timed, convert)
    if shot is not None:
        yield from shot.close(last_ms)


@dataclass
class _Shot:
    """The shot that is going on, with a few of its frames around what may become its middle."""

    start_ms: int
    candidates: list[KeyFrame]
    spacing_ms: int

    def offer(self, timed: TimedFrame, convert: Callable[[TimedFrame], KeyFrame | None]) -> None:
        """Take the frame as a candidate if it lies far enough from the one before."""
        if self.candidates and timed.time_ms - self.candidates[-1].time_ms < self.spacing_ms:
            return
        candidate = convert(timed)
        if candidate is None:
            return
        self.candidates.append(candidate)
        if len(self.candidates) > MAX_CANDIDATES:
            self._thin(timed.time_ms)

    def _thin(self, now_ms: int) -> None:
        # The middle only moves on: of the frames before it, none but the last can ever be the nearest.
        middle = (self.start_ms + now_ms) // 2
        first = max((i for i, frame in enumerate(self.candidates) if frame.time_ms <= middle), default=0)
        self.spacing_ms = max(self.spacing_ms, (now_ms - self.start_ms) // (MAX_CANDIDATES + 2))
        kept = self.candidates[first : first + 1]
        for frame in self.candidates[first + 1 :]:
            if frame.time_ms - kept[-1].time_ms >= self.spacing_ms:
                kept.append(frame)
        self.candidates = kept

    def close(self, end_ms: int) -> Iterator[KeyFrame]:
        """Yield the candidate nearest to the middle of [start, end), if there is any."""
        middle = (self.start_ms + end_ms) / 2
        if self.candidates:
            yield min(self.candidates, key=lambda frame: (abs(frame.time_ms - middle), frame.time_ms))


def _is_cut(detector: ContentDetector, timed: TimedFrame) -> bool:
    rgb = frame_to_rgb(timed.frame, None, DETECTOR_SHORT_SIDE)
    time = FrameTimecode(Timecode(timed.time_ms, Fraction(1, 1000)), fps=NOMINAL_RATE)
    return bool(detector.process_frame(time, np.ascontiguousarray(rgb[..., ::-1])))
