"""Stored outputs of frozen layers: on a CPU they are computed once, not once an epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["stored_features"]

Features = NDArray[np.float16]
CHUNK = 256


def stored_features(
    path: Path,
    key: str,
    count: int,
    compute: Callable[[range], NDArray[np.float32]],
    report: Callable[[int, int], None] | None = None,
) -> Features:
    """Return float16 [count, ...] from the file ``path``, computing what is not in it yet.

    A JSON file beside it says how far it got; after a kill the work goes on from the last whole chunk. With another
    key the file is made anew.

    Args:
        path: an .npy file, mapped into memory and not read as a whole.
        key: digest of what determines the features: weights, transform, pictures.
        count: how many rows.
        compute: a range of picture numbers → float32 [len, ...].
        report: called after every chunk with (rows done, count).
    """
    note = path.with_suffix(".json")
    done = _rows_done(path, note, key)
    if done < count:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(path, note, key, count, done, compute, report)
    return np.asarray(np.load(path, mmap_mode="r"))


def _rows_done(path: Path, note: Path, key: str) -> int:
    try:
        record = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return int(record["rows"]) if record.get("key") == key and path.is_file() else 0


def _fill(
    path: Path,
    note: Path,
    key: str,
    count: int,
    done: int,
    compute: Callable[[range], NDArray[np.float32]],
    report: Callable[[int, int], None] | None,
) -> None:
    first = compute(range(done, min(done + CHUNK, count)))
    if done:
        array = np.lib.format.open_memmap(path, mode="r+")
    else:
        note.unlink(missing_ok=True)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, *first.shape[1:]))
    rows = first
    while True:
        array[done : done + len(rows)] = rows
        array.flush()
        done += len(rows)
        _write_note(note, key, done)
        if report:
            report(done, count)
        if done >= count:
            return
        rows = compute(range(done, min(done + CHUNK, count)))


def _write_note(note: Path, key: str, rows: int) -> None:
    aside = note.with_name(f".{note.name}.{os.getpid()}")
    aside.write_text(json.dumps({"key": key, "rows": rows}), encoding="utf-8")
    aside.replace(note)
