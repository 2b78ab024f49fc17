"""Building the main part: rows in the order of frame ids, then one table for each substring."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.kernels.compiling import entry_kernel, kernel
from indexer.kernels.probe import rest_of
from indexer.kernels.rows import is_alive

__all__ = ["fill_table", "fold_parts"]


@entry_kernel
def fill_table(codes: Any, low: Any, width: Any, offsets: Any, rests: Any, rows: Any, free: Any) -> None:
    """Sort rows by the ``width`` bits of their code from bit ``low`` on: a counting sort, stable.

    Args:
        codes: uint64 [n].
        low: lowest bit of the substring.
        width: its number of bits, b.
        offsets: uint32 [2**b + 1], filled in.
        rests: uint32 or uint64 [at least n], filled in.
        rows: uint32 [n], filled in.
        free: uint32 [2**b], scratch.
    """
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    is_compact = rests.itemsize == 4
    offsets[:] = 0
    for row in range(codes.shape[0]):
        offsets[np.int64((codes[row] >> np.uint64(low)) & mask) + 1] += np.uint32(1)
    for i in range(1, offsets.shape[0]):
        offsets[i] += offsets[i - 1]
    for i in range(free.shape[0]):
        free[i] = offsets[i]
    for row in range(codes.shape[0]):
        code = codes[row]
        bucket = np.int64((code >> np.uint64(low)) & mask)
        at = free[bucket]
        free[bucket] += np.uint32(1)
        rests[at] = rest_of(code, low, width, is_compact)
        rows[at] = row


@kernel
def _put(
    from_codes: Any,
    row: Any,
    frame_id: Any,
    words: Any,
    codes: Any,
    first_rows: Any,
    first_ids: Any,
    at: Any,
    runs: Any,
) -> Any:
    """Write one row as row ``at``; return the number of runs, one more unless its id follows the one before."""
    for word in range(words):
        codes[at * words + word] = from_codes[row * words + word]
    if runs == 0 or frame_id != first_ids[runs - 1] + (at - first_rows[runs - 1]):
        first_rows[runs], first_ids[runs] = at, frame_id
        return runs + 1
    return runs


@entry_kernel
def fold_parts(
    main_codes: Any, main_alive: Any, main_first_rows: Any, main_first_ids: Any,
    delta_codes: Any, delta_rows: Any, delta_ids: Any,
    words: Any, codes: Any, first_rows: Any, first_ids: Any,
) -> Any:  # fmt: skip
    """Write the live rows of the main part and the given rows of the delta in the order of their ids.

    Args:
        main_codes: uint64 [n * words].
        main_alive: uint64 bitmap, or empty where every row is alive.
        main_first_rows: int64 [r], the runs, ids ascending.
        main_first_ids: int64 [r].
        delta_codes: uint64 [d * words].
        delta_rows: int64 [s], rows to take from it.
        delta_ids: int64 [s] ascending, their ids.
        words: 64-bit words of a code.
        codes: uint64, long enough, filled in.
        first_rows: int64, long enough for one run a row, filled in.
        first_ids: likewise.

    Returns:
        The number of runs written.
    """
    at, runs, taken = np.int64(0), np.int64(0), np.int64(0)
    for run in range(main_first_rows.shape[0]):
        end = main_codes.shape[0] // words
        if run + 1 < main_first_rows.shape[0]:
            end = main_first_rows[run + 1]
        for row in range(main_first_rows[run], end):
            if not is_alive(main_alive, row):
                continue
            frame_id = main_first_ids[run] + (row - main_first_rows[run])
            while taken < delta_ids.shape[0] and delta_ids[taken] < frame_id:
                runs = _put(
                    delta_codes, delta_rows[taken], delta_ids[taken], words, codes, first_rows, first_ids, at, runs
                )
                taken += 1
                at += 1
            runs = _put(main_codes, row, frame_id, words, codes, first_rows, first_ids, at, runs)
            at += 1
    while taken < delta_ids.shape[0]:
        runs = _put(delta_codes, delta_rows[taken], delta_ids[taken], words, codes, first_rows, first_ids, at, runs)
        taken += 1
        at += 1
    return runs
