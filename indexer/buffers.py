"""Append-only columns and bitmaps that readers may keep while one writer goes on.

A view handed out once never changes: appends write only past its end, and a bitmap is copied before it loses
a bit. That is what lets searches run without a lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.ranges import Ranges, expand

__all__ = ["Column", "clear_bits", "filled_bitmap", "grown_bitmap"]


class Column:
    """A growing array, [n] or [n, width].

    Args:
        values: the first rows, not copied; they may be read-only (memory-mapped).
    """

    def __init__(self, values: NDArray[Any]) -> None:
        self._buffer = values
        self._length = len(values)

    def __len__(self) -> int:
        return self._length

    def view(self) -> NDArray[Any]:
        """Return the present rows; later appends do not change them."""
        return self._buffer[: self._length]

    @property
    def buffer(self) -> NDArray[Any]:
        """The rows and the spare room after them."""
        return self._buffer

    def append(self, values: NDArray[Any]) -> None:
        """Add rows at the end, in time proportional to their number on average."""
        end = self._length + len(values)
        if end > len(self._buffer):
            self._grow(end)
        self._buffer[self._length : end] = values
        self._length = end

    def _grow(self, needed: int) -> None:
        # A half more, not twice: large galleries should not hold half of their memory as spare room.
        room = max(needed, len(self._buffer) + len(self._buffer) // 2, 1024)
        grown = np.empty((room, *self._buffer.shape[1:]), self._buffer.dtype)
        grown[: self._length] = self._buffer[: self._length]
        self._buffer = grown


def filled_bitmap(num_rows: int) -> NDArray[np.uint8]:
    """Return a bitmap with every bit set; row r is bit ``r % 8`` of byte ``r // 8``; whole 64-bit words."""
    return np.full((num_rows + 63) // 64 * 8, 255, np.uint8)


def grown_bitmap(bitmap: NDArray[np.uint8], num_rows: int) -> NDArray[np.uint8]:
    """Return a bitmap with room for ``num_rows`` rows: the same one, or a copy with further bits set."""
    if 8 * len(bitmap) >= num_rows:
        return bitmap
    grown = filled_bitmap(max(num_rows, 12 * len(bitmap)))
    grown[: len(bitmap)] = bitmap
    return grown


def clear_bits(bitmap: NDArray[np.uint8], rows: Ranges) -> None:
    """Clear the bits of half-open row ranges, int64 [m, 2], in place."""
    if len(rows) > 64:
        cleared = expand(rows[:, 0], rows[:, 1])
        np.bitwise_and.at(bitmap, cleared >> 3, ~(1 << (cleared & 7)).astype(np.uint8))
        return
    for first, end in rows.tolist():
        _clear_range(bitmap, first, end)


def _clear_range(bitmap: NDArray[np.uint8], first: int, end: int) -> None:
    if end <= first:
        return
    head, tail = first >> 3, (end - 1) >> 3
    kept_low, kept_high = (1 << (first & 7)) - 1, 0xFF & ~((2 << ((end - 1) & 7)) - 1)
    if head == tail:
        bitmap[head] &= kept_low | kept_high
        return
    bitmap[head] &= kept_low
    bitmap[head + 1 : tail] = 0
    bitmap[tail] &= kept_high
