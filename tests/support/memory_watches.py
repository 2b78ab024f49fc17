"""Watch-lists kept in a dictionary, for the engine of ``memory_service``: every hit is found when it is looked for."""

from __future__ import annotations

import base64
from functools import cached_property
from typing import Any

from hashreel.errors import ConflictError, NotFoundError
from hashreel.schemas import (
    Deliveries,
    DeliveryModel,
    Marked,
    MarkRequest,
    NewWatch,
    RotateRequest,
    SearchRequest,
    WatchChange,
    Watches,
    WatchHit,
    WatchHits,
    WatchModel,
    WatchRequest,
)

START = 1767225600.0
DEAD = "0b57c1d2e3f405162738495a"


class MemoryWatches:
    """What ``MemoryEngine`` does about watch-lists; it has ``search`` and ``_collection``."""

    @cached_property
    def watched(self) -> dict[str, tuple[NewWatch, WatchRequest]]:
        return {}

    @cached_property
    def marks(self) -> dict[str, MarkRequest]:
        return {}

    def add_watch(self: Any, request: WatchRequest) -> NewWatch:
        self._collection(request.collection)
        for query in request.queries:
            self.search(SearchRequest(query=query, top=0))
        made = NewWatch(
            id=f"{len(self.watched):012x}",
            name=request.name,
            note=request.note,
            collection=request.collection or "main",
            radius=request.radius,
            examples=len(request.queries),
            tags={name: [value] if isinstance(value, str) else value for name, value in (request.tags or {}).items()},
            concepts=request.concepts or [],
            webhook=request.webhook,
            created_at=START,
            secret="whsec_AAAA",
        )
        self.watched[made.id] = made, request
        return NewWatch(**self.watch(made.id).model_dump(), secret=made.secret)

    def watches(self: Any, collection: str | None = None) -> Watches:
        self._collection(collection)
        return Watches(watches=[self.watch(watch_id) for watch_id in self.watched])

    def watch(self: Any, watch_id: str) -> WatchModel:
        model = self._watched(watch_id)[0]
        hits = self.watch_hits(watch_id, limit=10_000).hits
        counts = {"hits": len(hits), "new": sum(hit.state == "new" for hit in hits)}
        return WatchModel(**model.model_dump() | counts)

    def _watched(self, watch_id: str) -> tuple[NewWatch, WatchRequest]:
        if watch_id not in self.watched:
            raise NotFoundError(f"there is no watch {watch_id!r}")
        return self.watched[watch_id]

    def collection_of_watch(self, watch_id: str) -> str:
        return self._watched(watch_id)[0].collection

    def change_watch(self, watch_id: str, change: WatchChange) -> WatchModel:
        model, request = self._watched(watch_id)
        self.watched[watch_id] = model.model_copy(update=change.model_dump(exclude_none=True)), request
        return self.watch(watch_id)

    def remove_watch(self, watch_id: str) -> WatchModel:
        model = self.watch(watch_id)
        del self.watched[watch_id]
        return model

    def watch_picture(self: Any, watch_id: str, number: int) -> bytes:
        queries = self._watched(watch_id)[1].queries
        if number < len(queries) and queries[number].image is not None:
            return base64.b64decode(queries[number].image)
        if number < len(queries) and queries[number].frame is not None:
            return self.thumbnail(int(queries[number].frame))
        raise NotFoundError(f"watch {watch_id} keeps no picture {number}")

    def watch_hits(self: Any, watch_id: str, *, state=None, limit: int = 100, before: str | None = None) -> WatchHits:
        model, wish = self._watched(watch_id)
        request = SearchRequest(query=wish.queries[0], radius=model.radius, tags=wish.tags, top=10_000)
        hits = []
        for hit in self.search(request).hits:
            mark = self.marks.get(hit.frame_id)
            facts = hit.model_dump(include={"frame_id", "video", "source", "tags", "time_ms", "distance"})
            said = {"state": mark.state, "note": mark.note} if mark else {}
            hits.append(WatchHit(**facts, **said, found_at=START))
        kept = [hit for hit in hits if state in (None, hit.state)]
        start = int(before.rpartition(":")[2]) if before else 0
        more = start + limit < len(kept)
        place = f"{int(START * 1000):013}:{start + limit:019}" if more else None
        return WatchHits(hits=kept[start : start + limit], next=place)

    def mark_watch_hits(self: Any, watch_id: str, request: MarkRequest, by: str = "") -> Marked:
        mine = {hit.frame_id for hit in self.watch_hits(watch_id, limit=10_000).hits}
        frames = [frame for frame in request.frames if frame in mine]
        self.marks.update(dict.fromkeys(frames, request))
        return Marked(marked=len(frames))

    def rotate_secret(self, watch_id: str, request: RotateRequest) -> NewWatch:
        made, wish = self._watched(watch_id)
        until = START + request.grace_s if request.grace_s else None
        changed = made.model_copy(update={"secret": made.secret + "AAAA", "old_secret_until": until})
        self.watched[watch_id] = changed, wish
        return NewWatch(**self.watch(watch_id).model_dump(), secret=changed.secret)

    def test_watch(self, watch_id: str) -> DeliveryModel:
        if not self.watch(watch_id).webhook:
            raise ConflictError(f"watch {watch_id} has no webhook")
        return DeliveryModel(id="test-1", watch=watch_id, state="delivered", tries=1, created_at=START, status=204)

    def watch_deliveries(self, watch_id: str, *, state: str | None = None, limit: int = 100) -> Deliveries:
        self.watch(watch_id)
        one = DeliveryModel(id=DEAD, watch=watch_id, state="dead", hits=2, tries=3, created_at=START, status=500)
        return Deliveries(deliveries=[one] if state in (None, one.state) else [])

    def retry_watch_delivery(self, watch_id: str, delivery_id: str) -> DeliveryModel:
        for one in self.watch_deliveries(watch_id).deliveries:
            if one.id == delivery_id:
                return one.model_copy(update={"state": "waiting", "tries": 0})
        raise NotFoundError(f"watch {watch_id} has no delivery {delivery_id}")
