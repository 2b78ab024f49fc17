"""Galleries written into files that others can read, block by block, so that a large one needs little memory.

Only FAISS's own format is put together in memory, for FAISS writes an index as a whole.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, num_code_bytes
from hashreel.errors import BadInputError, MissingExtraError
from indexer.columns import Stretch, concatenated
from indexer.records import BY, FOUND, Generation, VideoRecord
from indexer.snapshots import View

__all__ = ["FORMAT", "FORMATS", "KEPT", "PLANNED", "arrow_modules", "export_gallery"]

SUFFIXES = {"npz": ".npz", "parquet": ".parquet", "faiss": ".faiss"}
FORMAT = 2
"""1 knew neither concepts nor what identifies a source; it can still be imported."""
BLOCK_ROWS = 1 << 16

# What a record says of its source and that the imported video keeps.
KEPT = ("kind", "policy", "size", "modified_ns", "content", "warnings")
PLANNED = ("duration_ms", "width", "height", "codec", "sha256")
COUNTS = {"found": FOUND, "runtimes": BY}  # under what they are stored: such a prefix before each kind


@dataclass(frozen=True)
class _Gallery:
    """What is written.

    Attributes:
        view: The gallery at one position.
        videos: What is known of each video.
        about: What is known of all.
        area_columns: Concepts whose areas are stored; 0 where the model predicts none.
        has_concepts: Whether masks of concepts are stored.
        code_bytes: Length of a code.
    """

    view: View
    videos: list[dict[str, Any]]
    about: dict[str, Any]
    area_columns: int
    has_concepts: bool
    code_bytes: int

    def __len__(self) -> int:
        return len(self.view.index)

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        """Yield frame ids and codes in blocks; an index is asked for a few videos at a time, whatever it prepares."""
        first, rows = 0, 0
        for video, _, _, chunks in self.view.videos:
            rows += sum(len(stretch.times_ms) for _, stretch in chunks)
            if rows >= BLOCK_ROWS:
                yield from self._block(first, video + 1)
                first, rows = video + 1, 0
        if rows:
            yield from self._block(first, self.view.videos[-1][0] + 1)

    def _block(self, first: int, end: int) -> Iterator[tuple[NDArray[np.int64], Codes]]:
        return self.view.index.items(np.array([[first << 32, end << 32]], np.int64), BLOCK_ROWS)

    def stretches(self) -> Iterator[Stretch]:
        """Yield what is known of the frames beside their codes, chunk by chunk, in the order of frame ids."""
        for _, _, _, chunks in self.view.videos:
            for _, stretch in chunks:
                yield stretch

    def columns(self, stretches: Sequence[Stretch]) -> dict[str, NDArray[Any]]:
        """Return times, and concepts and areas where the gallery has them, of some chunks."""
        times, masks, levels = concatenated(stretches)
        found: dict[str, NDArray[Any]] = {"times_ms": times}
        if self.has_concepts:
            found["concepts"] = np.zeros(len(times), np.uint32) if masks is None else masks
        if self.area_columns:
            found["areas"] = np.zeros((len(times), self.area_columns), np.uint8) if levels is None else levels
        return found


def export_gallery(
    view: View,
    generation: Generation,
    records: Sequence[VideoRecord | None],
    path: Path,
    format_: str,
    members: Mapping[int, Sequence[str]] | None = None,
) -> None:
    """Write a gallery into a file.

    Args:
        view: The gallery at one position.
        generation: Its model.
        records: What is stored of its videos, in any order.
        path: File to write; it appears only when it is whole.
        format_: "npz", "parquet" or "faiss".
        members: Names of the files in folders and archives of pictures, by video.

    Raises:
        BadInputError: If there is no such format.
        MissingExtraError: If pyarrow is needed and not installed.
        OSError: If the disk is full or not writable.
    """
    if format_ not in FORMATS:
        raise BadInputError(f"format is {format_!r}; accepted: {', '.join(FORMATS)}")
    gallery = _gallery(view, generation, {record.id: record for record in records if record is not None}, members or {})
    aside = path.with_name(f".{path.name}.part{SUFFIXES[format_]}")
    try:
        FORMATS[format_](gallery, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _gallery(
    view: View, generation: Generation, records: dict[int, VideoRecord], members: Mapping[int, Sequence[str]]
) -> _Gallery:
    about = {
        "format": FORMAT,
        "bits": generation.bits,
        "fingerprint": generation.fingerprint,
        "model": generation.model,
        "concepts": list(generation.concepts),
        "position": view.position.log_id,
    }
    videos = [
        {"id": video, "source": source, "tags": tags, **_facts(records.get(video)), **_named(members.get(video, ()))}
        for video, source, tags, _ in view.videos
    ]
    stretches = [stretch for _, _, _, chunks in view.videos for _, stretch in chunks]
    columns = max((s.areas.shape[1] for s in stretches if s.areas is not None), default=0)
    has_concepts = any(s.concepts is not None for s in stretches)
    return _Gallery(view, videos, about, columns, has_concepts, num_code_bytes(generation.bits))


def _facts(record: VideoRecord | None) -> dict[str, Any]:
    return {} if record is None else {name: getattr(record, name) for name in (*KEPT, *PLANNED, *COUNTS)}


def _named(names: Sequence[str]) -> dict[str, Any]:
    return {"members": list(names)} if names else {}


def _write_npz(gallery: _Gallery, path: Path) -> None:
    """Write the arrays one after the other: each is a file of its own in the archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add_array(archive, "frame_ids", len(gallery), (), np.int64, (ids for ids, _ in gallery.blocks()))
        codes = (codes for _, codes in gallery.blocks())
        _add_array(archive, "codes", len(gallery), (gallery.code_bytes,), np.uint8, codes)
        for name, empty in gallery.columns([]).items():
            parts = (gallery.columns([stretch])[name] for stretch in gallery.stretches())
            _add_array(archive, name, len(gallery), empty.shape[1:], empty.dtype, parts)
        for name, document in (("videos_json", gallery.videos), ("about_json", gallery.about)):
            text = np.frombuffer(json.dumps(document).encode(), np.uint8)
            _add_array(archive, name, len(text), (), np.uint8, [text])


def _add_array(
    archive: zipfile.ZipFile, name: str, rows: int, row: tuple[int, ...], type_: Any, parts: Iterable[NDArray[Any]]
) -> None:
    """Add an array [rows, *row] of which only the parts are ever in memory."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(type_)), "fortran_order": False, "shape": (rows, *row)}
    written = 0
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part).data)
            written += len(part)
    if written != rows:
        raise RuntimeError(f"{name} has {written} rows, the gallery {rows}")


def _write_parquet(gallery: _Gallery, path: Path) -> None:
    _, parquet = arrow_modules()
    sources = {video["id"]: video["source"] for video in gallery.videos}
    about = {"hashreel_about": json.dumps(gallery.about), "hashreel_videos": json.dumps(gallery.videos)}
    beside = _Beside(gallery)
    empty = _table(np.empty(0, np.int64), np.empty((0, gallery.code_bytes), np.uint8), gallery.columns([]), sources)
    with parquet.ParquetWriter(path, empty.schema.with_metadata(about)) as writer:
        for ids, codes in gallery.blocks():
            table = _table(ids, codes, beside.take(len(ids)), sources)
            writer.write_table(table.replace_schema_metadata(about))


class _Beside:
    """Hands out what is known of the frames beside their codes, in blocks of any size."""

    def __init__(self, gallery: _Gallery) -> None:
        self._gallery = gallery
        self._stretches = gallery.stretches()
        self._waiting = gallery.columns([])

    def take(self, rows: int) -> dict[str, NDArray[Any]]:
        """Return the next rows."""
        parts = [self._waiting]
        ready = len(self._waiting["times_ms"])
        while ready < rows:
            parts.append(self._gallery.columns([next(self._stretches)]))
            ready += len(parts[-1]["times_ms"])
        whole = {name: np.concatenate([part[name] for part in parts]) for name in self._waiting}
        self._waiting = {name: array[rows:] for name, array in whole.items()}
        return {name: array[:rows] for name, array in whole.items()}


def _table(ids: NDArray[np.int64], codes: NDArray[np.uint8], beside: dict[str, Any], sources: dict[int, str]) -> Any:
    arrow, _ = arrow_modules()
    numbers, places = np.unique(ids >> 32, return_inverse=True)
    names = arrow.array([sources[int(number)] for number in numbers], arrow.string())
    columns = {
        "frame_id": ids,
        "time_ms": beside["times_ms"],
        "code": _binary(codes),
        "source": arrow.DictionaryArray.from_arrays(arrow.array(places.astype(np.int32)), names),
    }
    if "concepts" in beside:
        columns["concepts"] = beside["concepts"]
    if "areas" in beside:
        columns["areas"] = _binary(beside["areas"])
    return arrow.table(columns)


def _binary(rows: NDArray[np.uint8]) -> Any:
    """Return uint8 [n, w] as an Arrow column of w bytes each."""
    arrow, _ = arrow_modules()
    buffers = [None, arrow.py_buffer(np.ascontiguousarray(rows))]
    return arrow.FixedSizeBinaryArray.from_buffers(arrow.binary(rows.shape[1]), len(rows), buffers)


def _write_faiss(gallery: _Gallery, path: Path) -> None:
    from indexer.faiss_tools import faiss, write_binary

    # FAISS counts in whole bytes; the unused bits of a code are 0 and cost no distance.
    index = faiss.IndexBinaryIDMap2(faiss.IndexBinaryFlat(8 * gallery.code_bytes))
    for ids, codes in gallery.blocks():
        index.add_with_ids(np.ascontiguousarray(codes), ids)
    write_binary(index, path)


FORMATS: dict[str, Callable[[_Gallery, Path], None]] = {
    "npz": _write_npz,
    "parquet": _write_parquet,
    "faiss": _write_faiss,
}


def arrow_modules() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet.

    Raises:
        MissingExtraError: If they are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise MissingExtraError("Parquet needs pyarrow: pip install pyarrow, or use npz") from exc
    return pyarrow, pyarrow.parquet
