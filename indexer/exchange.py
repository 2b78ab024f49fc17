"""Galleries as files that others can read, and back: NumPy, Parquet, and FAISS's own format.

NumPy and Parquet files carry everything (frame ids, times, codes, concepts, what is known of each video, the model's
fingerprint) and can be imported; a FAISS file holds ids and codes alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, check_codes
from hashreel.errors import BadInputError, FingerprintMismatchError
from indexer.chunks import MAX_FRAMES, Chunk
from indexer.exporting import COUNTS, FORMATS, KEPT, PLANNED, arrow_modules, export_gallery
from indexer.members import pack_names
from indexer.records import Generation, NewVideo
from indexer.store import Store

__all__ = ["FORMATS", "Imported", "export_gallery", "import_gallery"]

FLAWS = ("black", "blank", "frozen", "duplicate")


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
    starts = range(rows.start, max(rows.stop, rows.start + 1), MAX_FRAMES)
    times = frames.times_ms[rows]
    planned: dict[str, str | int | bytes] = {"duration_ms": int(times[-1]) if len(times) else 0, "codec": "imported"}
    planned |= {name: video[name] for name in PLANNED if name in video}
    planned |= _counts(video)
    if video.get("members"):
        planned["members"] = pack_names([str(name) for name in video["members"]])
    bounds = [int(frames.times_ms[start]) if start < rows.stop else 0 for start in starts]
    planned |= {"chunks": len(starts), "bounds": json.dumps(bounds)}
    chunks = [_chunk(frames, slice(start, min(rows.stop, start + MAX_FRAMES)), generation) for start in starts]
    return store.add_whole(generation, new, planned, chunks, warnings=warnings)


def _counts(video: dict[str, Any]) -> dict[str, int]:
    """Return how many key-frames were found to be what, and computed by what, as the record keeps them."""
    counts = {}
    for name, prefix in COUNTS.items():
        for kind, count in dict(video.get(name) or {}).items():
            if (name != "found" or kind in FLAWS) and isinstance(count, int) and 0 <= count < 2**31:
                counts[f"{prefix.decode()}{str(kind)[:100]}"] = count
    return counts


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
    _, parquet = arrow_modules()
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
