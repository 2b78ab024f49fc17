"""Multi-index hashing: look only at codes that agree with the query in a substring, or nearly so.

Two codes at a distance of at most d differ by at most d // m in one of m disjoint substrings. So the buckets of
each substring are probed in rings of growing distance rho from the query's own, table after table, until what
has not been seen cannot matter any more: after table t of ring rho every code at a distance of at most
m * rho + t has been seen. A code that several tables hold counts where it comes first.

Source:
    [0] Norouzi, Punjani, Fleet, Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014,
    https://arxiv.org/abs/1307.2982
"""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import (
    REST_BLOCK,
    inlined_kernel,
    kernel,
    lowest_bit,
    near_rests,
    popcount,
    prefetch,
)
from indexer.kernels.heap import offer
from indexer.kernels.rows import is_admitted, is_alive
from indexer.kernels.scan import reach_of

__all__ = ["probe_part", "rest_of"]

# What a probe costs, in codes that a scan passes in the same time: one cache miss or two.
_PROBE_COST = 100
_CODE_COST = 2

_AHEAD = 3


@inlined_kernel
def rest_of(code: Any, low: Any, width: Any, is_compact: Any) -> Any:
    """Return a code without the ``width`` bits from bit ``low`` on; the whole code if not compact."""
    if not is_compact:
        return code
    below = code & ((np.uint64(1) << np.uint64(low)) - np.uint64(1))
    above = (code >> np.uint64(low)) >> np.uint64(width)
    return below | (above << np.uint64(low))


@inlined_kernel
def _is_seen_before(num_tables: Any, is_compact: Any, table: Any, ring: Any, width: Any, different: Any) -> Any:
    """Return whether an earlier table or ring has met the code with these differing bits."""
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    for other in range(num_tables):
        if other != table:
            place = other - 1 if is_compact and other > table else other
            bits = (np.uint64(different) >> np.uint64(place * width)) & mask
            distance = np.int64(popcount(bits))
            if distance < ring or (distance == ring and other < table):
                return True
    return False


@inlined_kernel
def _take_rest(
    query: Any, at: Any, part: Any, tables: Any, table: Any, ring: Any, rest: Any, base: Any, i: Any,
    heap: Any, size: Any,
) -> Any:  # fmt: skip
    rests = tables.rests
    different = rests[table, i] ^ rest
    distance = np.int64(popcount(different)) + base
    is_compact = rests.itemsize == 4
    if distance > reach_of(heap[0], size, query.radii[at]):
        return size
    if _is_seen_before(rests.shape[0], is_compact, table, ring, tables.width, different):
        return size
    row = np.int64(tables.rows[table, i])
    if not (is_admitted(part.ranges, row) and is_alive(part.alive, row)):
        return size
    return size + 1 if query.is_count else offer(heap[0], heap[1], size, distance, row)


@inlined_kernel
def _take_bucket(
    query: Any, at: Any, part: Any, tables: Any, table: Any, ring: Any, rest: Any, base: Any,
    first: Any, end: Any, heap: Any, size: Any,
) -> Any:  # fmt: skip
    distances, keys = heap
    rests = tables.rests
    as_rest, row_start = rests.dtype.type, table * rests.shape[1]
    for start in range(first, end, REST_BLOCK):
        reach = reach_of(distances, size, query.radii[at]) - base
        if reach < 0:
            break
        near = near_rests(rests, row_start + start, rest, as_rest(reach + 1))
        if not near:
            continue
        # Rows ascend within a bucket: past the heap's last row, equal distances come too late.
        is_full = 0 < size == distances.shape[0] and reach + base == distances[0]
        if is_full and np.int64(tables.rows[table, start]) > keys[0]:
            near = near_rests(rests, row_start + start, rest, as_rest(reach))
        if end - start < REST_BLOCK:
            near &= (np.uint64(1) << np.uint64(end - start)) - np.uint64(1)
        while near:
            i = start + lowest_bit(near)
            size = _take_rest(query, at, part, tables, table, ring, rest, base, i, heap, size)
            near &= near - np.uint64(1)
    return size


@kernel
def _probe_ring(query: Any, at: Any, part: Any, tables: Any, table: Any, ring: Any, heap: Any, size: Any) -> Any:
    """Look into every bucket of a table at distance ``ring``; return the heap's size and the codes passed."""
    rests, offsets, masks, width = tables.rests, tables.offsets, tables.masks, tables.width
    low, code = table * width, query.padded[at, 0]
    is_compact = rests.itemsize == 4
    rest = rests.dtype.type(rest_of(code, low, width, is_compact))
    base = ring if is_compact else 0
    home = np.int64((code >> np.uint64(low)) & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)))
    passed, last = np.int64(0), tables.rings[ring + 1]
    for i in range(tables.rings[ring], last):
        if i + _AHEAD < last:
            coming = home ^ np.int64(masks[i + _AHEAD])
            prefetch(rests, table * rests.shape[1] + np.int64(offsets[table, coming]))
        bucket = home ^ np.int64(masks[i])
        first, end = np.int64(offsets[table, bucket]), np.int64(offsets[table, bucket + 1])
        passed += end - first
        size = _take_bucket(query, at, part, tables, table, ring, rest, base, first, end, heap, size)
    return size, passed


@kernel
def probe_part(query: Any, at: Any, part: Any, tables: Any, budget: Any, answers: Any) -> Any:
    """Find what query number ``at`` asks of a part by its tables.

    Args:
        query: a :class:`~indexer.kernels.parts.Query` of one-word codes.
        at: which query.
        part: a :class:`~indexer.kernels.parts.Part`.
        tables: its :class:`~indexer.kernels.parts.Tables`; there may be none.
        budget: how many scanned codes the effort may be worth.
        answers: an :class:`~indexer.kernels.parts.Answers` with an empty heap for this query.

    Returns:
        True when the answer is complete; False when a scan is cheaper, with the heap emptied and the query's
        radius cut down to what is known to be far enough.
    """
    heap = answers.distances[at], answers.keys[at]
    rings, radius = tables.rings, query.radii[at]
    size, spent, num_tables = np.int64(0), np.int64(0), tables.rests.shape[0]
    per_probe = _PROBE_COST + _CODE_COST * (tables.rows.shape[1] >> tables.width)
    # Every ring of every table holds every code, so that nothing is left to see after the last one.
    is_complete = num_tables > 0 and rings.shape[0] == tables.width + 2
    for ring in range(rings.shape[0] - 1):
        probes = rings[ring + 1] - rings[ring]
        reach = reach_of(heap[0], size, radius)
        if reach >= num_tables * ring and spent + probes * num_tables * per_probe > budget:
            is_complete = False
            break
        for table in range(num_tables):
            if reach_of(heap[0], size, radius) < num_tables * ring + table:
                answers.sizes[at] = size
                return True
            size, passed = _probe_ring(query, at, part, tables, table, ring, heap, size)
            spent += probes * _PROBE_COST + passed * _CODE_COST
    answers.sizes[at] = size
    if not is_complete:
        query.radii[at] = reach_of(heap[0], size, radius)
        answers.sizes[at] = 0
    return is_complete
