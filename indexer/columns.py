"""What a searcher keeps in memory about each video: source, tags, and the times of its frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import NotFoundError
from indexer.chunks import chunk_base, split_frame_id, video_range
from indexer.ranges import all_but, intersect_ranges
from indexer.records import VideoRecord

__all__ = ["Column", "Columns", "Filter"]


@dataclass
class Column:
    """One video: its source, tags, and for each chunk the uint32 times of its frames in ms."""

    source: str
    tags: dict[str, str]
    times: dict[int, NDArray[np.uint32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """Which frames a query may return; None means all.

    Attributes:
        videos: Numbers of the videos.
        tags: Tags that a video must have, all of them; of several values of one tag, any.
        between_ms: Start (inclusive) and end (exclusive) of the frames' times.
        exclude_video: A video that is left out.
        exclude_frame: A frame that is left out.
    """

    videos: Collection[int] | None = None
    tags: Mapping[str, str | Sequence[str]] | None = None
    between_ms: tuple[int, int] | None = None
    exclude_video: int | None = None
    exclude_frame: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything pass."""
        return self == Filter()


class Columns:
    """The per-video columns of a gallery."""

    def __init__(self) -> None:
        self.videos: dict[int, Column] = {}

    def add(self, record: VideoRecord, chunk: int, times_ms: NDArray[np.uint32]) -> None:
        """Add a chunk of a video."""
        column = self.videos.get(record.id)
        if column is None:
            column = self.videos[record.id] = Column(record.source, record.tags)
        column.times[chunk] = times_ms

    def has_chunk(self, video: int, chunk: int) -> bool:
        """Return whether a chunk is here."""
        column = self.videos.get(video)
        return column is not None and chunk in column.times

    def drop(self, video: int) -> bool:
        """Forget a video; return whether it was here."""
        return self.videos.pop(video, None) is not None

    def time_ms(self, frame: int) -> int:
        """Return the time of a frame; NotFoundError if it is not in the gallery."""
        video, chunk, index = split_frame_id(frame)
        column = self.videos.get(video)
        times = column.times.get(chunk) if column else None
        if times is None or index >= len(times):
            raise NotFoundError(f"frame {frame} is not in the gallery")
        return int(times[index])

    def allowed(self, filter_: Filter) -> NDArray[np.int64] | None:
        """Return the ids that pass a filter as half-open ranges, int64 [m, 2]; None for all."""
        if filter_.is_empty:
            return None
        allowed = self._by_video(filter_)
        if filter_.exclude_frame is not None:
            rest = all_but(np.array([[filter_.exclude_frame, filter_.exclude_frame + 1]], np.int64))
            return rest if allowed is None else intersect_ranges(allowed, rest)
        return allowed

    def _by_video(self, filter_: Filter) -> NDArray[np.int64] | None:
        if filter_ == Filter(exclude_frame=filter_.exclude_frame):
            return None
        ranges: list[tuple[int, int]] = []
        for video in self._candidates(filter_):
            if filter_.between_ms is None:
                ranges.append(video_range(video))
            else:
                ranges.extend(self._stretches(video, filter_.between_ms))
        return np.array(ranges, dtype=np.int64).reshape(-1, 2)

    def _candidates(self, filter_: Filter) -> list[int]:
        pool = self.videos if filter_.videos is None else set(filter_.videos) & self.videos.keys()
        wanted = [(name, {v} if isinstance(v, str) else set(v)) for name, v in (filter_.tags or {}).items()]
        return sorted(
            video
            for video in pool
            if video != filter_.exclude_video
            and all(self.videos[video].tags.get(name) in values for name, values in wanted)
        )

    def _stretches(self, video: int, between_ms: tuple[int, int]) -> list[tuple[int, int]]:
        stretches = []
        for chunk, times in sorted(self.videos[video].times.items()):
            first, end = np.searchsorted(times, between_ms)
            if first < end:
                base = chunk_base(video, chunk)
                stretches.append((base + int(first), base + int(end)))
        return stretches
