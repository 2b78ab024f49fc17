"""Exact search on GPUs: FAISS ``GpuIndexBinaryFlat`` on every GPU there is, with ties put right on the CPU."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import UnavailableError
from indexer.engine import Engine, EngineIndex
from indexer.faiss_tools import faiss, flat_view

__all__ = ["GpuIndex", "num_gpus"]


def num_gpus() -> int:
    """Return how many GPUs FAISS can use; 0 with a FAISS that knows none."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "GpuIndexBinaryFlat") else 0


class GpuIndex(EngineIndex):
    """A flat gallery whose codes are also on the GPUs.

    A GPU cuts ties as it likes, returns at most 2,048 rows and knows no filters. So a list whose end is inside a
    tie band, a larger K, a filter or a radius is answered by the CPU, and every answer is exact.

    Args:
        bits: length of a code, in [8, 256].
        is_sharded: spread the codes over the GPUs, for galleries that one cannot hold; else each holds all of them
            and they share the queries.
        options: as for :class:`~indexer.engine.EngineIndex`.
    """

    kind = "gpu"
    exact = True
    most_fetched = 2048
    # The GPUs' copies are made anew from the codes, so that its files open anywhere.
    stored_kind = "flat"
    _is_kept = False

    def __init__(self, bits: int, is_sharded: bool = False, **options: Any) -> None:
        if not num_gpus():
            raise UnavailableError("FAISS finds no GPU here; install hashreel[gpu] on a CUDA machine, or use kind auto")
        self._is_sharded = is_sharded
        # A GPU's scratch memory serves one call at a time.
        self._asking = threading.Lock()
        super().__init__(bits, **options)

    def _build(self, codes: NDArray[np.uint64]) -> tuple[Any, dict[str, Any]]:
        options = faiss.GpuMultipleClonerOptions()
        options.shard = self._is_sharded
        index = faiss.index_cpu_to_all_gpus(flat_view(codes), co=options)
        return index, {"gpus": num_gpus(), "sharded": self._is_sharded}

    def _ask(self, engine: Engine, queries: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        with self._asking:
            distances, rows = engine.index.search(queries, k)
        return distances, rows
