"""Index files: one ``.npy`` an array and a small JSON, in a folder that the caller makes atomic and checks.

Nothing here is a pickle, and arrays can be opened by memory mapping: an index of any size is then there at once
and its pages come in as it is searched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashreel.errors import BadInputError

__all__ = ["FORMAT", "load_arrays", "load_header", "save_arrays"]

FORMAT = 1

_HEADER = "index.json"


def save_arrays(folder: str | Path, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays and what describes them into a folder, which is made if it is not there.

    Args:
        folder: where to; files of the same names are overwritten.
        header: values that JSON knows, "kind" and "bits" among them.
        arrays: by name; a name becomes a file's.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array, allow_pickle=False)
    text = json.dumps({"format": FORMAT, **header, "arrays": sorted(arrays)}, indent=1)
    (path / _HEADER).write_text(text + "\n", encoding="utf-8")


def load_header(folder: str | Path) -> dict[str, Any]:
    """Return the header that :func:`save_arrays` wrote.

    Raises:
        BadInputError: If there is no index, or one of another format.
    """
    path = Path(folder) / _HEADER
    try:
        header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = header["format"], header["kind"], header["bits"], header["arrays"]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as exc:
        raise BadInputError(f"{folder} holds no index that can be read: {exc!r}") from exc
    if found[0] != FORMAT:
        raise BadInputError(f"{folder} holds an index of format {found[0]}; this version reads {FORMAT}")
    return header


def load_arrays(folder: str | Path, kind: str, mapped: bool) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the header and the arrays that :func:`save_arrays` wrote.

    Args:
        folder: where from.
        kind: the kind of index that must be there.
        mapped: open the arrays by memory mapping (private, so that the files never change) instead of reading.

    Raises:
        BadInputError: If there is no index, one of another kind or format, or an array is missing or torn.
    """
    header = load_header(folder)
    if header["kind"] != kind:
        raise BadInputError(f"{folder} holds an index of kind {header['kind']!r}, not {kind!r}")
    try:
        return header, {name: _load(Path(folder) / f"{name}.npy", mapped) for name in header["arrays"]}
    except (OSError, ValueError) as exc:
        raise BadInputError(f"{folder} holds no index that can be read: {exc!r}") from exc


def _load(path: Path, mapped: bool) -> NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False))
