"""Time stamps of decoded frames, in milliseconds since the start of the stream."""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.stream import VideoStream

from encoder.containers import frame_rate_of

__all__ = ["LONGEST_STEP_BACK_MS", "Timeline"]

LONGEST_STEP_BACK_MS = 1000
"""A stamp that lies further back than this starts a new stretch (files joined end to end); less is jitter."""

LONGEST_GAP_MS = 24 * 3600 * 1000
"""A stamp that lies further ahead than this is damaged."""

FALLBACK_RATE = 25.0


class Timeline:
    """Gives each frame of one pass its time: whole milliseconds, never decreasing, 0 at the stream's start.

    A frame's presentation stamp decides, else its decoding stamp, else the frames are counted at the stream's
    rate. Small steps back are levelled; after a large one, or one ahead that cannot be, time goes on from
    where it was.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._time_base = stream.time_base or Fraction(1, 1000)
        self._origin = stream.start_time or 0
        self._has_stamps = not _guesses_stamps(stream)
        self._frame_ms = 1000.0 / (frame_rate_of(stream) or FALLBACK_RATE)
        self._last: int | None = None
        self._shift = 0
        self._counted_from = 0.0
        self.jumps = 0
        """How many such steps were met."""
        self.is_counting = False
        """True once a frame without any stamp was met: its time is right only if all before it were seen."""

    def time_of(self, frame: av.VideoFrame) -> int:
        """Return the time of the next frame, in the order in which the decoder gives them."""
        stamp = frame.pts if frame.pts is not None else frame.dts
        if not self._has_stamps:
            stamp = None
        time = self._count() if stamp is None else self._from_stamp(stamp)
        self._last = max(time, self._last or 0)
        return self._last

    def to_stamp(self, time_ms: int) -> int:
        """Return the stream's stamp at a time in milliseconds, rounded down."""
        return self._origin + (time_ms * self._time_base.denominator) // (1000 * self._time_base.numerator)

    def _from_stamp(self, stamp: int) -> int:
        exact = (stamp - self._origin) * self._time_base * 1000
        time = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator) + self._shift
        if self._last is not None and not -LONGEST_STEP_BACK_MS <= time - self._last <= LONGEST_GAP_MS:
            self.jumps += 1
            step = round(self._last + self._frame_ms) - time
            self._shift += step
            time += step
        self._counted_from = float(time)
        return time

    def _count(self) -> int:
        self.is_counting = True
        self._counted_from += self._frame_ms if self._last is not None else 0.0
        return round(self._counted_from)


def _guesses_stamps(stream: VideoStream) -> bool:
    """Whether FFmpeg makes up the presentation stamps: AVI has none, and with reordered H.264 they come out wrong."""
    context = stream.codec_context
    return stream.container.format.name == "avi" and context.name in ("h264", "hevc") and bool(context.has_b_frames)
