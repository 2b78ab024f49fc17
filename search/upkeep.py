"""Upkeep of the in-memory indexes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashreel.errors import StorageFullError, UnavailableError
from hashreel.schemas import ImportedVideos, IndexStatus, IndexVerification, Position
from indexer.exchange import export_gallery, import_gallery
from indexer.members import Members
from search.galleries import Galleries

__all__ = ["IndexUpkeep"]

REBUILD_WAIT_S = 600.0


class IndexUpkeep(Galleries):
    """State, comparison, compaction, rebuild, snapshots, and galleries as files."""

    def index_status(self, collection: str | None = None) -> IndexStatus:
        """Return how a collection's index stands."""
        gallery = self._built(collection)
        status = gallery.status()
        position = gallery.position
        known = {name: status.pop(name) for name in ("kind", "exact", "bits", "frames", "rows", "tombstones", "bytes")}
        return IndexStatus(
            collection=gallery.generation.collection,
            videos=gallery.videos_with_frames(),
            position=Position(generation=gallery.generation.id, log_id=position.log_id if position else "0-0"),
            lag=gallery.lag(),
            problem=gallery.problem,
            details=status,
            **known,
        )

    def index_verify(self, collection: str | None = None) -> IndexVerification:
        """Compare a collection's index with the stored values, frame by frame."""
        found = self._built(collection).verify()
        return IndexVerification(
            equal=found.is_equal,
            frames=found.frames,
            missing=found.missing,
            surplus=found.surplus,
            differing=found.differing,
        )

    def index_compact(self, collection: str | None = None) -> IndexStatus:
        """Drop the rows of deleted frames."""
        self._built(collection).compact()
        return self.index_status(collection)

    def index_rebuild(self, collection: str | None = None) -> IndexStatus:
        """Build a collection's gallery anew from the stored values; answers go on from the present one."""
        if not self._built(collection).rebuild(REBUILD_WAIT_S):
            raise UnavailableError(f"the gallery was not rebuilt within {REBUILD_WAIT_S:.0f} s; it goes on")
        return self.index_status(collection)

    def index_snapshot(self, collection: str | None = None) -> IndexStatus:
        """Write a snapshot now, if anything has changed since the last one."""
        with _written(f"a snapshot below {self._settings.data / 'snapshots'}"):
            self._built(collection).snapshot()
        return self.index_status(collection)

    def index_export(self, path: Path, format_: str, collection: str | None = None) -> None:
        """Write a collection's codes and metadata into a file: "npz", "parquet" or "faiss"."""
        gallery = self._built(collection)
        view = gallery.view()
        records = self._store.find_videos(number for number, *_ in view.videos)
        with _written(f"the file {path}"):
            albums = [record.id for record in records if record is not None and record.kind == "pictures"]
            members = {video: names for one in albums for video, names in Members(self._store).names([one]).items()}
            export_gallery(view, gallery.generation, records, path, format_, members)

    def index_import(self, path: Path, collection: str | None = None) -> ImportedVideos:
        """Add the videos of an exported file that are not in the collection yet."""
        generation = self._built(collection).generation
        imported = import_gallery(self._store, generation, path, self._path_of)
        return ImportedVideos(videos=imported.added, present=imported.present)

    def _path_of(self, source: str) -> str:
        """Return where an imported source lies; what a file says must not lead out of the source roots."""
        roots = {**self._settings.roots, "uploads": self._settings.data / "uploads"}
        first, *rest = Path(source).parts or ("",)
        path = (Path(roots[first], *rest) if first in roots else Path(source)).resolve()
        is_inside = any(path.is_relative_to(Path(root).resolve()) for root in roots.values())
        return str(path) if is_inside or self._settings.open_roots else f"outside the source roots: {source}"


@contextmanager
def _written(what: str) -> Iterator[None]:
    """Say what a disk does not take; what was there before is still there."""
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or str(exc)
        # NumPy and FAISS tell of a write that came to nothing without its number.
        if exc.errno in {errno.ENOSPC, errno.EDQUOT, None}:
            raise StorageFullError(f"no room for {what} ({reason}); make room and try again") from exc
        raise UnavailableError(f"{what} cannot be written: {reason}") from exc
