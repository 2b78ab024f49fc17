"""The K smallest (distance, frame id) pairs out of what an engine with another idea of ties returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_pairs", "settled_pairs", "sorted_pairs"]

Distances = NDArray[np.int32]
Ids = NDArray[np.int64]


def sorted_pairs(distances: Distances, ids: Ids) -> tuple[Distances, Ids]:
    """Return the pairs ordered by (distance, id), int32 [m] and int64 [m]."""
    order = np.lexsort((ids, distances))
    return distances[order], ids[order]


def first_pairs(distances: Distances, ids: Ids, k: int) -> tuple[Distances, Ids]:
    """Return the k smallest of at least k pairs, in order, without sorting all of them."""
    if k == 0:
        return distances[:0], ids[:0]
    last = np.partition(distances, k - 1)[k - 1]
    nearer = np.flatnonzero(distances < last)
    band = ids[distances == last]
    room = k - len(nearer)
    chosen = band if len(band) == room else np.partition(band, room - 1)[:room]
    return sorted_pairs(
        np.concatenate((distances[nearer], np.full(room, last, np.int32))), np.concatenate((ids[nearer], chosen))
    )


def settled_pairs(
    raw_distances: Distances, raw_ids: Ids, distances: Distances, ids: Ids, complete: bool
) -> NDArray[np.bool_]:
    """Fill in the queries whose answer the engine's list settles; return which those are, bool [q].

    A list of the f nearest rows holds *every* row nearer than its last one, whatever the engine does with ties.
    So its k smallest pairs are final when k of them are nearer than the last, or when the list is everything.

    Args:
        raw_distances: [q, f] ascending, f >= k.
        raw_ids: [q, f].
        distances: [q, k], filled in.
        ids: [q, k], filled in.
        complete: whether the lists hold every row there is.
    """
    k = distances.shape[1]
    settled = np.full(len(raw_distances), complete) | (raw_distances[:, k - 1] < raw_distances[:, -1])
    order = np.lexsort((raw_ids[settled], raw_distances[settled]), axis=1)[:, :k]
    distances[settled] = np.take_along_axis(raw_distances[settled], order, axis=1)
    ids[settled] = np.take_along_axis(raw_ids[settled], order, axis=1)
    return settled
