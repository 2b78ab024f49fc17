"""An index that compares with everything and cuts ties by chance, as some engines do."""

from __future__ import annotations

import numpy as np

from encoder.codes import hamming_distances


class BruteIndex:
    """Top-K with ties cut in random order, and everything within a radius."""

    def __init__(self, ids: np.ndarray, codes: np.ndarray, seed: int = 0) -> None:
        self.ids, self.codes = ids, codes
        self._rng = np.random.default_rng(seed)

    def search(self, codes: np.ndarray, top: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        ids, gallery = self._allowed(allowed)
        distances = hamming_distances(codes, gallery)
        order = np.stack([np.lexsort((self._rng.permutation(len(ids)), row)) for row in distances])[:, :top]
        return np.take_along_axis(distances, order, axis=1), ids[order]

    def within(
        self, codes: np.ndarray, radius: np.ndarray, allowed: np.ndarray | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        ids, gallery = self._allowed(allowed)
        distances = hamming_distances(codes, gallery)
        rows = [np.flatnonzero(row <= limit) for row, limit in zip(distances, radius, strict=True)]
        return [(row[near], ids[near]) for row, near in zip(distances, rows, strict=True)]

    def _allowed(self, ranges: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        if ranges is None:
            return self.ids, self.codes
        keep = ((self.ids[:, None] >= ranges[:, 0]) & (self.ids[:, None] < ranges[:, 1])).any(axis=1)
        return self.ids[keep], self.codes[keep]
