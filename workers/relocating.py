"""An archive that has moved: its videos are found again under their new names, if the files there are the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hashreel.errors import BadInputError, NotFoundError
from hashreel.schemas import RelocateRequest, Relocation, Relocations
from workers.new_videos import content_of, place_of
from workers.sources import Source, SourceRoots

if TYPE_CHECKING:
    from indexer.records import VideoRecord
    from indexer.store import Store

__all__ = ["Relocator"]

PAGE = 200
TURN_S = 10.0
"""After about so long an answer says what was done and where to go on: comparing an archive takes hours."""
REPLIES = {
    "gone": "it was deleted meanwhile",
    "moved": "it was relocated by somebody else meanwhile",
    "taken": "another video is indexed at the new place with the same choice of key-frames; delete one of them",
}


class Relocator:
    """Gives videos the new names of their sources.

    Args:
        store: The stored state.
        roots: Where sources may lie.
    """

    def __init__(self, store: Store, roots: SourceRoots) -> None:
        self._store = store
        self._roots = roots

    def relocate(self, request: RelocateRequest, collection: str) -> Relocations:
        """Relocate one video, or those of a collection whose names begin with a prefix, from where the last turn ended.

        Raises:
            NotFoundError: If there is no such video or collection, or no video's name begins with the prefix.
        """
        if request.video is not None:
            record = self._store.video(request.video)
            return Relocations(relocations=[self._one(record, request.new, request)])
        assert request.old is not None
        if request.old.rstrip("/") == request.new.rstrip("/"):
            raise BadInputError(f"old and new are both {request.old!r}")
        return self._turn(request, collection, time.monotonic() + TURN_S)

    def _turn(self, request: RelocateRequest, collection: str, until: float) -> Relocations:
        done: list[Relocation] = []
        for record in self._records(self._store.collection(collection).id, request.after):
            name = _moved_name(record.source, str(request.old), request.new)
            if name is not None:
                done.append(self._one(record, name, request))
            if time.monotonic() > until or len(done) >= PAGE:
                return Relocations(relocations=done, next=record.id)
        if not done and request.after is None:
            raise NotFoundError(f"no video of collection {collection!r} has a source below {request.old!r}")
        return Relocations(relocations=done)

    def _records(self, generation: str, before: int | None) -> Iterator[VideoRecord]:
        while page := self._store.video_page(generation, PAGE, before):
            yield from page
            before = page[-1].id

    def _one(self, record: VideoRecord, name: str, request: RelocateRequest) -> Relocation:
        source, reason = self._found(record, name, request.check)
        if source is not None and not request.dry_run:
            reason = REPLIES.get(self._write(record, source), "")
        return Relocation(
            video=record.id, old=record.source, new=source.name if source else name, moved=not reason, reason=reason
        )

    def _found(self, record: VideoRecord, name: str, check: str) -> tuple[Source | None, str]:
        """Return the source at a new name, or why it is not that of the video."""
        if "://" in record.path or "://" in name:
            return None, "it is an address, or to become one; only files and folders are relocated"
        found = list(self._roots.expand(name, is_name=True))
        source = found[0]
        if source.problem or len(found) > 1:
            return None, source.problem or f"{len(found)} sources are there"
        if source.kind != record.kind:
            return None, f"a source of kind {source.kind} is there; the video is of kind {record.kind}"
        if source.size != record.size:
            return None, f"the file there has {source.size} bytes; what was indexed had {record.size}"
        if check == "sha256" and record.kind == "video" and record.sha256:
            with open(source.path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
                    return None, "the file there has another SHA-256 than what was indexed"
        return source, ""

    def _write(self, record: VideoRecord, source: Source) -> str:
        return self._store.relocate(
            record,
            source=source.name,
            path=source.path,
            modified_ns=source.modified_ns,
            content=content_of(source, record.policy),
            place=place_of(source, record.policy),
        )


def _moved_name(name: str, old: str, new: str) -> str | None:
    """Return a name with another beginning; None if it does not begin with whole parts of ``old``."""
    old, new = old.rstrip("/"), new.rstrip("/")
    if name == old:
        return new
    return f"{new}/{name[len(old) + 1 :]}" if name.startswith(f"{old}/") else None
