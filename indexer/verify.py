"""Comparing a gallery with the stored values, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes
from indexer.chunks import Chunk, chunk_base
from indexer.columns import Stretch
from indexer.records import Generation
from indexer.snapshots import View
from indexer.store import Store, checked_chunk

__all__ = ["Verification", "verify"]

SCAN_VIDEOS = 200


@dataclass(frozen=True)
class Verification:
    """What the comparison found.

    Attributes:
        frames: Frames that were compared.
        missing: (video, chunk) that are stored and not in the gallery.
        surplus: (video, chunk) that are in the gallery and not stored.
        differing: (video, chunk) whose times or codes differ.
    """

    frames: int
    missing: list[tuple[int, int]]
    surplus: list[tuple[int, int]]
    differing: list[tuple[int, int]]

    @property
    def is_equal(self) -> bool:
        """Whether the gallery holds exactly what is stored."""
        return not (self.missing or self.surplus or self.differing)

    def repeated(self, other: Verification) -> Verification:
        """Return what two comparisons found alike: what only one saw was on its way at that moment."""
        return Verification(
            other.frames,
            sorted(set(self.missing) & set(other.missing)),
            sorted(set(self.surplus) & set(other.surplus)),
            sorted(set(self.differing) & set(other.differing)),
        )


def verify(store: Store, generation: Generation, view: View) -> Verification:
    """Compare every chunk of a view with the value that is stored for it."""
    held = {(video, chunk): stretch for video, _, _, chunks in view.videos for chunk, stretch in chunks}
    seen: set[tuple[int, int]] = set()
    missing: list[tuple[int, int]] = []
    differing: list[tuple[int, int]] = []
    frames = 0
    numbers = store.video_numbers(generation.id)
    for first in range(0, len(numbers), SCAN_VIDEOS):
        for place, value in _values(store, numbers[first : first + SCAN_VIDEOS]):
            seen.add(place)
            if place not in held:
                missing.append(place)
                continue
            chunk = checked_chunk(value, generation)
            frames += len(chunk)
            base = chunk_base(*place)
            ids = np.arange(base, base + len(chunk), dtype=np.int64)
            if not (_same_frames(held[place], chunk) and _same_codes(view, ids, chunk.codes)):
                differing.append(place)
    return Verification(frames, sorted(missing), sorted(held.keys() - seen), sorted(differing))


def _values(store: Store, numbers: Sequence[int]) -> list[tuple[tuple[int, int], bytes]]:
    records = store.find_videos(numbers)
    values = store.chunk_values(numbers)
    return [
        ((record.id, chunk), value)
        for record, chunks in zip(records, values, strict=True)
        if record is not None and record.state not in {"deleted", "cancelled"}
        for chunk, value in sorted(chunks.items())
    ]


def _same_frames(held: Stretch, chunk: Chunk) -> bool:
    pairs = [(held.times_ms, chunk.times_ms), (held.concepts, chunk.concepts), (held.areas, chunk.areas)]
    return all(
        (a is None or b is None) if a is None or b is None else bool(np.array_equal(a, b))
        for a, b in pairs
        if len(chunk)
    )


def _same_codes(view: View, ids: NDArray[np.int64], codes: Codes) -> bool:
    if not len(ids):
        return True
    try:
        return bool(np.array_equal(view.index.codes_of(ids), codes))
    except LookupError:
        return False
