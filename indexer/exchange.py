"""Galleries as files that others can read, and back: NumPy, Parquet, and FAISS's own format.

NumPy and Parquet files carry everything (frame ids, times, codes, concepts, what is known of each video, the model's
fingerprint) and can be imported; a FAISS file holds ids and codes alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, check_codes, num_code_bytes
from hashreel.errors import BadInputError, FingerprintMismatchError, MissingExtraError
from indexer.chunks import MAX_FRAMES, Chunk
from indexer.columns import concatenated
from indexer.records import Generation, NewVideo, VideoRecord
from indexer.snapshots import View
from indexer.store import Store

__all__ = ["FORMATS", "Imported", "export_gallery", "import_gallery"]

SUFFIXES = {"npz": ".npz", "parquet": ".parquet", "faiss": ".faiss"}
FORMAT = 2
"""1 knew neither concepts nor what identifies a source; it can still be imported."""

# What a record says of its source and that the imported video keeps.
KEPT = ("kind", "policy", "size", "modified_ns", "content", "warnings")
PLANNED = ("duration_ms", "width", "height", "codec", "sha256")


@dataclass(frozen=True)
class Imported:
    """Numbers of the videos that an import added, and of those that were there already."""

    added: list[int] = field(default_factory=list)
    present: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Frames:
    """A gallery as flat arrays, in the order of frame ids; concepts and areas where the model predicts them."""

    frame_ids: NDArray[np.int64]
    times_ms: NDArray[np.uint32]
    codes: Codes
    videos: list[dict[str, Any]]
    about: dict[str, Any]
    concepts: NDArray[np.uint32] | None = None
    areas: NDArray[np.uint8] | None = None


def export_gallery(
    view: View, generation: Generation, records: Sequence[VideoRecord | None], path: Path, format_: str
) -> None:
    """Write a gallery into a file.

    Args:
        view: The gallery at one position.
        generation: Its model.
        records: What is stored of its videos, in any order.
        path: File to write; it appears only when it is whole.
        format_: "npz", "parquet" or "faiss".

    Raises:
        BadInputError: If there is no such format.
        MissingExtraError: If pyarrow is needed and not installed.
    """
    if format_ not in FORMATS:
        raise BadInputError(f"format is {format_!r}; accepted: {', '.join(FORMATS)}")
    frames = _flatten(view, generation, {record.id: record for record in records if record is not None})
    aside = path.with_name(f".{path.name}.part{SUFFIXES[format_]}")
    try:
        FORMATS[format_](frames, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _flatten(view: View, generation: Generation, records: dict[int, VideoRecord]) -> _Frames:
    blocks = list(view.index.items())
    width = num_code_bytes(generation.bits)
    times, masks, levels = concatenated([stretch for _, _, _, chunks in view.videos for _, stretch in chunks])
    return _Frames(
        frame_ids=np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in blocks)]),
        times_ms=times,
        codes=np.concatenate([np.empty((0, width), np.uint8), *(codes for _, codes in blocks)]),
        videos=[
            {"id": video, "source": source, "tags": tags, **_facts(records.get(video))}
            for video, source, tags, _ in view.videos
        ],
        about={
            "format": FORMAT,
            "bits": generation.bits,
            "fingerprint": generation.fingerprint,
            "model": generation.model,
            "concepts": list(generation.concepts),
            "position": view.position.log_id,
        },
        concepts=masks,
        areas=levels,
    )


def _facts(record: VideoRecord | None) -> dict[str, Any]:
    return {} if record is None else {name: getattr(record, name) for name in (*KEPT, *PLANNED)}


def _write_npz(frames: _Frames, path: Path) -> None:
    arrays: dict[str, Any] = {
        "frame_ids": frames.frame_ids,
        "times_ms": frames.times_ms,
        "codes": frames.codes,
        "concepts": frames.concepts,
        "areas": frames.areas,
        "videos_json": _json_bytes(frames.videos),
        "about_json": _json_bytes(frames.about),
    }
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def _write_parquet(frames: _Frames, path: Path) -> None:
    arrow, parquet = _arrow()
    by_id = {video["id"]: video for video in frames.videos}
    numbers, places = np.unique(frames.frame_ids >> 32, return_inverse=True)
    sources = arrow.array([by_id[int(n)]["source"] for n in numbers], arrow.string())
    columns = {
        "frame_id": frames.frame_ids,
        "time_ms": frames.times_ms,
        "code": _binary(frames.codes),
        "source": arrow.DictionaryArray.from_arrays(arrow.array(places.astype(np.int32)), sources),
    }
    if frames.concepts is not None:
        columns["concepts"] = frames.concepts
    if frames.areas is not None:
        columns["areas"] = _binary(frames.areas)
    about = {"hashreel_about": json.dumps(frames.about), "hashreel_videos": json.dumps(frames.videos)}
    parquet.write_table(arrow.table(columns).replace_schema_metadata(about), path)


def _binary(rows: NDArray[np.uint8]) -> Any:
    """Return uint8 [n, w] as an Arrow column of w bytes each."""
    arrow, _ = _arrow()
    buffers = [None, arrow.py_buffer(np.ascontiguousarray(rows))]
    return arrow.FixedSizeBinaryArray.from_buffers(arrow.binary(rows.shape[1]), len(rows), buffers)


def _write_faiss(frames: _Frames, path: Path) -> None:
    import faiss

    # FAISS counts in whole bytes; the unused bits of a code are 0 and cost no distance.
    width = frames.codes.shape[1]
    index = faiss.IndexBinaryIDMap2(faiss.IndexBinaryFlat(8 * width))
    index.add_with_ids(np.ascontiguousarray(frames.codes), frames.frame_ids)
    faiss.write_index_binary(index, str(path))


FORMATS: dict[str, Callable[[_Frames, Path], None]] = {
    "npz": _write_npz,
    "parquet": _write_parquet,
    "faiss": _write_faiss,
}


def import_gallery(store: Store, generation: Generation, path: Path, path_of: Callable[[str], str] = str) -> Imported:
    """Add the videos of an exported file to a generation, under new numbers.

    A video whose source is in the generation already, or that was imported before, is left out.

    Args:
        store: The stored state.
        generation: Where they go.
        path: The file.
        path_of: Returns where a source lies on this machine, by its name.

    Raises:
        BadInputError: If the file is not one that this version exported as npz or Parquet.
        FingerprintMismatchError: If another model made the codes.
    """
    frames = _read(path)
    if frames.about["fingerprint"] != generation.fingerprint:
        raise FingerprintMismatchError(
            f"{path.name} holds codes of model {frames.about['model']} ({frames.about['fingerprint'][:12]}); "
            f"collection {generation.collection!r} is of {generation.model} ({generation.fingerprint[:12]})"
        )
    check_codes(frames.codes, generation.bits)
    imported = Imported()
    for video in frames.videos:
        first, end = np.searchsorted(frames.frame_ids, [video["id"] << 32, (video["id"] + 1) << 32])
        rows = slice(int(first), int(end))
        content = video.get("content") or _content(frames, rows, video["source"])
        known = store.find_content(generation.id, content)
        if known is None:
            facts = video | {"content": content, "path": path_of(video["source"])}
            imported.added.append(_import_video(store, generation, frames, rows, facts))
        else:
            imported.present.append(known)
    return imported


def _content(frames: _Frames, rows: slice, source: str) -> str:
    """Return what identifies a video of which the file does not say it: its name, times and codes."""
    parts = (source.encode(), frames.times_ms[rows].tobytes(), frames.codes[rows].tobytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _import_video(store: Store, generation: Generation, frames: _Frames, rows: slice, video: dict[str, Any]) -> int:
    about = {"policy": {"kind": "every"}} | {name: video[name] for name in KEPT if name in video}
    warnings = about.pop("warnings", [])
    new = NewVideo(source=video["source"], path=video["path"], tags=video["tags"], **about)
    number = store.register(generation.id, "", [new])[0]
    starts = range(rows.start, max(rows.stop, rows.start + 1), MAX_FRAMES)
    times = frames.times_ms[rows]
    planned: dict[str, str | int] = {"duration_ms": int(times[-1]) if len(times) else 0, "codec": "imported"}
    planned |= {name: video[name] for name in PLANNED if name in video}
    bounds = [int(frames.times_ms[start]) if start < rows.stop else 0 for start in starts]
    store.plan(number, planned | {"chunks": len(starts), "bounds": json.dumps(bounds)})
    for place, start in enumerate(starts):
        chunk = _chunk(frames, slice(start, min(rows.stop, start + MAX_FRAMES)), generation)
        store.commit(number, place, chunk, warnings=[] if place else warnings)
    return number


def _chunk(frames: _Frames, rows: slice, generation: Generation) -> Chunk:
    masks = None if frames.concepts is None else frames.concepts[rows]
    levels = None if frames.areas is None else frames.areas[rows]
    times, codes = frames.times_ms[rows], frames.codes[rows]
    return Chunk(times, codes, masks, generation.bits, generation.fingerprint, levels)


def _read(path: Path) -> _Frames:
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        with np.load(path, allow_pickle=False) as arrays:
            return _Frames(
                arrays["frame_ids"],
                arrays["times_ms"],
                arrays["codes"],
                json.loads(arrays["videos_json"].tobytes()),
                json.loads(arrays["about_json"].tobytes()),
                **{name: arrays[name] for name in ("concepts", "areas") if name in arrays},
            )
    except (OSError, ValueError, KeyError) as exc:
        raise BadInputError(f"{path.name} is no exported gallery (npz or Parquet) that can be read: {exc}") from exc


def _read_parquet(path: Path) -> _Frames:
    _, parquet = _arrow()
    table = parquet.read_table(path)
    names = table.column_names
    return _Frames(
        table["frame_id"].to_numpy(),
        table["time_ms"].to_numpy(),
        _bytes(table["code"]),
        json.loads(table.schema.metadata[b"hashreel_videos"]),
        json.loads(table.schema.metadata[b"hashreel_about"]),
        table["concepts"].to_numpy() if "concepts" in names else None,
        _bytes(table["areas"]) if "areas" in names else None,
    )


def _bytes(column: Any) -> NDArray[np.uint8]:
    """Return an Arrow column of w bytes each as uint8 [n, w]."""
    width, rows = column.type.byte_width, column.combine_chunks()
    if not len(rows):
        return np.empty((0, width), np.uint8)
    whole = np.frombuffer(rows.buffers()[1], np.uint8).reshape(-1, width)
    return whole[rows.offset : rows.offset + len(rows)]


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise MissingExtraError("Parquet needs pyarrow: pip install pyarrow, or use npz") from exc
    return pyarrow, pyarrow.parquet


def _json_bytes(document: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(document).encode(), np.uint8)
