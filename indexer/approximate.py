"""FAISS's approximate kinds, which say so: candidates from lists or a graph, and the recall they were measured at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.engine import EngineIndex
from indexer.faiss_tools import faiss, flat_view, nearest

__all__ = ["HnswIndex", "IvfIndex", "recall_at"]

_RECALL_QUERIES = 200
_RECALL_TOP = 10
_FLIP_CHANCE = 1 / 32


class IvfIndex(EngineIndex):
    """Codes in lists around centroids, of which the nearest few are read (FAISS ``IndexBinaryIVF``).

    Args:
        bits: length of a code, in [8, 256].
        lists_read: how many lists a query reads (FAISS's nprobe): more is slower and finds more.
        options: as for :class:`~indexer.engine.EngineIndex`.
    """

    kind = "ivf"
    stored_kind = "ivf"

    def __init__(self, bits: int, lists_read: int = 32, **options: Any) -> None:
        self._lists_read = lists_read
        super().__init__(bits, **options)

    def _build(self, codes: NDArray[np.uint64]) -> tuple[Any, dict[str, Any]]:
        dimensions = 64 * codes.shape[1]
        # FAISS asks for at least 39 codes a centroid to train on.
        lists = max(1, min(int(4 * np.sqrt(len(codes))), len(codes) // 39))
        index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(dimensions), dimensions, lists)
        index.nprobe = min(self._lists_read, lists)
        array = codes.view(np.uint8)
        index.train(array)
        index.add(array)
        return index, recall_at(index, codes, self.bits) | {"lists": lists, "lists_read": index.nprobe}


class HnswIndex(EngineIndex):
    """Codes in a graph of near neighbours that a query walks (FAISS ``IndexBinaryHNSW``).

    Args:
        bits: length of a code, in [8, 256].
        neighbours: edges of a code (FAISS's M).
        breadth: how many candidates a query keeps (FAISS's efSearch): more is slower and finds more.
        options: as for :class:`~indexer.engine.EngineIndex`.
    """

    kind = "hnsw"
    stored_kind = "hnsw"

    def __init__(self, bits: int, neighbours: int = 32, breadth: int = 128, **options: Any) -> None:
        self._neighbours, self._breadth = neighbours, breadth
        super().__init__(bits, **options)

    def _build(self, codes: NDArray[np.uint64]) -> tuple[Any, dict[str, Any]]:
        index = faiss.IndexBinaryHNSW(64 * codes.shape[1], self._neighbours)
        index.hnsw.efConstruction = max(40, self._neighbours)
        index.hnsw.efSearch = self._breadth
        index.add(codes.view(np.uint8))
        return index, recall_at(index, codes, self.bits) | {
            "neighbours": self._neighbours,
            "breadth": self._breadth,
        }


def recall_at(index: Any, codes: NDArray[np.uint64], bits: int) -> dict[str, Any]:
    """Return the measured recall by distance of an engine over its own codes.

    The queries are codes of the gallery with some bits flipped, as a further frame of the same video would have.
    A result counts if it is as near as the K-th nearest code.
    """
    rng = np.random.default_rng(0)
    chosen = codes[rng.integers(0, len(codes), _RECALL_QUERIES)].view(np.uint8)
    flips = np.zeros((_RECALL_QUERIES, 8 * chosen.shape[1]), np.bool_)
    flips[:, :bits] = rng.random((_RECALL_QUERIES, bits)) < _FLIP_CHANCE
    queries = chosen ^ np.packbits(flips, axis=1, bitorder="little")
    top = min(_RECALL_TOP, len(codes))
    expected, _ = nearest(flat_view(codes), queries, top)
    found, rows = nearest(index, queries, top)
    hits = ((found <= expected[:, -1:]) & (rows >= 0)).mean()
    return {"recall": round(float(hits), 4), "recall_at": top, "recall_queries": _RECALL_QUERIES}
