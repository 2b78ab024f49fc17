"""The methods of ``Client`` and ``AsyncClient`` about many hits: ids first, and what is known of them later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar, Unpack

from hashreel.client import frame_calls
from hashreel.client.calls import Call, SearchKeywords
from hashreel.client.frame_calls import FrameLike, KnownFrames
from hashreel.client.queries import QueryLike
from hashreel.schemas import IdsAnswer

__all__ = ["AsyncFrameMethods", "FrameMethods"]

T = TypeVar("T")


class FrameMethods:
    """What ``Client`` does with frames by their ids."""

    def _run(self, call: Call[T], **extra: Any) -> T:
        raise NotImplementedError

    def search_ids(self, query: QueryLike = None, top: int = 10_000, **options: Unpack[SearchKeywords]) -> IdsAnswer:
        """Return the ids and distances of the nearest frames, and nothing else of them: for many at once.

        They are those of ``search``, in the same order; ``top`` may be larger (by default up to 100,000).

        Args:
            query: As for ``search``.
            top: Number of hits; of videos, when grouped.
            **options: As for ``search``.

        Example:
            Thousands of ids now, and what is looked at later::

                found = client.search_ids("query.jpg", top=50_000)
                near = sum(distance <= 6 for distance in found.distances)
                for frame in client.frames(found.frame_ids[:100], code=found.code):
                    print(frame.source, frame.time_s, frame.distance)
        """
        return self._run(frame_calls.search_ids(query, top, options))

    def frames(
        self, frames: FrameLike | Iterable[FrameLike], *, code: str | None = None, collection: str | None = None
    ) -> KnownFrames:
        """Return what is known of frames: source, time, code, tags, concepts; any number, in their order.

        Args:
            frames: Ids, ``"frame:ID"``, or hits of searches and watches.
            code: A code in hex, such as ``code`` of an answer: each frame comes with its ``distance`` to it.
            collection: Which one holds them; None is the service's own. Those that it does not hold are ``missing``.
        """
        return KnownFrames(map(self._run, frame_calls.frames(frames, code, collection)))


class AsyncFrameMethods:
    """What ``AsyncClient`` does with frames by their ids; see ``FrameMethods``."""

    async def _run(self, call: Call[T], **extra: Any) -> T:
        raise NotImplementedError

    async def search_ids(
        self, query: QueryLike = None, top: int = 10_000, **options: Unpack[SearchKeywords]
    ) -> IdsAnswer:
        """Return the ids and distances of the nearest frames; see ``Client.search_ids``."""
        return await self._run(await asyncio.to_thread(frame_calls.search_ids, query, top, options))

    async def frames(
        self, frames: FrameLike | Iterable[FrameLike], *, code: str | None = None, collection: str | None = None
    ) -> KnownFrames:
        """Return what is known of frames; see ``Client.frames``."""
        return KnownFrames([await self._run(call) for call in frame_calls.frames(frames, code, collection)])
