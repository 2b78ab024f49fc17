"""Galleries as files that others can read, and back: NumPy, Parquet, and FAISS's own format.

NumPy and Parquet files carry everything (frame ids, times, codes, sources, tags, the model's fingerprint) and can
be imported; a FAISS file holds ids and codes alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.codes import Codes, check_codes, num_code_bytes
from hashreel.errors import BadInputError, FingerprintMismatchError, MissingExtraError
from indexer.chunks import MAX_FRAMES, Chunk
from indexer.records import Generation, NewVideo
from indexer.snapshots import View
from indexer.store import Store

__all__ = ["FORMATS", "export_gallery", "import_gallery"]

SUFFIXES = {"npz": ".npz", "parquet": ".parquet", "faiss": ".faiss"}


@dataclass(frozen=True)
class _Frames:
    """A gallery as flat arrays, in the order of frame ids."""

    frame_ids: NDArray[np.int64]
    times_ms: NDArray[np.uint32]
    codes: Codes
    videos: list[dict[str, Any]]
    about: dict[str, Any]


def export_gallery(view: View, generation: Generation, path: Path, format_: str) -> None:
    """Write a gallery into a file.

    Args:
        view: The gallery at one position.
        generation: Its model.
        path: File to write; it appears only when it is whole.
        format_: "npz", "parquet" or "faiss".

    Raises:
        BadInputError: If there is no such format.
        MissingExtraError: If pyarrow is needed and not installed.
    """
    if format_ not in FORMATS:
        raise BadInputError(f"format is {format_!r}; accepted: {', '.join(FORMATS)}")
    frames = _flatten(view, generation)
    aside = path.with_name(f".{path.name}.part{SUFFIXES[format_]}")
    try:
        FORMATS[format_](frames, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _flatten(view: View, generation: Generation) -> _Frames:
    blocks = list(view.index.items())
    width = num_code_bytes(generation.bits)
    times = [stretch.times_ms for _, _, _, chunks in view.videos for _, stretch in chunks]
    return _Frames(
        frame_ids=np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in blocks)]),
        times_ms=np.concatenate([np.empty(0, np.uint32), *times]),
        codes=np.concatenate([np.empty((0, width), np.uint8), *(codes for _, codes in blocks)]),
        videos=[{"id": video, "source": source, "tags": tags} for video, source, tags, _ in view.videos],
        about={
            "format": 1,
            "bits": generation.bits,
            "fingerprint": generation.fingerprint,
            "model": generation.model,
            "position": view.position.log_id,
        },
    )


def _write_npz(frames: _Frames, path: Path) -> None:
    np.savez(
        path,
        frame_ids=frames.frame_ids,
        times_ms=frames.times_ms,
        codes=frames.codes,
        videos_json=_json_bytes(frames.videos),
        about_json=_json_bytes(frames.about),
    )


def _write_parquet(frames: _Frames, path: Path) -> None:
    arrow, parquet = _arrow()
    by_id = {video["id"]: video for video in frames.videos}
    numbers, places = np.unique(frames.frame_ids >> 32, return_inverse=True)
    sources = arrow.array([by_id[int(n)]["source"] for n in numbers], arrow.string())
    width = frames.codes.shape[1]
    codes = arrow.FixedSizeBinaryArray.from_buffers(
        arrow.binary(width), len(frames.codes), [None, arrow.py_buffer(np.ascontiguousarray(frames.codes))]
    )
    table = arrow.table(
        {
            "frame_id": frames.frame_ids,
            "time_ms": frames.times_ms,
            "code": codes,
            "source": arrow.DictionaryArray.from_arrays(arrow.array(places.astype(np.int32)), sources),
        },
    ).replace_schema_metadata(
        {"hashreel_about": json.dumps(frames.about), "hashreel_videos": json.dumps(frames.videos)}
    )
    parquet.write_table(table, path)


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


def import_gallery(store: Store, generation: Generation, path: Path, job: str = "") -> list[int]:
    """Add the videos of an exported file to a generation, under new numbers; return those.

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
    numbers = []
    for video in frames.videos:
        numbers.append(_import_video(store, generation, frames, video, job))
    return numbers


def _import_video(store: Store, generation: Generation, frames: _Frames, video: dict[str, Any], job: str) -> int:
    first, end = np.searchsorted(frames.frame_ids, [video["id"] << 32, (video["id"] + 1) << 32])
    new = NewVideo(source=video["source"], path=video["source"], tags=video["tags"], policy={"kind": "every"})
    number = store.register(generation.id, job, [new])[0]
    starts = range(int(first), max(int(end), int(first) + 1), MAX_FRAMES)
    times = frames.times_ms[first:end]
    store.plan(
        number,
        {
            "chunks": len(starts),
            "bounds": json.dumps([int(frames.times_ms[s]) if s < end else 0 for s in starts]),
            "duration_ms": int(times[-1]) if len(times) else 0,
            "codec": "imported",
        },
    )
    for place, start in enumerate(starts):
        stop = min(int(end), start + MAX_FRAMES)
        chunk = Chunk(
            frames.times_ms[start:stop], frames.codes[start:stop], None, generation.bits, generation.fingerprint
        )
        store.commit(number, place, chunk)
    return number


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
            )
    except (OSError, ValueError, KeyError) as exc:
        raise BadInputError(f"{path.name} is no exported gallery (npz or Parquet) that can be read: {exc}") from exc


def _read_parquet(path: Path) -> _Frames:
    arrow, parquet = _arrow()
    table = parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"hashreel_about"])
    width = num_code_bytes(about["bits"])
    raw = table["code"].combine_chunks().cast(arrow.binary(width))
    codes = np.frombuffer(raw.buffers()[1], np.uint8, count=len(table) * width).reshape(-1, width)
    return _Frames(
        table["frame_id"].to_numpy(),
        table["time_ms"].to_numpy(),
        codes,
        json.loads(table.schema.metadata[b"hashreel_videos"]),
        about,
    )


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise MissingExtraError("Parquet needs pyarrow: pip install pyarrow, or use npz") from exc
    return pyarrow, pyarrow.parquet


def _json_bytes(document: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(document).encode(), np.uint8)
