"""What users do with watch-lists: saved queries that run on everything that comes, and on what is there."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

import numpy as np
import redis

from encoder.codes import code_from_hex, code_to_hex
from encoder.pictures import encode_jpeg
from hashreel.errors import ConflictError, NotFoundError, UnavailableError
from hashreel.schemas import (
    Deliveries,
    DeliveryModel,
    Marked,
    MarkRequest,
    MarkState,
    NewWatch,
    Query,
    RotateRequest,
    WatchChange,
    WatchHit,
    WatchHits,
    WatchModel,
    WatchRequest,
)
from hashreel.schemas import Watches as WatchList
from hashreel.webhooks import check_url, headers_of, new_secret, send
from indexer.deliveries import Deliveries as StoredDeliveries
from indexer.deliveries import Delivery
from indexer.gallery import Gallery
from indexer.generations import Generations
from indexer.ranges import Ranges
from indexer.records import Generation
from indexer.watches import StoredHit, WatchExample, WatchRecord
from search.replies import EncodedQuery, concept_mask
from search.watch_keeping import WatchKeeping

__all__ = ["MAX_WATCHES", "Watching"]

MAX_WATCHES = 500


class Watching(WatchKeeping):
    """Makes, changes, lists and removes watches, and what they have found."""

    def _encode_picture(self, query: Query, generation: Generation, *, with_outputs: bool) -> EncodedQuery:
        raise NotImplementedError

    # Watches

    def add_watch(self, request: WatchRequest) -> NewWatch:
        """Watch for frames like some pictures, indexed frames or codes, from now on and in what is stored.

        Raises:
            BadInputError: If a picture cannot be read, or a concept or the webhook's address is not acceptable.
            ForbiddenError: If the webhook's host is not allowed.
            ConflictError: If the collection has as many watches as it may.
        """
        gallery = self._built(request.collection)
        generation = gallery.generation
        if len(self._watches.of(generation.collection)) >= MAX_WATCHES:
            raise ConflictError(f"collection {generation.collection!r} has {MAX_WATCHES} watches; remove one first")
        concept_mask(request.concepts or (), generation)
        if request.webhook:
            check_url(request.webhook, self._settings.webhook_hosts)
        pairs = [self._watched(query, gallery) for query in request.queries]
        record = WatchRecord(
            id=secrets.token_hex(6),
            collection=generation.collection,
            name=request.name,
            note=request.note,
            radius=request.radius,
            examples=tuple(example for example, _ in pairs),
            tags=_listed(request.tags),
            between_ms=request.between,
            concepts=tuple(request.concepts or ()),
            min_area=request.min_area,
            with_suppressed=request.include_suppressed,
            webhook=request.webhook,
            secret=new_secret(),
            created_at=time.time(),
        )
        self._watches.save(record, {at: picture for at, (_, picture) in enumerate(pairs) if picture is not None})
        self._take_up_everywhere(generation.collection)
        with suppress(UnavailableError):  # done in the background then; ``searched`` tells
            self._search_stored(generation)
        return NewWatch(**self._watch_model(record).model_dump(), secret=record.secret)

    def watches(self, collection: str | None = None) -> WatchList:
        """Return the watches of a collection."""
        live = self._store.collection(collection or self._settings.collection)
        return WatchList(watches=[self._watch_model(watch) for watch in self._watches.of(live.collection)])

    def watch(self, watch_id: str) -> WatchModel:
        """Return one watch; NotFoundError if there is none."""
        return self._watch_model(self._watches.find(watch_id))

    def collection_of_watch(self, watch_id: str) -> str:
        """Return the collection of a watch; NotFoundError if there is no such watch."""
        return self._watches.find(watch_id).collection

    def change_watch(self, watch_id: str, change: WatchChange) -> WatchModel:
        """Change a watch; a larger radius also searches what is stored, and so does the end of a pause.

        Raises:
            ForbiddenError: If the webhook's host is not allowed.
        """
        self._watches.find(watch_id)
        if change.webhook:
            check_url(change.webhook, self._settings.webhook_hosts)
        changes = change.model_dump(exclude_none=True)
        before, record = self._watches.change(watch_id, lambda stored: replace(stored, **changes))
        if record.paused != before.paused:
            self._take_up_everywhere(record.collection)
        search = {watch_id} if record.radius > before.radius else set[str]()
        for generation in Generations(self._store).of(record.collection):
            if watch_id in self._watches.entry_ids(generation.id):
                entry = self._entry(record, generation)
                self._watches.set_entries(generation.id, {watch_id: entry}, search=search)
        with suppress(UnavailableError):
            self._search_stored(self._store.collection(record.collection))
        return self._watch_model(record)

    def remove_watch(self, watch_id: str) -> WatchModel:
        """Forget a watch, its hits, and what was to be sent; return what it was."""
        record = self._watches.find(watch_id)
        model = self._watch_model(record)
        self._watches.remove(record, [one.id for one in Generations(self._store).of(record.collection)])
        return model

    def watch_picture(self, watch_id: str, number: int) -> bytes:
        """Return an example of a watch as JPEG; NotFoundError if it has none of that number, or that is a code."""
        self._watches.find(watch_id)
        return self._watches.picture(watch_id, number)

    def _watched(self, query: Query, gallery: Gallery) -> tuple[WatchExample, bytes | None]:
        """Return what a watch keeps of a query: the code that a search has now, and the picture for other models."""
        generation, query = gallery.generation, self.fetched(query)
        picture = None
        if query.code is not None:
            code = code_from_hex(query.code, generation.bits)
        elif query.frame is not None:
            gallery.catch_up(self._settings.consistency_wait_ms / 1000)
            code = gallery.frame(int(query.frame)).code
            with suppress(NotFoundError):  # the source is gone; its code is what there is
                picture = encode_jpeg(self._example(query), 95)
        else:
            code = self._encode_picture(query, generation, with_outputs=False).code
            picture = encode_jpeg(self._example(query), 95)
        return WatchExample(code_to_hex(code), generation.fingerprint, picture is not None), picture

    def _watch_model(self, record: WatchRecord) -> WatchModel:
        live = self._store.collection(record.collection)
        entry = self._store.redis.hget(self._store.keys.watch_entries(live.id), record.id)
        deliveries = StoredDeliveries(self._store)
        hits = self._watches.count(live.id, record.id)
        return WatchModel(
            id=record.id,
            name=record.name,
            note=record.note,
            collection=record.collection,
            radius=record.radius,
            examples=len(record.examples),
            tags=record.tags,
            between=record.between_ms,
            concepts=list(record.concepts),
            min_area=record.min_area,
            include_suppressed=record.with_suppressed,
            webhook=record.webhook,
            paused=record.paused,
            old_secret_until=record.old_until if time.time() < record.old_until else None,
            created_at=record.created_at,
            hits=hits,
            new=hits - self._watches.count_marked(live.id, record.id),
            lost=self._watches.lost(live.id, record.id),
            searched=record.paused or (entry is not None and record.id not in self._watches.todo(live.id)),
            waiting=len(deliveries.of_watch(record.id, "waiting", 1000)) if record.webhook else 0,
            dead=deliveries.count_dead(record.id),
            problem=_problem(cast("bytes | None", entry)),
        )

    # Hits

    def watch_hits(
        self, watch_id: str, *, state: MarkState | None = None, limit: int = 100, before: str | None = None
    ) -> WatchHits:
        """Return a page of what a watch has found, the newest first; what is suppressed by now is left out."""
        record = self._watches.find(watch_id)
        live = self._store.collection(record.collection)
        muted = None if record.with_suppressed else self._muted(live)
        kept: list[StoredHit] = []
        cursor = before or ""
        while len(kept) <= limit:
            page = self._watches.page(live.id, watch_id, max(limit, 100), cursor)
            if not page:
                break
            kept += [hit for hit in page if _state(hit) == (state or _state(hit)) and not _is_in(muted, hit.frame_id)]
            cursor = page[-1].place
        more, kept = len(kept) > limit, kept[:limit]
        return WatchHits(hits=self.with_members(self._hit_models(kept)), next=kept[-1].place if more else None)

    def _muted(self, generation: Generation) -> Ranges | None:
        try:
            return self._lists.suppressed(self._open_gallery(generation))
        except (UnavailableError, NotFoundError, redis.RedisError):
            return None  # the gallery is still being built: better too many than none

    def _hit_models(self, hits: Sequence[StoredHit]) -> list[WatchHit]:
        videos = sorted({hit.frame_id >> 32 for hit in hits})
        records = dict(zip(videos, self._store.find_videos(videos), strict=True))
        models = []
        for hit in hits:
            record = records[hit.frame_id >> 32]
            if record is None:
                continue  # deleted since the page was read
            models.append(
                WatchHit(
                    frame_id=str(hit.frame_id),
                    video=record.id,
                    source=record.source,
                    tags=record.tags,
                    time_ms=hit.time_ms,
                    distance=hit.distance,
                    found_at=hit.found_at,
                    state=_state(hit),
                    marked_by=hit.mark.get("by", ""),
                    marked_at=hit.mark.get("at"),
                    note=hit.mark.get("note", ""),
                )
            )
        return models

    def mark_watch_hits(self, watch_id: str, request: MarkRequest, by: str = "") -> Marked:
        """Acknowledge or dismiss hits, or take that back; it holds for the same moments in other generations."""
        record = self._watches.find(watch_id)
        live = self._store.collection(record.collection)
        mark = {"state": request.state, "note": request.note, "by": by, "at": time.time()}
        frames = [int(frame) for frame in request.frames]
        return Marked(marked=self._watches.mark(live.id, watch_id, frames, None if request.state == "new" else mark))

    # Webhooks

    def rotate_secret(self, watch_id: str, request: RotateRequest) -> NewWatch:
        """Give a watch a new secret to sign with; the one before signs, too, for as long as is asked, and never more.

        Messages that wait are signed when they are sent, so none is lost.
        """
        until = time.time() + request.grace_s if request.grace_s else 0.0

        def rotated(stored: WatchRecord) -> WatchRecord:
            old = stored.secret if until else ""
            return replace(stored, secret=new_secret(), old_secret=old, old_until=until)

        _, record = self._watches.change(watch_id, rotated)
        return NewWatch(**self._watch_model(record).model_dump(), secret=record.secret)

    def test_watch(self, watch_id: str) -> DeliveryModel:
        """Send a message without hits to a watch's webhook now, once; return what came of it.

        Raises:
            ConflictError: If it has no webhook.
            ForbiddenError: If its host is not allowed (any more).
        """
        record = self._watches.find(watch_id)
        if not record.webhook:
            raise ConflictError(f"watch {watch_id} has no webhook; set one first")
        check_url(record.webhook, self._settings.webhook_hosts)
        id_, now = f"test-{secrets.token_hex(8)}", time.time()
        facts = {"id": watch_id, "name": record.name, "note": record.note, "collection": record.collection}
        body = json.dumps({"id": id_, "type": "watch.test", "watch": facts, "hits": []}, ensure_ascii=False).encode()
        headers = headers_of(record.signing(now), id_, body)
        outcome = send(record.webhook, self._settings.webhook_hosts, headers, body, self._settings.webhook_timeout_s)
        return DeliveryModel(
            id=id_,
            watch=watch_id,
            state="delivered" if outcome.ok else "dead",
            tries=1,
            created_at=now,
            status=outcome.status,
            reason=outcome.reason,
        )

    def watch_deliveries(self, watch_id: str, *, state: str | None = None, limit: int = 100) -> Deliveries:
        """Return the messages to a watch's webhook, the newest first."""
        self._watches.find(watch_id)
        found = StoredDeliveries(self._store).of_watch(watch_id, state, limit)
        return Deliveries(deliveries=[_delivery_model(one) for one in found])

    def retry_watch_delivery(self, watch_id: str, delivery_id: str) -> DeliveryModel:
        """Send a message again that was given up.

        Raises:
            ConflictError: If it was not.
        """
        deliveries = StoredDeliveries(self._store)
        found = deliveries.find(delivery_id)
        if found is None or found.watch != watch_id:
            raise NotFoundError(f"watch {watch_id} has no delivery {delivery_id}")
        if found.state != "dead":
            raise ConflictError(f"delivery {delivery_id} is {found.state}; only one that was given up can be retried")
        deliveries.retry(delivery_id)
        return _delivery_model(deliveries.find(delivery_id) or found)


def _listed(tags: Mapping[str, str | list[str]] | None) -> dict[str, list[str]]:
    return {name: [values] if isinstance(values, str) else list(values) for name, values in (tags or {}).items()}


def _state(hit: StoredHit) -> MarkState:
    return cast("MarkState", hit.mark.get("state", "new"))


def _is_in(ranges: Ranges | None, frame: int) -> bool:
    """Return whether a frame lies in one of ascending, disjoint ranges."""
    if ranges is None or not len(ranges):
        return False
    place = int(np.searchsorted(ranges[:, 0], frame, side="right")) - 1
    return place >= 0 and frame < int(ranges[place, 1])


def _problem(entry: bytes | None) -> str:
    return str(json.loads(entry)["problem"]) if entry is not None else ""


def _delivery_model(delivery: Delivery) -> DeliveryModel:
    return DeliveryModel(
        id=delivery.id,
        watch=delivery.watch,
        state=delivery.state,
        hits=len(delivery.hits),
        tries=delivery.tries,
        created_at=delivery.created_at,
        next_at=delivery.next_at if delivery.state == "waiting" else None,
        status=delivery.status,
        reason=delivery.reason,
    )
