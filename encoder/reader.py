"""Reading one video: frames in order with their times, from any time on, in spite of damage.

The promise on which chunked encoding rests: the frames from a time on are exactly those that decoding the
whole file gives from that time on. A seek is trusted only when it is seen to land on a key-frame at or before
the wanted time; else an earlier place is tried, and in the end the start of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from types import TracebackType

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from encoder.containers import MAX_FRAME_PIXELS, check_file, choose_video_stream, open_container
from encoder.damage import DecodeWarning, note
from encoder.decoding import DecodingPass, TimedFrame
from encoder.hardware import OFF, accelerator
from encoder.scaling import DisplayMatrix, Image, display_matrix, frame_to_rgb
from hashreel.errors import BadInputError, DecodeError

__all__ = ["VideoReader"]

SEEK_MARGINS_MS = (0, 2_000, 15_000, 120_000)
"""How far before the wanted time a seek aims, attempt by attempt."""

# A frame of these is drawn over the ones before it, and their decoders keep that canvas across a seek.
CANVAS_CODECS = frozenset({"apng", "gif", "webp"})

# Program streams stamp only some frames; after a seek the first stamps are guesses until the next key-frame.
SPARSELY_STAMPED_FORMATS = frozenset({"mpeg"})


class VideoReader:
    """An opened video file. Use it as a context manager; one pass at a time.

    Args:
        path: The file.
        threads: Decoder threads, at least 1.
        warnings: The list that receives what was survived; a new one if left out.
        hardware: A kind of device that decodes where it can, such as "cuda"; see ``encoder.hardware``.

    Raises:
        DecodeError: If the file is empty, no video, or has no video stream.
        NotFoundError: If there is no such file.
        BadInputError: If ``threads`` is below 1.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int = 1,
        warnings: list[DecodeWarning] | None = None,
        hardware: str = OFF,
    ) -> None:
        if threads < 1:
            raise BadInputError(f"threads is {threads}; expected at least 1")
        self._path = check_file(path)
        self._threads = threads
        self._hardware = accelerator(hardware)
        self.warnings: list[DecodeWarning] = [] if warnings is None else warnings
        """What was survived so far, over all passes."""
        self._container, self.stream = self._open()
        self._is_fresh = True
        self._matrices: dict[int, DisplayMatrix | None] = {}

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

    def frames(self, start_ms: int = 0, *, keys_only: bool = False) -> Iterator[TimedFrame]:
        """Return the frames from the last key-frame at or before ``start_ms`` on, in order of time.

        After a decoding error the frames up to the next key-frame are left out; what happened is noted in
        ``warnings``. Only a video without a single clean frame gives its damaged ones.

        Args:
            start_ms: Frames before this time may come too (they had to be decoded); none after it is missing.
            keys_only: Only key-frames, and the first frame of the file; the rest is not even decoded.

        Raises:
            DecodeError: While iterating, if not one frame of the file can be decoded.
        """
        found = self.frames_by_seeking(start_ms, keys_only=keys_only) if start_ms > 0 else None
        return self._frames_from_the_start(keys_only) if found is None else found

    def frames_by_seeking(self, start_ms: int, *, keys_only: bool = False) -> Iterator[TimedFrame] | None:
        """Return what :meth:`frames` returns, or None where that time can only be reached from the start."""
        if self.stream.codec_context.name in CANVAS_CODECS:
            return None
        for margin in SEEK_MARGINS_MS:
            if margin and margin >= start_ms:
                return None
            found = self._try_seek(start_ms - margin, start_ms, keys_only)
            if found is not None:
                return found
        return None

    def to_rgb(self, frame: av.VideoFrame, short_side: int | None = None) -> Image:
        """Return a frame of this file as it is to be shown: uint8 [h, w, 3] RGB, square pixels, upright.

        Args:
            frame: A frame that :meth:`frames` gave.
            short_side: Length of the shorter side in pixels, or None for the frame's own size.

        Raises:
            av.FFmpegError: If swscale has no conversion from the frame's format.
        """
        angle = frame.rotation
        if angle not in self._matrices:
            self._matrices[angle] = display_matrix(frame)
        return frame_to_rgb(frame, self.pixel_aspect, short_side, self._matrices[angle])

    def _try_seek(self, target_ms: int, start_ms: int, keys_only: bool) -> Iterator[TimedFrame] | None:
        self._is_fresh = False
        keys_awaited = 2 if self._container.format.name in SPARSELY_STAMPED_FORMATS else 1
        decoding = DecodingPass(self._container, self.stream, keys_awaited=keys_awaited)
        decoding.keys_only = keys_only
        try:
            self._container.seek(decoding.timeline.to_stamp(target_ms), stream=self.stream)
        except av.FFmpegError:
            return None
        frames = decoding.frames(first_by_ms=start_ms)
        first = next(frames, None)
        if first is None or first.time_ms > start_ms or decoding.timeline.is_counting:
            return None
        decoding.report_to(self.warnings)
        return chain((first,), frames)

    def _frames_from_the_start(self, keys_only: bool) -> Iterator[TimedFrame]:
        failures: list[DecodeWarning] = []
        for is_tolerant in (False, True):
            self._rewind()
            decoding = DecodingPass(self._container, self.stream, is_tolerant=is_tolerant)
            frames = decoding.frames()
            first = next(frames, None)
            if first is not None:
                decoding.report_to(self.warnings)
                # Without time stamps every frame counts, and has to be decoded to be counted.
                decoding.keys_only = keys_only and not decoding.timeline.is_counting
                yield first
                yield from (timed for timed in frames if not keys_only or timed.frame.key_frame)
                return
            failures = decoding.warnings
        note(self.warnings, failures)
        reason = f" ({failures[0].reason})" if failures else ""
        raise DecodeError(f"{self.name}: not a single frame could be decoded{reason}")

    def _rewind(self) -> None:
        # Opening again is sure to give the state in which the whole file is decoded; seeking to 0 is not.
        if not self._is_fresh:
            self._container.close()
            self._container, self.stream = self._open()
        self._is_fresh = False

    def _open(self) -> tuple[InputContainer, VideoStream]:
        container = open_container(self._path, self._hardware)
        try:
            stream = choose_video_stream(container, self._path.name)
        except DecodeError:
            container.close()
            raise
        context = stream.codec_context
        context.thread_type = "AUTO" if self._threads > 1 else "NONE"
        context.thread_count = self._threads
        context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        return container, stream
