"""The methods of ``Client`` and ``AsyncClient`` about watch-lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar, Unpack

from hashreel.client import watch_calls
from hashreel.client.calls import Call
from hashreel.client.queries import QueryLike
from hashreel.client.watch_calls import Frames, WatchChanges, WatchOptions
from hashreel.schemas import DeliveryModel, DeliveryState, MarkState, NewWatch, WatchHit, WatchModel

__all__ = ["AsyncWatchMethods", "WatchMethods"]

T = TypeVar("T")
MARKED_AT_ONCE = 1000


class WatchMethods:
    """What ``Client`` does about watch-lists."""

    def _run(self, call: Call[T], **extra: Any) -> T:
        raise NotImplementedError

    def watch(self, queries: QueryLike | list[QueryLike], **options: Unpack[WatchOptions]) -> NewWatch:
        """Watch for frames like a picture, in what is stored and in all that is indexed from now on.

        Args:
            queries: A query as for ``search`` (a picture, a hit, ``"frame:ID"``, ``"code:HEX"``), or a list of up
                to 16; a frame is a hit that is within the radius of any. Pictures outlive a change of the model.
            **options: ``radius``: largest Hamming distance, inclusive; 4 by default. ``name``, ``note``: for people.
                ``webhook``: where hits are sent to, on a host that the service allows. ``box``, ``tags``,
                ``between`` (seconds), ``concepts``, ``min_area``, ``include_suppressed``: as for ``search``.
                ``collection``: which one is watched.

        Returns:
            The watch, with the secret that signs what its webhook gets; it is not shown again.

        Raises:
            ForbiddenError: if the webhook's host is not allowed.

        Example:
            Watch for a painting, and look at what was found::

                watch = client.watch("painting.jpg", radius=8, name="stolen painting")
                for hit in client.watch_hits(watch.id, state="new"):
                    print(hit.source, hit.time_s, hit.distance)
        """
        return self._run(watch_calls.watch(queries, options))

    def watches(self, *, collection: str | None = None) -> list[WatchModel]:
        """Return the watches of a collection, oldest first."""
        return self._run(watch_calls.watches(collection)).watches

    def show_watch(self, watch_id: str) -> WatchModel:
        """Return one watch, and how it stands; NotFoundError if there is none."""
        return self._run(watch_calls.show(watch_id))

    def change_watch(self, watch_id: str, **changes: Unpack[WatchChanges]) -> WatchModel:
        """Change a watch's ``name``, ``note``, ``radius`` or ``webhook`` ("" ends it), or whether it is ``paused``.

        A larger radius also searches what is stored; a smaller one leaves the hits as they are. What comes during a
        pause is found at its end.
        """
        return self._run(watch_calls.change(watch_id, changes))

    def unwatch(self, watch_id: str) -> WatchModel:
        """Watch no more: forget a watch and its hits, and return what it was."""
        return self._run(watch_calls.unwatch(watch_id))

    def watch_hits(self, watch_id: str, *, state: MarkState | None = None) -> Iterator[WatchHit]:
        """Yield what a watch has found, the newest first; ``state``: only new, acknowledged or dismissed ones."""
        before: str | None = None
        while True:
            page = self._run(watch_calls.hits(watch_id, state, before))
            yield from page.hits
            before = page.next
            if before is None:
                return

    def mark_hits(self, watch_id: str, hits: Frames, state: MarkState = "acknowledged", note: str = "") -> int:
        """Acknowledge or dismiss hits ("new" takes it back); return how many of the frames are hits of the watch.

        Args:
            watch_id: Whose hits.
            hits: One or more hits, or frame ids.
            state: What they are.
            note: Why, for others who look at them.
        """
        frames = watch_calls.frames_of(hits)
        parts = [frames[start : start + MARKED_AT_ONCE] for start in range(0, len(frames), MARKED_AT_ONCE)]
        return sum(self._run(watch_calls.mark(watch_id, part, state, note)).marked for part in parts)

    def watch_picture(self, watch_id: str, number: int = 0) -> bytes:
        """Return an example of a watch as JPEG; NotFoundError if it has none of that number, or it is a code."""
        return self._run(watch_calls.picture(watch_id, number))

    def rotate_secret(self, watch_id: str, *, grace_s: float = 0) -> NewWatch:
        """Give a watch's webhook a new secret; ``secret`` of what is returned, shown once, signs from now on.

        Args:
            watch_id: The watch.
            grace_s: So many seconds (up to 30 days) messages are signed with the secret before, too, for a receiver
                that does not have the new one yet; 0 ends it at once, as after a leak. ``verify`` takes either.
        """
        return self._run(watch_calls.rotate_secret(watch_id, grace_s))

    def test_webhook(self, watch_id: str) -> DeliveryModel:
        """Send a signed message without hits to a watch's webhook once, and return what came of it."""
        return self._run(watch_calls.test_webhook(watch_id))

    def deliveries(self, watch_id: str, *, state: DeliveryState | None = None) -> list[DeliveryModel]:
        """Return messages to a watch's webhook, the newest first; ``state="dead"``: those that were given up."""
        return self._run(watch_calls.deliveries(watch_id, state)).deliveries

    def retry_delivery(self, watch_id: str, delivery_id: str) -> DeliveryModel:
        """Send a message again that was given up, under the same id."""
        return self._run(watch_calls.retry_delivery(watch_id, delivery_id))


class AsyncWatchMethods:
    """What ``AsyncClient`` does about watch-lists; arguments, results and errors are those of ``Client``."""

    async def _run(self, call: Call[T], **extra: Any) -> T:
        raise NotImplementedError

    async def watch(self, queries: QueryLike | list[QueryLike], **options: Unpack[WatchOptions]) -> NewWatch:
        """Watch for frames like a picture; see ``Client.watch``."""
        return await self._run(await asyncio.to_thread(watch_calls.watch, queries, options))

    async def watches(self, *, collection: str | None = None) -> list[WatchModel]:
        """Return the watches of a collection, oldest first."""
        return (await self._run(watch_calls.watches(collection))).watches

    async def show_watch(self, watch_id: str) -> WatchModel:
        """Return one watch, and how it stands; NotFoundError if there is none."""
        return await self._run(watch_calls.show(watch_id))

    async def change_watch(self, watch_id: str, **changes: Unpack[WatchChanges]) -> WatchModel:
        """Change a watch's ``name``, ``note``, ``radius``, ``webhook`` or ``paused``; see ``Client.change_watch``."""
        return await self._run(watch_calls.change(watch_id, changes))

    async def unwatch(self, watch_id: str) -> WatchModel:
        """Watch no more: forget a watch and its hits, and return what it was."""
        return await self._run(watch_calls.unwatch(watch_id))

    async def watch_hits(self, watch_id: str, *, state: MarkState | None = None) -> AsyncIterator[WatchHit]:
        """Yield what a watch has found, the newest first; ``state``: only new, acknowledged or dismissed ones."""
        before: str | None = None
        while True:
            page = await self._run(watch_calls.hits(watch_id, state, before))
            for hit in page.hits:
                yield hit
            before = page.next
            if before is None:
                return

    async def mark_hits(self, watch_id: str, hits: Frames, state: MarkState = "acknowledged", note: str = "") -> int:
        """Acknowledge or dismiss hits; see ``Client.mark_hits``."""
        frames, marked = watch_calls.frames_of(hits), 0
        for start in range(0, len(frames), MARKED_AT_ONCE):
            part = frames[start : start + MARKED_AT_ONCE]
            marked += (await self._run(watch_calls.mark(watch_id, part, state, note))).marked
        return marked

    async def watch_picture(self, watch_id: str, number: int = 0) -> bytes:
        """Return an example of a watch as JPEG; NotFoundError if it has none of that number, or it is a code."""
        return await self._run(watch_calls.picture(watch_id, number))

    async def rotate_secret(self, watch_id: str, *, grace_s: float = 0) -> NewWatch:
        """Give a watch's webhook a new secret; see ``Client.rotate_secret``."""
        return await self._run(watch_calls.rotate_secret(watch_id, grace_s))

    async def test_webhook(self, watch_id: str) -> DeliveryModel:
        """Send a signed message without hits to a watch's webhook once, and return what came of it."""
        return await self._run(watch_calls.test_webhook(watch_id))

    async def deliveries(self, watch_id: str, *, state: DeliveryState | None = None) -> list[DeliveryModel]:
        """Return messages to a watch's webhook, the newest first; ``state="dead"``: those that were given up."""
        return (await self._run(watch_calls.deliveries(watch_id, state))).deliveries

    async def retry_delivery(self, watch_id: str, delivery_id: str) -> DeliveryModel:
        """Send a message again that was given up, under the same id."""
        return await self._run(watch_calls.retry_delivery(watch_id, delivery_id))
