"""What a searcher keeps in memory about each video: source, tags, and the times of its frames."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import NotFoundError
from indexer.chunks import chunk_base, split_frame_id, video_range
from indexer.ranges import all_but, intersect_ranges, ranges_of_ids
from indexer.records import VideoRecord

__all__ = ["Column", "Columns", "Filter", "Stretch", "concatenated"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The frames of one chunk: uint32 [n] times in ms and, of a model that predicts concepts, what is in them.

    Attributes:
        times_ms: uint32 [n], ascending.
        concepts: uint32 [n] masks, or None.
        areas: uint8 [n, C] levels (see ``indexer.areas``), or None.
    """

    times_ms: NDArray[np.uint32]
    concepts: NDArray[np.uint32] | None = None
    areas: NDArray[np.uint8] | None = None


def concatenated(
    stretches: Sequence[Stretch],
) -> tuple[NDArray[np.uint32], NDArray[np.uint32] | None, NDArray[np.uint8] | None]:
    """Return the times, concepts and areas of many stretches as three arrays.

    The latter two are None where the model predicts none; a chunk without them (an empty one) counts as zeros.
    """
    times = np.concatenate([np.empty(0, np.uint32), *(s.times_ms for s in stretches)])
    masks = levels = None
    if any(s.concepts is not None for s in stretches):
        parts = [np.zeros(len(s.times_ms), np.uint32) if s.concepts is None else s.concepts for s in stretches]
        masks = np.concatenate(parts)
    width = max((s.areas.shape[1] for s in stretches if s.areas is not None), default=0)
    if width:
        tables = [np.zeros((len(s.times_ms), width), np.uint8) if s.areas is None else s.areas for s in stretches]
        levels = np.concatenate(tables)
    return times, masks, levels


@dataclass(slots=True)
class Column:
    """One video: its source, its tags, and its frames by chunk."""

    source: str
    tags: dict[str, str]
    chunks: dict[int, Stretch] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """Which frames a query may return; None means all.

    Attributes:
        videos: Numbers of the videos.
        tags: Tags that a video must have, all of them; of several values of one tag, any.
        between_ms: Start (inclusive) and end (exclusive) of the frames' times.
        exclude_video: A video that is left out.
        exclude_frame: A frame that is left out.
        concepts: Mask of concepts that a frame must contain, all of them; 0 asks for none.
        least_level: Least level of area of each of these concepts, 1 to 15.
        without: int64 [m, 2], half-open ranges of frame ids that are left out.
    """

    videos: Collection[int] | None = None
    tags: Mapping[str, str | Sequence[str]] | None = None
    between_ms: tuple[int, int] | None = None
    exclude_video: int | None = None
    exclude_frame: int | None = None
    concepts: int = 0
    least_level: int = 1
    without: NDArray[np.int64] | None = field(default=None, compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything pass."""
        return self == Filter() and self.without is None


class Columns:
    """The per-video columns of a gallery."""

    def __init__(self) -> None:
        self.videos: dict[int, Column] = {}

    def add(self, record: VideoRecord, chunk: int, stretch: Stretch) -> None:
        """Add a chunk of a video."""
        column = self.videos.get(record.id)
        if column is None:
            column = self.videos[record.id] = Column(record.source, record.tags)
        column.chunks[chunk] = stretch

    def has_chunk(self, video: int, chunk: int) -> bool:
        """Return whether a chunk is here."""
        column = self.videos.get(video)
        return column is not None and chunk in column.chunks

    def count(self, video: int, chunk: int) -> int:
        """Return how many frames of a chunk are here."""
        column = self.videos.get(video)
        stretch = column.chunks.get(chunk) if column is not None else None
        return 0 if stretch is None else len(stretch.times_ms)

    def change(self, video: int, tags: dict[str, str] | None, source: str | None) -> None:
        """Set what is given of a video that is here."""
        column = self.videos[video]
        column.tags = column.tags if tags is None else tags
        column.source = column.source if source is None else source

    def drop(self, video: int) -> bool:
        """Forget a video; return whether it was here."""
        return self.videos.pop(video, None) is not None

    def holds(self, frame: int) -> bool:
        """Return whether a frame is in the gallery."""
        return self._find(frame) is not None

    def time_ms(self, frame: int) -> int:
        """Return the time of a frame; NotFoundError if it is not in the gallery."""
        stretch, index = self._place(frame)
        return int(stretch.times_ms[index])

    def areas(self, frame: int) -> NDArray[np.uint8] | None:
        """Return the levels of a frame's concept areas, uint8 [C]; None if the model predicts none."""
        stretch, index = self._place(frame)
        return None if stretch.areas is None else stretch.areas[index]

    def _place(self, frame: int) -> tuple[Stretch, int]:
        place = self._find(frame)
        if place is None:
            raise NotFoundError(f"frame {frame} is not in the gallery")
        return place

    def _find(self, frame: int) -> tuple[Stretch, int] | None:
        video, chunk, index = split_frame_id(frame)
        column = self.videos.get(video)
        stretch = column.chunks.get(chunk) if column else None
        return (stretch, index) if stretch is not None and index < len(stretch.times_ms) else None

    def allowed(self, filter_: Filter) -> NDArray[np.int64] | None:
        """Return the ids that pass a filter as half-open ranges, int64 [m, 2]; None for all."""
        if filter_.is_empty:
            return None
        allowed = self._by_video(filter_)
        own = filter_.exclude_frame
        for without in (None if own is None else np.array([[own, own + 1]], np.int64), filter_.without):
            if without is not None:
                rest = all_but(without)
                allowed = rest if allowed is None else intersect_ranges(allowed, rest)
        return allowed

    def _by_video(self, filter_: Filter) -> NDArray[np.int64] | None:
        if filter_ == Filter(exclude_frame=filter_.exclude_frame):
            return None
        ranges: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
        is_whole = filter_.between_ms is None and not filter_.concepts
        for video in self._candidates(filter_):
            if is_whole:
                ranges.append(np.array([video_range(video)], np.int64))
            else:
                ranges.extend(self._stretches(video, filter_))
        return np.concatenate(ranges)

    def _candidates(self, filter_: Filter) -> list[int]:
        pool = self.videos if filter_.videos is None else set(filter_.videos) & self.videos.keys()
        wanted = [(name, {v} if isinstance(v, str) else set(v)) for name, v in (filter_.tags or {}).items()]
        return sorted(
            video
            for video in pool
            if video != filter_.exclude_video
            and all(self.videos[video].tags.get(name) in values for name, values in wanted)
        )

    def _stretches(self, video: int, filter_: Filter) -> Iterator[NDArray[np.int64]]:
        """Yield the ranges of a video's frames that pass the filters on frames, int64 [m, 2] a chunk."""
        for chunk, stretch in sorted(self.videos[video].chunks.items()):
            first, end = 0, len(stretch.times_ms)
            if filter_.between_ms is not None:
                first, end = map(int, np.searchsorted(stretch.times_ms, filter_.between_ms))
            if first >= end:
                continue
            base = chunk_base(video, chunk)
            if filter_.concepts:
                rows = first + np.flatnonzero(_contains(stretch, filter_)[first:end])
                yield ranges_of_ids(base + rows)
            else:
                yield np.array([[base + first, base + end]], np.int64)


def _contains(stretch: Stretch, filter_: Filter) -> NDArray[np.bool_]:
    """Return which frames contain all the wanted concepts, bool [n]."""
    wanted = np.uint32(filter_.concepts)
    if stretch.concepts is None:
        return np.zeros(len(stretch.times_ms), np.bool_)
    has_all = (stretch.concepts & wanted) == wanted
    if filter_.least_level > 1 and stretch.areas is not None:
        columns = [c for c in range(stretch.areas.shape[1]) if filter_.concepts >> c & 1]
        has_all &= (stretch.areas[:, columns] >= filter_.least_level).all(axis=1)
    return np.asarray(has_all)
