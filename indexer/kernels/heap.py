"""The K smallest (distance, key) pairs, kept as a binary heap with the largest pair at the root.

A heap is two arrays of length K, distances and keys, and the number of pairs in it.
"""

from __future__ import annotations

from typing import Any

from indexer.kernels.compiling import inlined_kernel, kernel

__all__ = ["offer", "sort_pairs"]


@inlined_kernel
def _is_less(distance: Any, key: Any, other_distance: Any, other_key: Any) -> Any:
    return distance < other_distance or (distance == other_distance and key < other_key)


@kernel
def _sink_root(distances: Any, keys: Any, size: Any) -> None:
    distance, key, at = distances[0], keys[0], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _is_less(distances[child], keys[child], distances[child + 1], keys[child + 1]):
            child += 1
        if not _is_less(distance, key, distances[child], keys[child]):
            break
        distances[at], keys[at] = distances[child], keys[child]
        at = child
    distances[at], keys[at] = distance, key


@kernel
def _raise_last(distances: Any, keys: Any, last: Any, distance: Any, key: Any) -> None:
    at = last
    while at > 0:
        parent = (at - 1) >> 1
        if not _is_less(distances[parent], keys[parent], distance, key):
            break
        distances[at], keys[at] = distances[parent], keys[parent]
        at = parent
    distances[at], keys[at] = distance, key


@kernel
def offer(distances: Any, keys: Any, size: Any, distance: Any, key: Any) -> Any:
    """Put a pair in if it is among the K smallest so far; return the number of pairs."""
    if size < distances.shape[0]:
        _raise_last(distances, keys, size, distance, key)
        return size + 1
    if size > 0 and _is_less(distance, key, distances[0], keys[0]):
        distances[0], keys[0] = distance, key
        _sink_root(distances, keys, size)
    return size


@kernel
def sort_pairs(distances: Any, keys: Any, size: Any) -> None:
    """Turn the heap into ascending order, in place."""
    for last in range(size - 1, 0, -1):
        distance, key = distances[last], keys[last]
        distances[last], keys[last] = distances[0], keys[0]
        distances[0], keys[0] = distance, key
        _sink_root(distances, keys, last)
