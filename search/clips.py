"""Clip queries: a video file in; the stretches of indexed videos that it matches, aligned in time, out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from encoder.damage import DecodeWarning
from encoder.video import Every, iter_key_frames, probe
from hashreel.errors import DecodeError, TooLargeError
from hashreel.schemas import ClipAnswer, ClipOptions, ClipStretch, Position, Warn
from indexer.chunks import chunk_base, split_frame_id
from indexer.columns import Columns, Filter
from indexer.gallery import Gallery
from indexer.index import Index
from search.alignment import Clip, Match, Pairs, align, bars_of, pair_weights

if TYPE_CHECKING:
    from encoder.model import Model

__all__ = ["EncodedClip", "clip_answer", "encode_clip"]

NEIGHBOURS = 256
STEP_MS = 250
MAX_FRAMES = 240
BATCH = 32
LEAST_SCORE = 0.05


@dataclass(frozen=True)
class EncodedClip:
    """A clip's frames at a fixed step.

    Attributes:
        times_ms: int64 [n], n ≥ 1.
        codes: uint8 [n, ceil(bits / 8)].
        duration_ms: Its length.
        step_ms: From one frame to the next.
    """

    times_ms: NDArray[np.int64]
    codes: Codes
    duration_ms: int
    step_ms: int
    warnings: list[DecodeWarning]
    encode_ms: float


def encode_clip(path: Path, model: Model, max_s: float) -> EncodedClip:
    """Return a clip's codes, four frames a second, or 240 in all where it is longer than a minute.

    Raises:
        DecodeError: If the file is no video.
        TooLargeError: If it is longer than ``max_s``.
    """
    started = time.perf_counter()
    info = probe(path)
    if info.duration_ms > 1000 * max_s:
        raise TooLargeError(
            f"the clip is {info.duration_ms / 1000:.0f} s long; this service takes up to {max_s:g} s "
            "(HASHREEL_MAX_CLIP_S): cut it, or search with pictures"
        )
    step_ms = max(STEP_MS, -(-info.duration_ms // MAX_FRAMES))
    warnings: list[DecodeWarning] = []
    times: list[int] = []
    codes: list[Codes] = []
    frames = iter_key_frames(
        path,
        Every(step_ms / 1000),
        # A header that lies about the length must not make this endless.
        end_ms=round(1000 * max_s) + step_ms,
        short_side=model.transform.size,
        warnings=warnings,
    )
    while batch := list(islice(frames, BATCH)):
        times.extend(frame.time_ms for frame in batch)
        codes.append(model.encode([frame.image for frame in batch]))
    if not times:
        raise DecodeError("not one frame of the clip can be decoded")
    duration = max(info.duration_ms, times[-1] + 1)
    encode_ms = 1000 * (time.perf_counter() - started)
    return EncodedClip(np.array(times), np.concatenate(codes), duration, step_ms, warnings, encode_ms)


def clip_answer(
    clip: EncodedClip, gallery: Gallery, options: ClipOptions, filter_: Filter, *, behind: bool, stale: bool
) -> ClipAnswer:
    """Return the stretches of a gallery that a clip matches, in their wire form; ``filter_`` is that of the options.

    Frames that the filter leaves out by id do not vote; along a line that others found they count as any frame.
    """
    begun = time.perf_counter()
    generation = gallery.generation
    seen, position = gallery.look(lambda index, columns: _Neighbours.of(clip, index, columns, filter_))
    bars = bars_of(seen.distances, generation.bits, NEIGHBOURS)
    query = Clip(clip.times_ms.astype(np.float64), clip.codes, float(clip.duration_ms), bars)
    scope = options.between or (0, 2**62)

    def frames_of(video: int, start_ms: float, end_ms: float) -> tuple[NDArray[np.float64], Codes]:
        start, end = max(start_ms, scope[0]), min(end_ms, scope[1] - 1)
        return gallery.look(lambda index, columns: frames_between(index, columns, video, start, end))[0]

    matches = align(query, seen.pairs(query.times_ms, bars), frames_of, top=options.top, least_score=LEAST_SCORE)
    stretches, _ = gallery.look(lambda _, columns: list(_stretches(matches, columns)))
    return ClipAnswer(
        stretches=stretches,
        clip_ms=clip.duration_ms,
        clip_frames=len(clip.times_ms),
        step_ms=clip.step_ms,
        bits=generation.bits,
        fingerprint=generation.fingerprint,
        position=Position(generation=generation.id, log_id=position.log_id),
        behind=behind,
        stale=stale,
        gallery=seen.gallery,
        warnings=[Warn(stage=w.stage, reason=w.reason, at_ms=w.at_ms) for w in clip.warnings],
        encode_ms=round(clip.encode_ms, 3),
        search_ms=round(1000 * (time.perf_counter() - begun), 3),
    )


@dataclass(frozen=True)
class _Neighbours:
    """Each clip frame's nearest gallery frames.

    Attributes:
        distances: int32 [n, k], ascending.
        frames: int64 [n, k], their ids.
        times_ms: float64 [n, k].
        gallery: Live frames in the gallery.
    """

    distances: NDArray[np.int32]
    frames: NDArray[np.int64]
    times_ms: NDArray[np.float64]
    gallery: int

    @classmethod
    def of(cls, clip: EncodedClip, index: Index, columns: Columns, filter_: Filter) -> _Neighbours:
        distances, frames = index.search(clip.codes, NEIGHBOURS, columns.allowed(filter_))
        return cls(distances, frames, times_of(columns, frames), len(index))

    def pairs(self, clip_ms: NDArray[np.float64], bars: NDArray[np.float64]) -> Pairs:
        """Return the pairs below the bars, each with its weight."""
        near = self.distances < bars[:, None]
        weights = np.array([pair_weights(row, self.gallery) for row in self.distances]).reshape(near.shape)
        return Pairs(clip_ms[np.nonzero(near)[0]], self.frames[near] >> 32, self.times_ms[near], weights[near])


def times_of(columns: Columns, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the times of live frames in ms, float64 of the same shape."""
    times = np.empty(frames.size, np.float64)
    flat = frames.ravel()
    bases, which = np.unique(flat >> 20, return_inverse=True)
    for number, base in enumerate(bases.tolist()):
        video, chunk, _ = split_frame_id(base << 20)
        rows = np.flatnonzero(which.ravel() == number)
        times[rows] = columns.videos[video].chunks[chunk].times_ms[flat[rows] - (base << 20)]
    return times.reshape(frames.shape)


def frames_between(
    index: Index, columns: Columns, video: int, start_ms: float, end_ms: float
) -> tuple[NDArray[np.float64], Codes]:
    """Return times, float64 [m], and codes of a video's frames in a range, both ends included.

    A video that was deleted in the meantime has none.
    """
    times, ids = [np.empty(0)], [np.empty(0, np.int64)]
    column = columns.videos.get(video)
    for chunk, stretch in sorted(column.chunks.items()) if column else ():
        first, end = np.searchsorted(stretch.times_ms, [start_ms, np.nextafter(end_ms, np.inf)])
        times.append(stretch.times_ms[first:end].astype(np.float64))
        ids.append(chunk_base(video, chunk) + np.arange(first, end, dtype=np.int64))
    return np.concatenate(times), index.codes_of(np.concatenate(ids))


def _stretches(matches: list[Match], columns: Columns) -> Iterator[ClipStretch]:
    for match in matches:
        column = columns.videos.get(match.line.video)
        if column is None:
            continue
        yield ClipStretch(
            video=match.line.video,
            source=column.source,
            tags=column.tags,
            clip_start_ms=round(match.clip_start_ms),
            clip_end_ms=round(match.clip_end_ms),
            start_ms=round(match.start_ms),
            end_ms=round(match.end_ms),
            offset_ms=round(match.line.offset_ms),
            rate=round(match.line.rate, 4),
            score=round(match.score, 4),
            mean_distance=round(match.mean_distance, 3),
            frames=match.frames,
            frame_id=str(_nearest_frame(columns, match)),
        )


def _nearest_frame(columns: Columns, match: Match) -> int:
    middle = (match.start_ms + match.end_ms) / 2
    video = match.line.video
    places = [
        (abs(float(stretch.times_ms[row]) - middle), chunk_base(video, chunk) + int(row))
        for chunk, stretch in columns.videos[video].chunks.items()
        if len(stretch.times_ms)
        for row in [np.argmin(np.abs(stretch.times_ms.astype(np.float64) - middle))]
    ]
    return min(places)[1]
