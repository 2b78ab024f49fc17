"""A searcher's gallery whose codes are in Milvus: columns here, codes there, both at one position of the log.

The columns follow the log no further than Milvus does, so that a frame that they know can be found. The applier of
this process works when it holds the lease; the searcher reads what whoever holds it has stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hashreel.errors import UnavailableError
from indexer.columns import Columns
from indexer.gallery import Found, Gallery, GalleryState
from indexer.log import Entry, LogBrokenError
from indexer.milvus.applier import Applier
from indexer.milvus.collection import Connection, MilvusCollection
from indexer.milvus.lease import Applied, read_applied
from indexer.milvus.shared import FrameVanishedError, SharedIndex
from indexer.records import Generation, LogPosition
from indexer.store import Store

__all__ = ["MilvusGallery", "MilvusOptions"]

LOOK_S = 0.02
TRIES = 3


@dataclass(frozen=True)
class MilvusOptions:
    """Where Milvus is, and how it is used.

    Attributes:
        uri: Address of the server.
        token: ``user:password`` or an API key; empty for none.
        prefix: Of the names of collections, so that several installations can share a server.
        lease_s: How long the applier's lease lasts; another takes over within this time.
    """

    uri: str
    token: str = ""
    prefix: str = "hashreel"
    lease_s: float = 15.0


class MilvusGallery(Gallery):
    """The gallery of one generation, with its codes in Milvus.

    Args:
        store: The stored state.
        generation: Which generation to follow.
        options: Where Milvus is.

    Raises:
        MissingExtraError: If pymilvus is not installed.
        UnavailableError: If Milvus does not answer.
    """

    def __init__(self, store: Store, generation: Generation, options: MilvusOptions) -> None:
        super().__init__(store, generation, kind="milvus")
        self._connection = Connection(options.uri, options.token, options.lease_s / 3)
        self.applier = Applier(store, generation, self._connection, options.prefix, options.lease_s)

    def start(self) -> None:
        self.applier.start()
        super().start()

    def close(self) -> None:
        self.applier.close()
        super().close()
        self._connection.close()

    def discard(self) -> None:
        """Remove what Milvus holds of the generation, and close."""
        self.applier.discard()
        self.close()

    def search(self, *args: Any, **options: Any) -> Found:
        for _ in range(TRIES - 1):
            try:
                return super().search(*args, **options)
            except (FrameVanishedError, UnavailableError):
                # Deleted in Milvus between the search and the look at its code; or a new collection took the place.
                self._stop.wait(LOOK_S)
                if self._state is not None and (applied := self._applied()) is not None:
                    self._turn(self._state, applied)
        return super().search(*args, **options)

    # What differs from a gallery in memory

    def _empty(self, position: LogPosition) -> GalleryState:
        columns = Columns()
        return GalleryState(SharedIndex(self.generation.bits, columns), columns, position)

    def _ready_of(self, entries: list[Entry]) -> list[Entry]:
        applied = self._applied()
        if applied is None:
            self._stop.wait(LOOK_S)
            return []
        self._turn(self._ready(), applied)
        ready = [entry for entry in entries if entry.position.order <= applied.position.order]
        if entries and not ready:
            self._stop.wait(LOOK_S)
        return ready

    def _applied(self) -> Applied | None:
        return read_applied(self._store.redis, self._store.keys, self.generation.id)

    def _complete(self, state: GalleryState) -> None:
        """Wait until Milvus holds all that the columns hold."""
        while not self._stop.is_set():
            self._log.read(state.position, limit=1)  # raises if this log is not the one that was read
            applied = self._applied()
            if applied is not None and applied.position.order >= state.position.order and self._is_of_this_log(applied):
                self._turn(state, applied)
                return
            self.problem = self.applier.problem
            self._stop.wait(LOOK_S)
        raise UnavailableError("the gallery was closed while Milvus was loaded")

    def _is_of_this_log(self, applied: Applied) -> bool:
        try:
            self._log.read(applied.position, limit=1)
        except LogBrokenError:
            return False
        return applied.run == self._store.server_run()

    def _turn(self, state: GalleryState, applied: Applied) -> None:
        index = state.index
        if isinstance(index, SharedIndex) and index.collection != applied.collection:
            index.turn_to(MilvusCollection(self._connection, applied.collection, self.generation.bits))
