"""Pictures with class labels: a folder a class, or a CSV file with any number of labels a picture."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from encoder.data.folders import find_pictures
from encoder.data.sets import PictureSet, single_label_targets
from encoder.pictures import load_picture
from hashreel.errors import BadInputError, NotFoundError

__all__ = ["read_class_folders", "read_label_csv"]


def read_class_folders(directory: str | os.PathLike[str]) -> PictureSet:
    """Return pictures of ``directory/CLASS/...``: the class is the name of the first folder.

    Raises:
        NotFoundError: If there is no such directory.
        BadInputError: If there are fewer than two class folders, one is empty, or a picture lies outside them.
    """
    root = Path(directory)
    paths = find_pictures(root)
    outside = [path for path in paths if path.parent == root]
    if outside:
        raise BadInputError(f"{outside[0]} lies outside the class folders of {root}; expected {root}/CLASS/picture")
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    labels = np.array([classes.index(path.relative_to(root).parts[0]) for path in paths], dtype=np.int64)
    if len(classes) < 2:
        raise BadInputError(f"{root} has {len(classes)} class folders; expected at least 2")
    empty = sorted(set(range(len(classes))) - set(labels.tolist()))
    if empty:
        raise BadInputError(f"the class folder {root / classes[empty[0]]} holds no picture")
    return PictureSet(
        root.name, lambda i: load_picture(paths[i]), single_label_targets(labels, len(classes)), tuple(classes)
    )


def read_label_csv(
    file: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, *, classes: tuple[str, ...] | None = None
) -> PictureSet:
    """Return the pictures of a CSV file with the columns ``path`` and ``labels`` (names, separated by spaces).

    Args:
        file: the CSV file, UTF-8, with a header.
        root: what paths are relative to; by default the file's folder.
        classes: the accepted names in order; by default those that occur, sorted.

    Raises:
        NotFoundError: If the file or a picture is missing.
        BadInputError: If a column is missing, a row is empty or repeated, or a label is not accepted; the
            message names file and line.
    """
    path = Path(file)
    if not path.is_file():
        raise NotFoundError(f"{path} is not there")
    base = Path(root) if root is not None else path.parent
    rows = _read_rows(path, base)
    names = classes or tuple(sorted({label for _, _, labels in rows for label in labels}))
    targets = np.zeros((len(rows), len(names)), dtype=np.float32)
    for number, (line, _, labels) in enumerate(rows):
        for label in labels:
            if label not in names:
                raise BadInputError(f"{path}, line {line}: unknown label {label!r}; accepted: {', '.join(names)}")
            targets[number, names.index(label)] = 1
    return PictureSet(path.stem, lambda i: load_picture(rows[i][1]), targets, names)


def _read_rows(path: Path, base: Path) -> list[tuple[int, Path, list[str]]]:
    rows: list[tuple[int, Path, list[str]]] = []
    seen: set[str] = set()
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = {"path", "labels"} - set(reader.fieldnames or ())
        if missing:
            raise BadInputError(f"{path} lacks the columns {sorted(missing)}; expected a header: path,labels")
        for row in reader:
            name, line = (row["path"] or "").strip(), reader.line_num
            if not name or name in seen:
                raise BadInputError(f"{path}, line {line}: the path {name!r} is empty or was there before")
            if not (base / name).is_file():
                raise NotFoundError(f"{path}, line {line}: {base / name} is missing")
            seen.add(name)
            rows.append((line, base / name, (row["labels"] or "").split()))
    if not rows:
        raise BadInputError(f"{path} lists no picture")
    return rows
