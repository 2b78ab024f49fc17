"""An index that compares with everything and cuts ties by chance, as some engines do."""

from __future__ import annotations

import numpy as np

from encoder.codes import hamming_distances


class BruteIndex:
    """Top-K with ties cut in random order, and everything within a radius."""

    def __init__(self, ids: np.ndarray, codes: np.ndarray, seed: int = 0) -> None:
        self.ids, self.codes = ids, codes
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, codes: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        distances = hamming_distances(codes, self.codes)
        order = np.stack([np.lexsort((self._rng.permutation(len(self.ids)), row)) for row in distances])[:, :top]
        return np.take_along_axis(distances, order, axis=1), self.ids[order]

    def within(self, codes: np.ndarray, radius: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        distances = hamming_distances(codes, self.codes)
        rows = [np.flatnonzero(row <= limit) for row, limit in zip(distances, radius, strict=True)]
        return [(row[near], self.ids[near]) for row, near in zip(distances, rows, strict=True)]
