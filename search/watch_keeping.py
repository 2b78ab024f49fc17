"""Keeps what workers compare with equal to the watches and the suppression lists, in every generation that matters.

A watch is taken up by a generation in two steps. Its entry goes into the generation's table: from that write on every
chunk that is committed is compared with it. Then the frames that are stored already are searched; what was committed
in between is found twice and kept once. The second step is recorded before it is done, so that where a service dies in
the middle, the next one does it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import redis
from numpy.typing import NDArray

from encoder.codes import Codes, code_from_hex, num_code_bytes
from hashreel.errors import BehindError, HashreelError, NotFoundError, UnavailableError
from hashreel.schemas import Collection, SuppressionModel, SuppressionRequest
from indexer.areas import area_levels
from indexer.columns import Columns, Filter
from indexer.gallery import Gallery
from indexer.generations import Generations
from indexer.index import Index
from indexer.ranges import ranges_of_ids
from indexer.records import Generation
from indexer.watch_table import MAX_HITS, SUPPRESSION, Matched, WatchEntry, WatchTable
from indexer.watches import Watches, WatchRecord
from search.collection_keeper import CollectionKeeper
from search.galleries import OPEN_WAIT_S
from search.replies import concept_mask
from search.suppressing import Suppressing
from search.suppression import Example

if TYPE_CHECKING:
    from encoder.model import Model
    from hashreel.settings import Settings
    from indexer.store import Store

__all__ = ["WatchKeeping"]

logger = logging.getLogger(__name__)

LOOK_S = 5.0
Frames = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


class WatchKeeping(Suppressing, CollectionKeeper):
    """Takes watches and suppressed examples up in generations, and lets go of them."""

    def __init__(self, store: Store, settings: Settings, load_model: Callable[[str], Model]) -> None:
        super().__init__(store, settings, load_model)
        self._watches = Watches(store)
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="watches", daemon=True)

    def open(self) -> None:
        """Open the default collection, and finish in the background what was begun for watches."""
        super().open()
        self._keeper.start()

    def close(self) -> None:
        """Stop following the logs."""
        self._closing.set()
        if self._keeper.ident is not None:
            self._keeper.join(10)
        super().close()

    # What changes generations and lists

    def create_generation(self, name: str, model_name: str) -> str:
        """Make a new generation of a collection for a model; it watches from its first chunk on."""
        number = super().create_generation(name, model_name)
        self._take_up(self._store.generation(number))
        return number

    def cut_over(self, name: str, generation: str, *, anyway: bool = False) -> Collection:
        """Let a collection point at another of its generations, which has taken all watches up before."""
        self._prepare(self._store.generation(generation))
        return super().cut_over(name, generation, anyway=anyway)

    def roll_back(self, name: str) -> Collection:
        """Let a collection point at the generation before the last cut-over, which has taken all watches up."""
        before = self._store.redis.lindex(self._store.keys.history(name), 0)
        if before is not None:
            self._prepare(self._store.generation(bytes(before).decode()))  # type: ignore[arg-type]
        return super().roll_back(name)

    def _prepare(self, generation: Generation) -> None:
        self._take_up(generation)
        watches = {watch.id: watch for watch in self._watches.of(generation.collection)}
        table = self._watches.table(generation.id, generation.bits)
        # What could not be had when it was taken up, such as the model's file, may be there now.
        again = {one.id: self._entry(watches[one.id], generation) for one in table.entries if one.problem}
        if again:
            self._watches.set_entries(generation.id, again, search=again)
        self._search_stored(generation)

    def drop_collection(self, name: str) -> int:
        """Remove a collection with its generations, its watches and its suppression list."""
        numbers = [generation.id for generation in Generations(self._store).of(name)]
        dropped = super().drop_collection(name)
        for watch in self._watches.of(name):
            self._watches.remove(watch, numbers)
        return dropped

    def suppress(self, request: SuppressionRequest) -> SuppressionModel:
        """Leave frames like a picture out of a collection's answers, and out of what its watches report."""
        done = super().suppress(request)
        self._take_up_everywhere(done.collection)
        return done

    def unsuppress(self, suppression_id: str, collection: str | None = None) -> SuppressionModel:
        """Remove an entry; what it kept from watches is found now."""
        done = super().unsuppress(suppression_id, collection)
        for generation in self._watched_generations(done.collection):
            self._take_up(generation)
            table = self._watches.table(generation.id, generation.bits)
            again = {entry.id: entry for entry in table.entries if not entry.is_suppression}
            if again:
                self._watches.set_entries(generation.id, again, search=again)
        with suppress(UnavailableError):  # done in the background then
            self._search_stored(self._store.collection(done.collection))
        return done

    # Taking up

    def _watched_generations(self, collection: str) -> list[Generation]:
        """Return the live generation and those that are being made; older ones take up what they missed at a return."""
        live = self._store.collection(collection)
        return [live, *(one for one in Generations(self._store).of(collection) if int(one.id) > int(live.id))]

    def _take_up_everywhere(self, collection: str) -> None:
        for generation in self._watched_generations(collection):
            self._take_up(generation)

    def _take_up(self, generation: Generation) -> None:
        """Give a generation's table what it lacks, and take away what is no more."""
        # What is there is read first: what is there and not wanted later was removed, and never only just added.
        there = self._watches.entry_ids(generation.id)
        watches = {watch.id: watch for watch in self._watches.of(generation.collection) if not watch.paused}
        examples = {SUPPRESSION + one.id: one for one in self._lists.entries(generation.collection, fresh=True)}
        entries: dict[str, WatchEntry | None] = dict.fromkeys(there - watches.keys() - examples.keys())
        entries |= {id_: self._entry(watches[id_], generation) for id_ in watches.keys() - there}
        entries |= {id_: self._suppression_entry(examples[id_], generation) for id_ in examples.keys() - there}
        if entries:
            self._watches.set_entries(generation.id, entries, search=watches.keys() - there)

    def _entry(self, watch: WatchRecord, generation: Generation) -> WatchEntry:
        """Return a watch in the codes of a generation; with a problem where it cannot be had in them."""
        empty = np.empty((0, num_code_bytes(generation.bits)), np.uint8)
        entry = WatchEntry(
            id=watch.id,
            codes=empty,
            radius=watch.radius,
            tags=watch.tags,
            between_ms=watch.between_ms,
            least_level=max(1, int(area_levels(np.array(watch.min_area)))) if watch.min_area else 1,
            with_suppressed=watch.with_suppressed,
            hook=bool(watch.webhook),
        )
        try:
            codes = [self._watch_code(watch, number, generation) for number in range(len(watch.examples))]
            return replace(entry, codes=np.stack(codes), concepts=concept_mask(watch.concepts, generation))
        except HashreelError as exc:
            logger.warning("watch %s finds nothing: %s", watch.id, exc, extra={"action": "watch", "watch": watch.id})
            return replace(entry, problem=str(exc))

    def _watch_code(self, watch: WatchRecord, number: int, generation: Generation) -> Codes:
        example = watch.examples[number]
        if example.fingerprint == generation.fingerprint:
            return code_from_hex(example.code, generation.bits)
        if not example.has_picture:
            raise NotFoundError(f"example {number} is a code of another model and no picture; make the watch anew")
        return self._example_code(self._watches.picture(watch.id, number), generation)

    def _suppression_entry(self, example: Example, generation: Generation) -> WatchEntry:
        code = self._lists.code(generation, example)
        return WatchEntry(SUPPRESSION + example.id, code[None], example.radius)

    # What is stored already

    def _search_stored(self, generation: Generation) -> None:
        """Search the stored frames for the watches that wait for it.

        Raises:
            BehindError: If the gallery does not reach the log's tail in time; it is done later then.
        """
        todo = self._watches.todo(generation.id)
        if not todo:
            return
        gallery = self._open_gallery(generation)
        self._wait_until_built(gallery)
        # What was committed before the watches were taken up is in the gallery when it has reached the tail of now.
        if not gallery.catch_up(OPEN_WAIT_S):
            raise BehindError("the index is behind; what is stored is searched for the watch when it is not")
        table = self._watches.table(generation.id, generation.bits)
        for entry in table.entries:
            if entry.id in todo:
                self._search_for(entry, table, gallery)
                self._watches.searched(generation.id, entry.id, todo[entry.id])

    def _search_for(self, entry: WatchEntry, table: WatchTable, gallery: Gallery) -> None:
        if not len(entry.codes):
            return
        muted = [] if entry.with_suppressed else [one for one in table.entries if one.is_suppression]

        def read(index: Index, columns: Columns) -> Frames:
            filter_ = Filter(None, entry.tags or None, entry.between_ms, None, None, entry.concepts, entry.least_level)
            if muted:
                filter_ = replace(filter_, without=ranges_of_ids(_near(muted, index)))
            distances, ids = _nearest(index, entry, columns.allowed(filter_))
            return distances, ids, np.array([columns.time_ms(int(frame)) for frame in ids], np.int64)

        (distances, ids, times), _ = gallery.look(read)
        lost = max(0, len(ids) - MAX_HITS)
        distances, ids, times = distances[:MAX_HITS], ids[:MAX_HITS], times[:MAX_HITS]
        for video in np.unique(ids >> 32):
            rows = np.flatnonzero(ids >> 32 == video)
            hits = [(at, int(times[row]), int(distances[row])) for at, row in enumerate(rows)]
            self._watches.keep(int(video), Matched(entry.id, hits, lost), ids[rows].tolist())

    def _keep(self) -> None:
        """Finish what another service began and did not end, until this one closes."""
        while not self._closing.wait(LOOK_S):
            try:
                for generation in self._store.collections().values():
                    self._look_after(generation)
            except (redis.RedisError, NotFoundError) as exc:  # it is away, or a collection was just dropped
                logger.warning("watches wait: %s", exc, extra={"action": "watches_wait"})

    def _look_after(self, generation: Generation) -> None:
        try:
            self._take_up(generation)
            self._search_stored(generation)
        except BehindError:
            return
        except Exception:
            # One collection whose model is gone must not keep the others from being looked after.
            logger.exception("watches cannot be looked after", extra={"action": "watches_failed"})


def _near(entries: Sequence[WatchEntry], index: Index) -> NDArray[np.int64]:
    """Return the ids of all frames near any of some entries."""
    codes = np.concatenate([entry.codes for entry in entries])
    radii = np.concatenate([np.full(len(entry.codes), min(entry.radius, index.bits), np.int32) for entry in entries])
    return np.concatenate([ids for _, ids in index.within(codes, radii)])


def _nearest(
    index: Index, entry: WatchEntry, allowed: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return distances and ids of the frames nearest to any of an entry's codes, by (distance, id), each once."""
    found = index.within(entry.codes, min(entry.radius, index.bits), allowed, limit=MAX_HITS + 1)
    distances = np.concatenate([one for one, _ in found]).astype(np.int64)
    ids = np.concatenate([one for _, one in found])
    order = np.lexsort((distances, ids))
    distances, ids = distances[order], ids[order]
    first = np.ones(len(ids), np.bool_)
    first[1:] = ids[1:] != ids[:-1]
    distances, ids = distances[first], ids[first]
    order = np.lexsort((ids, distances))
    return distances[order], ids[order]
