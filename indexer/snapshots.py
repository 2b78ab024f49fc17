"""Snapshots: a gallery on disk, from which a searcher starts at once and replays only the log after it.

A snapshot is a folder: the index's own files, the columns, and a manifest that names the generation, the log
position and the checksum of every file. It is written aside, synced and renamed, so that it is either whole or
not there; what is torn or damaged all the same is recognised by its checksums and passed over. No pickle.

Checksums guard against broken disks and half-written files, not against forgers: whoever can change the files can
change the manifest. So they are 128 bits of XXH3, which is ten times as fast as SHA-256, and a large gallery starts
that much sooner. The manifest's own is a SHA-256, and so are those of snapshots of format 1, which can be read.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hashreel.errors import ConflictError, HashreelError
from indexer.columns import Column, Columns, Stretch, concatenated
from indexer.index import Index, load_index
from indexer.records import Generation, LogPosition

__all__ = ["FORMAT", "Loaded", "SnapshotDamagedError", "Snapshots", "View"]

logger = logging.getLogger(__name__)

FORMAT = 2
MANIFEST = "manifest.json"
CHECKSUMS: dict[int, tuple[str, Callable[[], Any]]] = {1: ("sha256", hashlib.sha256), 2: ("xxh3", xxhash.xxh3_128)}
"""What a file's checksum is called in the manifest, and what makes it, by format."""
CHECK_THREADS = 4
BLOCK_BYTES = 1 << 20


class SnapshotDamagedError(HashreelError):
    """The snapshot is not whole, or is not what its manifest says."""


@dataclass(frozen=True)
class View:
    """A gallery at one position, as it is written: later changes of the gallery do not show in it.

    Attributes:
        index: Shares its immutable state with the live index.
        videos: (number, source, tags, [(chunk number, frames)]) of each video.
        position: The log position of both.
    """

    index: Index
    videos: list[tuple[int, str, dict[str, str], list[tuple[int, Stretch]]]]
    position: LogPosition

    @classmethod
    def of(cls, index: Index, columns: Columns, position: LogPosition) -> View:
        """Return the view of a gallery; call it where no writer is at work."""
        videos = [(v, c.source, c.tags, sorted(c.chunks.items())) for v, c in sorted(columns.videos.items())]
        return cls(index.frozen(), videos, position)


@dataclass(frozen=True)
class Loaded:
    """What a snapshot holds."""

    index: Index
    columns: Columns
    position: LogPosition
    path: Path


class Snapshots:
    """The snapshots of one generation below a folder.

    Args:
        folder: Where snapshots lie; other generations may share it.
        generation: Whose snapshots.
        kind: Kind of index that is wanted; one of another kind is passed over.
        keep: How many stay when a new one has been written; at least 2, so that there is one before a torn one.
    """

    def __init__(self, folder: Path, generation: Generation, *, kind: str = "auto", keep: int = 2) -> None:
        self._folder = folder
        self._generation = generation
        self._kind = kind
        self._keep = max(2, keep)

    # Writing

    def save(self, view: View) -> Path:
        """Write a snapshot; return its folder.

        Raises:
            ConflictError: If another process is writing one into the same folder.
            OSError: If the disk is full or not writable; what was there before stays.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            for leftover in self._folder.glob(f".{self._generation.id}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            number = max((n for n, _ in self._present()), default=0) + 1
            aside = self._folder / f".{self._generation.id}-{number:010}"
            try:
                self._write(aside, view)
                final = self._folder / f"{self._generation.id}-{number:010}"
                aside.rename(final)
                _sync(self._folder)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
            self._prune()
        logger.info("snapshot written", extra={"action": "snapshot", "path": str(final), "frames": len(view.index)})
        return final

    def clear(self) -> None:
        """Remove all snapshots of the generation."""
        for _, path in self._present():
            shutil.rmtree(path, ignore_errors=True)

    def _write(self, folder: Path, view: View) -> None:
        view.index.save(folder / "index")
        _write_columns(folder, view)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        with ThreadPoolExecutor(CHECK_THREADS) as pool:
            sums = list(pool.map(_seal, files))
        manifest = {
            "format": FORMAT,
            "generation": self._facts(),
            "position": asdict(view.position),
            "frames": len(view.index),
            "videos": len(view.videos),
            "written_at": time.time(),
            "files": {
                str(path.relative_to(folder)): {"bytes": path.stat().st_size, CHECKSUMS[FORMAT][0]: digest}
                for path, digest in zip(files, sums, strict=True)
            },
        }
        text = json.dumps(manifest, indent=1)
        # The manifest vouches for the files, its own sum for itself.
        document = {"manifest": manifest, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        (folder / MANIFEST).write_text(json.dumps(document, indent=1))
        _sync(folder / MANIFEST)
        for path in (folder / "index", folder):
            _sync(path)

    def _prune(self) -> None:
        for _, path in self._present()[: -self._keep]:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with (self._folder / "lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise ConflictError(f"another process is writing a snapshot into {self._folder}") from exc
            yield

    # Reading

    def newest_first(self) -> Iterator[Loaded]:
        """Yield the snapshots that are whole and of this generation, each opened by memory mapping.

        One that is damaged, of another format or of another model is passed over with a warning.
        """
        for _, path in reversed(self._present()):
            try:
                yield self._load(path)
            except (HashreelError, OSError, ValueError, KeyError, TypeError) as exc:
                logger.warning("snapshot %s is passed over: %s", path.name, exc, extra={"action": "snapshot_damaged"})

    def _facts(self) -> dict[str, Any]:
        """Return the generation as JSON gives it back."""
        return {**asdict(self._generation), "concepts": list(self._generation.concepts)}

    def _present(self) -> list[tuple[int, Path]]:
        found = []
        for path in self._folder.glob(f"{self._generation.id}-*"):
            number = path.name.rpartition("-")[2]
            if number.isdigit() and path.is_dir():
                found.append((int(number), path))
        return sorted(found)

    def _load(self, path: Path) -> Loaded:
        manifest = _read_manifest(path)
        if manifest["generation"] != self._facts():
            other = manifest["generation"]
            raise SnapshotDamagedError(f"it is of generation {other['id']}, model {other['fingerprint'][:12]}")
        _check_files(path, manifest["files"], *CHECKSUMS[manifest["format"]])
        index = load_index(path / "index", self._kind)
        columns = _read_columns(path)
        if len(index) != manifest["frames"] or len(columns.videos) != manifest["videos"]:
            raise SnapshotDamagedError("the index and the columns do not have the sizes that the manifest names")
        return Loaded(index, columns, LogPosition(**manifest["position"]), path)


def _read_manifest(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / MANIFEST).read_text())
    manifest: dict[str, Any] = document["manifest"]
    if manifest["format"] not in CHECKSUMS:
        known = ", ".join(map(str, CHECKSUMS))
        raise SnapshotDamagedError(f"it has format {manifest['format']}, this version reads {known}")
    if hashlib.sha256(json.dumps(manifest, indent=1).encode()).hexdigest() != document["sha256"]:
        raise SnapshotDamagedError("the manifest is damaged")
    return manifest


def _check_files(folder: Path, files: dict[str, dict[str, Any]], name: str, make: Callable[[], Any]) -> None:
    for file, facts in files.items():
        size = (folder / file).stat().st_size
        if size != facts["bytes"]:
            raise SnapshotDamagedError(f"{file} has {size} bytes, the manifest says {facts['bytes']}")
    # The large files last longest, so they go first.
    ordered = sorted(files, key=lambda file: -int(files[file]["bytes"]))
    with ThreadPoolExecutor(CHECK_THREADS) as pool:
        sums = pool.map(lambda file: _checksum(folder / file, make), ordered)
        for file, found in zip(ordered, sums, strict=True):
            if found != files[file][name]:
                raise SnapshotDamagedError(f"{file} is not what was written")


def _checksum(path: Path, make: Callable[[], Any]) -> str:
    """Return the checksum of a file, read through one buffer that stays in the processor's cache."""
    digest, buffer = make(), bytearray(BLOCK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(view[:size])
    return str(digest.hexdigest())


def _seal(path: Path) -> str:
    """Force a file to the disk and return its checksum."""
    _sync(path)
    return _checksum(path, CHECKSUMS[FORMAT][1])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_columns(folder: Path, view: View) -> None:
    stretches = [stretch for _, _, _, chunks in view.videos for _, stretch in chunks]
    rows = [(video, chunk, len(s.times_ms)) for video, _, _, chunks in view.videos for chunk, s in chunks]
    np.save(folder / "chunks.npy", np.array(rows, np.int64).reshape(-1, 3), allow_pickle=False)
    for name, array in zip(("times", "concepts", "areas"), concatenated(stretches), strict=True):
        if array is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    videos = [[video, source, tags] for video, source, tags, _ in view.videos]
    (folder / "videos.json").write_text(json.dumps(videos, ensure_ascii=False), encoding="utf-8")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold Python's collector of cycles off: it takes most of the time in which many small objects are made."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
def _read_columns(folder: Path) -> Columns:
    columns = Columns()
    for video, source, tags in json.loads((folder / "videos.json").read_text(encoding="utf-8")):
        columns.videos[video] = Column(source, tags)
    rows = np.load(folder / "chunks.npy", allow_pickle=False)
    times = _mapped(folder / "times.npy")
    masks = _mapped(folder / "concepts.npy") if (folder / "concepts.npy").exists() else None
    areas = _mapped(folder / "areas.npy") if (folder / "areas.npy").exists() else None
    ends: Sequence[int] = np.cumsum(rows[:, 2]).tolist()
    for (video, chunk, count), end in zip(rows.tolist(), ends, strict=True):
        part = slice(end - count, end)
        columns.videos[video].chunks[chunk] = Stretch(
            times[part], None if masks is None else masks[part], None if areas is None else areas[part]
        )
    return columns


def _mapped(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False)).view(np.ndarray)
