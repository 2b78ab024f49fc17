"""Decoding one video: frames in order with their times, from any time on, in spite of damage.

The promise on which chunked encoding rests: the frames from a time on are exactly those that decoding the
whole file gives from that time on. A seek is trusted only when it is seen to land on a key-frame at or before
the wanted time; else an earlier place is tried, and in the end the start of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from types import TracebackType

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from encoder.containers import check_file, choose_video_stream, open_container, plain_reason
from encoder.damage import DecodeWarning, note
from encoder.timeline import Timeline
from hashreel.errors import BadInputError, DecodeError

__all__ = ["TimedFrame", "VideoReader"]

SEEK_MARGINS_MS = (0, 2_000, 15_000, 120_000)
"""How far before the wanted time a seek aims, attempt by attempt."""

MAX_READ_ERRORS = 16
"""So many failures to read on, one after another, end the video."""

# A frame of these is drawn over the ones before it, and their decoders keep that canvas across a seek.
CANVAS_CODECS = frozenset({"apng", "gif", "webp"})


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A decoded frame, in the decoder's own format, and its time in ms since the stream's start."""

    time_ms: int
    frame: av.VideoFrame


class VideoReader:
    """An opened video file. Use it as a context manager; one pass at a time.

    Args:
        path: The file.
        threads: Decoder threads, at least 1.
        warnings: The list that receives what was survived; a new one if left out.

    Raises:
        DecodeError: If the file is empty, no video, or has no video stream.
        NotFoundError: If there is no such file.
        BadInputError: If ``threads`` is below 1.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, threads: int = 1, warnings: list[DecodeWarning] | None = None
    ) -> None:
        if threads < 1:
            raise BadInputError(f"threads is {threads}; expected at least 1")
        self._path = check_file(path)
        self._threads = threads
        self.warnings: list[DecodeWarning] = [] if warnings is None else warnings
        """What was survived so far, over all passes."""
        self._container, self.stream = self._open()
        self._is_fresh = True

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self._path.name

    @property
    def container(self) -> InputContainer:
        """The opened container. It is replaced when a pass starts over from the beginning of the file."""
        return self._container

    @property
    def pixel_aspect(self) -> Fraction | None:
        """The stream's sample aspect ratio, or None."""
        return self.stream.sample_aspect_ratio

    def frames(self, start_ms: int = 0, *, only_keys: bool = False) -> Iterator[TimedFrame]:
        """Return the frames from the last key-frame at or before ``start_ms`` on, in order of time.

        After a decoding error the frames up to the next key-frame are left out, since they are drawn from
        the damaged one; what happened is noted in ``warnings``. Only a video without a single clean frame
        gives its damaged ones.

        Args:
            start_ms: Frames before this time may come too (they had to be decoded); none after it is missing.
            only_keys: Only key-frames, and the first frame of the file; the rest is not even decoded.

        Raises:
            DecodeError: If not one frame of the file can be decoded.
        """
        found = self.frames_by_seeking(start_ms, only_keys=only_keys) if start_ms > 0 else None
        if found is not None:
            return found
        return self._frames_from_the_start(only_keys)

    def frames_by_seeking(self, start_ms: int, *, only_keys: bool = False) -> Iterator[TimedFrame] | None:
        """Return what :meth:`frames` returns, or None where the file can only be decoded from its start."""
        if self.stream.codec_context.name in CANVAS_CODECS:
            return None
        for margin in SEEK_MARGINS_MS:
            if margin >= start_ms and margin:
                return None
            found = self._try_seek(start_ms - margin, start_ms, only_keys)
            if found is not None:
                return found
        return None

    def _try_seek(self, target_ms: int, start_ms: int, only_keys: bool) -> Iterator[TimedFrame] | None:
        self._is_fresh = False
        decoding = _Pass(self._container, self.stream, is_awaiting_key=True)
        try:
            self._container.seek(decoding.timeline.to_stamp(target_ms), stream=self.stream)
        except av.FFmpegError:
            return None
        self.stream.codec_context.skip_frame = "NONKEY" if only_keys else "DEFAULT"
        frames = decoding.frames(first_by_ms=start_ms)
        first = next(frames, None)
        if first is None or first.time_ms > start_ms or decoding.timeline.is_counting:
            return None
        decoding.report_to(self.warnings)
        return _kept(chain((first,), frames), only_keys)

    def _frames_from_the_start(self, only_keys: bool) -> Iterator[TimedFrame]:
        for is_tolerant in (False, True):
            decoding = self._rewind(is_tolerant)
            frames = decoding.frames()
            first = next(frames, None)
            if first is not None:
                # From here on: a decoder that starts by skipping would lose a first frame that is no key.
                self.stream.codec_context.skip_frame = "NONKEY" if only_keys else "DEFAULT"
                decoding.report_to(self.warnings)
                yield first
                yield from _kept(frames, only_keys)
                return
            failures = decoding.warnings
        note(self.warnings, failures)
        reason = f" ({failures[0].reason})" if failures else ""
        raise DecodeError(f"{self.name}: not a single frame could be decoded{reason}")

    def _rewind(self, is_tolerant: bool) -> _Pass:
        if not self._is_fresh:
            self._container.close()
            self._container, self.stream = self._open()
        self._is_fresh = False
        return _Pass(self._container, self.stream, is_tolerant=is_tolerant)

    def _open(self) -> tuple[InputContainer, VideoStream]:
        container = open_container(self._path)
        try:
            stream = choose_video_stream(container, self._path.name)
        except DecodeError:
            container.close()
            raise
        context = stream.codec_context
        context.thread_type = "AUTO" if self._threads > 1 else "NONE"
        context.thread_count = self._threads
        return container, stream


def _kept(frames: Iterator[TimedFrame], only_keys: bool) -> Iterator[TimedFrame]:
    # Decoders may ignore the wish to skip, and give what they held when it was made.
    return (timed for timed in frames if not only_keys or timed.frame.key_frame)


class _Pass:
    """One run of the decoder over the packets, with the state of what is damaged."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        *,
        is_awaiting_key: bool = False,
        is_tolerant: bool = False,
    ) -> None:
        self._container = container
        self._stream = stream
        self._is_awaiting_key = is_awaiting_key
        self._is_tolerant = is_tolerant
        self._damaged_from: int | None = None
        self.timeline = Timeline(stream)
        self.warnings: list[DecodeWarning] = []
        self._time_ms: int | None = None

    def report_to(self, warnings: list[DecodeWarning]) -> None:
        """Move the warnings so far to another list, and note later ones there."""
        note(warnings, self.warnings)
        self.warnings = warnings

    def frames(self, first_by_ms: int | None = None) -> Iterator[TimedFrame]:
        """Yield the clean frames; end at once if none was met up to ``first_by_ms``."""
        for packet in self._packets():
            for frame in self._decode(packet):
                self._time_ms = self._time_of(frame)
                if self._is_clean(frame):
                    first_by_ms = None
                    yield TimedFrame(self._time_ms, frame)
                elif first_by_ms is not None and self._time_ms > first_by_ms:
                    return

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        failures = 0
        while failures < MAX_READ_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except av.FFmpegError as exc:
                failures += 1
                self._damage("read", plain_reason(exc), None)
        yield None

    def _decode(self, packet: Packet[VideoStream] | None) -> list[av.VideoFrame]:
        try:
            return self._stream.codec_context.decode(packet)
        except av.EOFError:
            return []
        except av.FFmpegError as exc:
            self._damage("decode", plain_reason(exc), None if packet is None else packet.pts)
            return []

    def _is_clean(self, frame: av.VideoFrame) -> bool:
        if self._is_tolerant:
            return True
        if frame.is_corrupt:
            self._damage("decode", "a frame is marked as damaged", frame.pts)
            return False
        if self._is_awaiting_key and frame.key_frame and self._is_after_damage(frame):
            self._is_awaiting_key = False
        return not self._is_awaiting_key

    def _is_after_damage(self, frame: av.VideoFrame) -> bool:
        # Frames come out later than their packets go in: a key-frame may still be from before the damage.
        return self._damaged_from is None or frame.pts is None or frame.pts > self._damaged_from

    def _damage(self, stage: str, reason: str, stamp: int | None) -> None:
        self._is_awaiting_key = True
        self._damaged_from = stamp
        note(self.warnings, [DecodeWarning(stage, reason, self._time_ms)])

    def _time_of(self, frame: av.VideoFrame) -> int:
        jumps = self.timeline.jumps
        time_ms = self.timeline.time_of(frame)
        if self.timeline.jumps > jumps:
            note(self.warnings, [DecodeWarning("read", "time stamps start over; time is counted on", time_ms)])
        return time_ms
