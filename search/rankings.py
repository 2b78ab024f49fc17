"""Orders of frames other than by Hamming distance: by weighted distance, and by the areas of concepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from indexer.areas import level_areas
from indexer.chunks import split_frame_id
from indexer.columns import Columns
from indexer.index import Index
from indexer.ranges import Ranges

__all__ = ["Ranked", "Ranking", "by_areas", "by_weights"]


@dataclass(frozen=True)
class Ranked:
    """Frames in order.

    Attributes:
        frames: int64 [k], their ids.
        distances: int32 [k], plain Hamming distances to the code; zeros where there is none.
        scores: float32 [k], what the order goes by.
    """

    frames: NDArray[np.int64]
    distances: NDArray[np.int32]
    scores: NDArray[np.float32]


Ranking = Callable[[Index, Columns, Ranges | None], Ranked]
"""Takes an index, its columns, and the only ids to consider (None for all)."""


def by_weights(code: Codes, weights: NDArray[np.float32], top: int, *, is_grouped: bool) -> Ranking:
    """Return the order by bit-weighted distance, nearest first; when grouped, the best frame of each video."""

    def rank(index: Index, columns: Columns, allowed: Ranges | None) -> Ranked:
        wanted = top
        while True:
            scores, frames = (part[0] for part in index.search_weighted(code[None], weights, wanted, allowed))
            if not is_grouped:
                break
            first = np.sort(np.unique(frames >> 32, return_index=True)[1])
            if len(first) >= top or len(frames) < wanted:
                scores, frames = scores[first[:top]], frames[first[:top]]
                break
            wanted *= 8
        distances = np.bitwise_count(index.codes_of(frames) ^ code).sum(axis=1, dtype=np.int32)
        return Ranked(frames, distances, scores)

    return rank


def by_areas(mask: int, top: int, *, is_grouped: bool) -> Ranking:
    """Return the order by the area of concepts, largest first; of several the one with the least area counts.

    Args:
        mask: The concepts; frames without all of them are to be left out by the filter.
        top: Number of frames; of videos, when grouped.
        is_grouped: Only the best frame of each video.
    """
    columns_of_mask = [bit for bit in range(32) if mask >> bit & 1]

    def rank(index: Index, columns: Columns, allowed: Ranges | None) -> Ranked:
        pairs = np.empty((0, 2), np.int64) if allowed is None else allowed
        frames = np.concatenate([np.empty(0, np.int64), *(np.arange(*pair, dtype=np.int64) for pair in pairs)])
        levels = _least_levels(columns, frames, columns_of_mask)
        order = np.lexsort((frames, -levels.astype(np.int16)))
        if is_grouped:
            order = order[np.sort(np.unique(frames[order] >> 32, return_index=True)[1])]
        best = order[:top]
        return Ranked(frames[best], np.zeros(len(best), np.int32), level_areas(levels[best]))

    return rank


def _least_levels(columns: Columns, frames: NDArray[np.int64], concepts: list[int]) -> NDArray[np.uint8]:
    """Return the least level of the concepts in each frame, uint8 [n]; 1 where only their presence is known."""
    levels = np.ones(len(frames), np.uint8)
    bases, starts = np.unique(frames >> 20, return_index=True)
    for base, start, end in zip(bases.tolist(), starts, [*starts[1:], len(frames)], strict=True):
        video, chunk, _ = split_frame_id(base << 20)
        areas = columns.videos[video].chunks[chunk].areas
        if areas is not None:
            rows = frames[start:end] - (base << 20)
            levels[start:end] = areas[rows][:, concepts].min(axis=1)
    return levels
