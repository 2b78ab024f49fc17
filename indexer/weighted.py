"""Bit-weighted distances by tables: one lookup a byte of a code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, check_codes
from indexer.arguments import check_top, check_weights

if TYPE_CHECKING:
    from indexer.index import Index

__all__ = ["byte_tables", "check_weighted", "scan_weighted"]


def byte_tables(codes: Codes, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return for each query and byte position the cost of each byte value, float32 [q, w, 256].

    Args:
        codes: uint8 [q, w], the queries.
        weights: float32 [q, bits].
    """
    num_queries, width = codes.shape
    padded = np.zeros((num_queries, width * 8), np.float64)
    padded[:, : weights.shape[1]] = weights
    values = np.arange(256, dtype=np.uint8)
    different = np.unpackbits((codes[:, :, None] ^ values)[..., None], axis=3, bitorder="little")
    tables = np.einsum("qwvb,qwb->qwv", different, padded.reshape(num_queries, width, 8))
    return np.asarray(tables, np.float32)


def check_weighted(codes: NDArray[Any], weights: NDArray[Any], top: int, bits: int) -> tuple[NDArray[np.float32], int]:
    """Return the byte tables of checked arguments, and ``top``."""
    queries = check_codes(codes, bits)
    return byte_tables(queries, check_weights(weights, len(queries), bits)), check_top(top)


def scan_weighted(
    index: Index, codes: NDArray[Any], weights: NDArray[Any], top: int, allowed: NDArray[Any] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the nearest frames by weighted distance; see :meth:`indexer.index.Index.search_weighted`."""
    tables, k = check_weighted(codes, weights, top, index.bits)
    best = [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in tables]
    for ids, block in index.items(allowed):
        for i, table in enumerate(tables):
            best[i] = _keep_smallest(best[i], _distances(table, block), ids, k)
    if not len(tables):
        return np.empty((0, 0), np.float32), np.empty((0, 0), np.int64)
    return np.stack([pair[0] for pair in best]), np.stack([pair[1] for pair in best])


def _distances(table: NDArray[np.float32], block: Codes) -> NDArray[np.float32]:
    total = np.zeros(len(block), np.float32)
    for position in range(block.shape[1]):
        total += table[position][block[:, position]]
    return total


def _keep_smallest(
    best: tuple[NDArray[np.float32], NDArray[np.int64]],
    distances: NDArray[np.float32],
    ids: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    # Blocks come in the order of ids, so an equal distance in a later block cannot displace a kept pair.
    if not k:
        return best
    near = np.flatnonzero(distances < best[0][-1]) if k == len(best[0]) else slice(None)
    all_distances = np.concatenate((best[0], distances[near]))
    all_ids = np.concatenate((best[1], ids[near]))
    order = np.lexsort((all_ids, all_distances))[:k]
    return all_distances[order], all_ids[order]
