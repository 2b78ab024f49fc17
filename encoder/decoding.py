"""One run of a decoder over a stream's packets: the clean frames, their times, and what was damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from encoder.containers import plain_reason
from encoder.damage import DecodeWarning, note
from encoder.timeline import Timeline

__all__ = ["DecodingPass", "TimedFrame"]

MAX_READ_ERRORS = 16
"""So many failures to read on, one after another, end the video."""


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A decoded frame, in the decoder's own format, and its time in ms since the stream's start."""

    time_ms: int
    frame: av.VideoFrame


class DecodingPass:
    """Decodes from where the container stands now.

    After an error the frames up to the next key-frame are left out: they are drawn from the damaged one.

    Args:
        container: The opened file.
        stream: Its video stream.
        keys_awaited: Frames before this many-th key-frame are left out too (after a seek).
        is_tolerant: Keep everything that the decoder gives.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, keys_awaited: int = 0, is_tolerant: bool = False
    ) -> None:
        self._container = container
        self._stream = stream
        self._keys_awaited = keys_awaited
        self._is_tolerant = is_tolerant
        self._damaged_from: int | None = None
        self._keys_since_damage: set[int | None] = set()
        self._holds_frames = True
        self._time_ms: int | None = None
        self.keys_only = False
        """Decode nothing but key-frames, from now on; may be set on the way."""
        self.timeline = Timeline(stream)
        self.warnings: list[DecodeWarning] = []

    def report_to(self, warnings: list[DecodeWarning]) -> None:
        """Move the warnings so far to another list, and note later ones there."""
        note(warnings, self.warnings)
        self.warnings = warnings

    def frames(self, first_by_ms: int | None = None) -> Iterator[TimedFrame]:
        """Yield the clean frames; end at once if none of them has come when ``first_by_ms`` is passed."""
        for packet in self._packets():
            for frame in self._decode_alone(packet) if self.keys_only else self._decode(packet):
                self._time_ms = self._time_of(frame)
                if self._is_clean(frame):
                    first_by_ms = None
                    yield TimedFrame(self._time_ms, frame)
                elif first_by_ms is not None and self._time_ms > first_by_ms:
                    return

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Yield the stream's packets, reading on after failures; the last one, or None, flushes the decoder."""
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
            except IndexError:
                # At the end PyAV trips over streams that damage made appear on the way.
                break
        yield None

    def _decode(self, packet: Packet[VideoStream] | None) -> list[av.VideoFrame]:
        if packet is not None and packet.is_corrupt:
            self._damage("read", "a packet is damaged or incomplete", packet.pts)
        elif packet is not None and packet.is_keyframe and self._keys_awaited:
            self._keys_since_damage.add(packet.pts)
        try:
            return self._stream.codec_context.decode(packet)
        except av.EOFError:
            return []
        except av.FFmpegError as exc:
            self._damage("decode", plain_reason(exc), None if packet is None else packet.pts)
            return []

    def _decode_alone(self, packet: Packet[VideoStream] | None) -> list[av.VideoFrame]:
        """Return the key-frame in the packet, if it holds one.

        The decoder is emptied before and after. Telling it to skip what is no key-frame would be simpler, but
        across open groups of pictures H.264's then loses frames and gives others in a wrong order.
        """
        frames = self._drain() if self._holds_frames else []
        self._holds_frames = False
        if packet is not None and packet.is_keyframe and packet.size:
            frames += self._decode(packet)
            frames += self._drain()
        return [frame for frame in frames if frame.key_frame]

    def _drain(self) -> list[av.VideoFrame]:
        frames = self._decode(None)
        self._stream.codec_context.flush_buffers()
        return frames

    def _is_clean(self, frame: av.VideoFrame) -> bool:
        if self._is_tolerant:
            return True
        if frame.is_corrupt:
            if not self._keys_awaited:
                self._damage("decode", "a frame is marked as damaged", frame.pts)
            return False
        if self._keys_awaited and frame.key_frame and self._is_after_damage(frame):
            self._keys_awaited -= 1
        return not self._keys_awaited

    def _is_after_damage(self, frame: av.VideoFrame) -> bool:
        # Frames come out later than their packets go in: a key-frame may still be from before the damage. And
        # stamps may start over, so that a later frame has a lower one.
        if self._damaged_from is None or frame.pts is None:
            return True
        return frame.pts > self._damaged_from or frame.pts in self._keys_since_damage

    def _damage(self, stage: str, reason: str, stamp: int | None) -> None:
        self._keys_awaited = max(self._keys_awaited, 1)
        self._damaged_from = stamp
        self._keys_since_damage.clear()
        note(self.warnings, [DecodeWarning(stage, reason, self._time_ms)])

    def _time_of(self, frame: av.VideoFrame) -> int:
        jumps = self.timeline.jumps
        time_ms = self.timeline.time_of(frame)
        if self.timeline.jumps > jumps:
            note(self.warnings, [DecodeWarning("read", "time stamps jump; time goes on from before the jump", time_ms)])
        return time_ms
