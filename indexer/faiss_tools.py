"""The few things about FAISS that every kind built on it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError, MissingExtraError

try:
    import faiss as _faiss
except ImportError as exc:
    raise MissingExtraError("FAISS is not installed; install hashreel[cpu] or hashreel[gpu]") from exc

# Its type stubs know neither its SWIG members nor the keywords that its Python layer adds.
faiss: Any = _faiss

__all__ = [
    "faiss",
    "faiss_threads",
    "flat_view",
    "nearest",
    "read_binary",
    "rows_within",
    "selector",
    "write_binary",
]


@contextmanager
def faiss_threads(count: int = 1) -> Iterator[None]:
    """Let FAISS use ``count`` threads for calls from this thread.

    FAISS divides queries among threads and waits for all of them at every block of rows, so for one query a
    second thread only adds that wait. OpenMP keeps the setting for each calling thread, so other threads'
    searches are not touched; the old value is put back all the same, for callers that use FAISS themselves.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def flat_view(codes: NDArray[np.uint64]) -> Any:
    """Return an ``IndexBinaryFlat`` over padded codes, uint64 [n, words], without copying them.

    The caller keeps ``codes`` alive. A view costs 3 microseconds, so that every state of a growing gallery has
    its own and no search can meet an append.
    """
    index = faiss.IndexBinaryFlat(64 * codes.shape[1])
    if len(codes):
        index.xb.is_owned = False
        index.xb.c_ptr = faiss.swig_ptr(codes.view(np.uint8).reshape(-1))
        index.xb.c_size = codes.nbytes
        index.ntotal = len(codes)
    return index


def selector(bitmap: NDArray[np.uint8]) -> Any:
    """Return search parameters that admit the rows whose bit is set; the caller keeps ``bitmap`` alive."""
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))


def nearest(
    index: Any, queries: NDArray[np.uint8], k: int, params: Any = None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return distances and rows of k nearest rows, ties cut as FAISS likes; -1 where there are fewer."""
    with faiss_threads():
        distances, rows = index.search(queries, k, params=params)
    return distances, rows


def rows_within(
    index: Any, query: NDArray[np.uint8], radius: int, params: Any = None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return distances and rows of all rows with distance <= radius from one query, uint8 [1, w].

    FAISS's own range search returns distances *below* its argument; this is the one place that knows it.
    """
    with faiss_threads():
        _, distances, rows = index.range_search(query, radius + 1, params=params)
    return distances.astype(np.int32), rows


def write_binary(index: Any, path: Path) -> None:
    """Write a binary index into a file; OSError if that is not possible, which FAISS tells as a RuntimeError."""
    try:
        faiss.write_index_binary(index, str(path))
    except RuntimeError as exc:
        raise OSError(f"{path.name} cannot be written: {exc}") from exc


def read_binary(path: Path) -> Any:
    """Return the binary index of a file; BadInputError if there is none that can be read."""
    try:
        return faiss.read_index_binary(str(path))
    except RuntimeError as exc:
        raise BadInputError(f"{path.name} holds no index that FAISS can read: {exc}") from exc
