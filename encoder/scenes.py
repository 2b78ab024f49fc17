"""Shots of a video: cuts found by PySceneDetect in our own decoded frames, one frame a shot from its middle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from scenedetect.common import FrameTimecode, Timecode
from scenedetect.detectors import AdaptiveDetector

from encoder.decoding import TimedFrame
from encoder.policies import Scenes
from encoder.scaling import frame_to_rgb, resize

if TYPE_CHECKING:
    from encoder.video import KeyFrame

__all__ = ["MAX_CANDIDATES", "SHORTEST_SHOT_S", "iter_shots"]

Convert = Callable[[TimedFrame], "KeyFrame | None"]

SHORTEST_SHOT_S = 0.4
"""A cut that follows the last one sooner is a flash, not a shot."""

MAX_CANDIDATES = 6
"""Frames kept while a shot lasts, so that one near its middle is at hand when it ends."""

DETECTOR_SIZE = (160, 90)
"""(width, height) of the pictures that are compared: always the same, since a film may change its size."""

# The detector compares a frame's change with that of so many frames on each side, and so tells of a cut late.
WINDOW = 2

# Below this mean change of hue, saturation and brightness (0 to 255) nothing is a cut.
LEAST_CHANGE = 15.0

# The detector wants a rate to name frames by number; all its decisions are made on the time stamps.
NOMINAL_RATE = Fraction(25)


def iter_shots(frames: Iterator[TimedFrame], policy: Scenes, convert: Convert) -> Iterator[KeyFrame]:
    """Yield one frame a shot, in order of time; a shot ends at a cut, at its greatest length or with the video.

    Args:
        frames: All frames of the range.
        policy: Threshold and the length at which a shot is divided.
        convert: Turns a decoded frame into a key-frame, or gives None where the pixels cannot be had.
    """
    detector = AdaptiveDetector(
        adaptive_threshold=policy.threshold,
        min_scene_len=SHORTEST_SHOT_S,
        window_width=WINDOW,
        min_content_val=LEAST_CHANGE,
    )
    shots = _Shots(round(policy.longest_s * 1000), convert)
    undecided: deque[TimedFrame] = deque()
    for timed in frames:
        undecided.append(timed)
        for cut_ms in _cuts(detector, timed):
            while undecided[0].time_ms < cut_ms:
                yield from shots.add(undecided.popleft())
            yield from shots.cut(cut_ms)
        if len(undecided) > WINDOW:
            yield from shots.add(undecided.popleft())
    for timed in undecided:
        yield from shots.add(timed)
    yield from shots.cut(None)


def _cuts(detector: AdaptiveDetector, timed: TimedFrame) -> list[int]:
    """Return the times in ms of the frames that are now known to begin a shot: none, or one of the last few."""
    try:
        rgb = resize(frame_to_rgb(timed.frame, short_side=min(DETECTOR_SIZE)), *DETECTOR_SIZE)
    except av.FFmpegError:
        return []
    time = FrameTimecode(Timecode(timed.time_ms, Fraction(1, 1000)), fps=NOMINAL_RATE)
    cuts = detector.process_frame(time, np.ascontiguousarray(rgb[..., ::-1]))
    return [round(cut.seconds * 1000) for cut in cuts]


class _Shots:
    """Collects frames into shots."""

    def __init__(self, longest_ms: int, convert: Convert) -> None:
        self._longest_ms = longest_ms
        self._convert = convert
        self._shot: _Shot | None = None

    def add(self, timed: TimedFrame) -> Iterator[KeyFrame]:
        """Add the next frame; yield the frame of a shot that has reached its greatest length."""
        if self._shot is not None and timed.time_ms - self._shot.start_ms >= self._longest_ms:
            yield from self.cut(timed.time_ms)
        if self._shot is None:
            self._shot = _Shot(timed.time_ms, timed.time_ms)
        self._shot.offer(timed, self._convert)

    def cut(self, end_ms: int | None) -> Iterator[KeyFrame]:
        """End the shot at a time, or at its last frame, and yield its frame if there is one."""
        if self._shot is not None:
            chosen = self._shot.frame_nearest_to_middle(end_ms)
            if chosen is not None:
                yield chosen
        self._shot = None


@dataclass
class _Shot:
    """The shot that is going on, with a few of its frames around what may become its middle."""

    start_ms: int
    last_ms: int
    spacing_ms: int = 0
    candidates: list[KeyFrame] = field(default_factory=list)

    def offer(self, timed: TimedFrame, convert: Convert) -> None:
        """Take the frame as a candidate if it lies far enough from the one before."""
        self.last_ms = timed.time_ms
        if self.candidates and timed.time_ms - self.candidates[-1].time_ms < self.spacing_ms:
            return
        candidate = convert(timed)
        if candidate is None:
            return
        self.candidates.append(candidate)
        if len(self.candidates) > MAX_CANDIDATES:
            self._thin()

    def frame_nearest_to_middle(self, end_ms: int | None) -> KeyFrame | None:
        """Return the candidate nearest to the middle of [start, end), the earlier one of two as near."""
        middle = (self.start_ms + (self.last_ms if end_ms is None else end_ms)) / 2
        return min(self.candidates, key=lambda frame: (abs(frame.time_ms - middle), frame.time_ms), default=None)

    def _thin(self) -> None:
        # The middle only moves on: of the frames before it, none but the last can ever be the nearest.
        middle = (self.start_ms + self.last_ms) // 2
        first = max((i for i, frame in enumerate(self.candidates) if frame.time_ms <= middle), default=0)
        self.spacing_ms = max(self.spacing_ms, (self.last_ms - self.start_ms) // (MAX_CANDIDATES + 2))
        kept = self.candidates[first : first + 1]
        for frame in self.candidates[first + 1 :]:
            if frame.time_ms - kept[-1].time_ms >= self.spacing_ms:
                kept.append(frame)
        self.candidates = kept
