"""Names of the files inside picture folders and archives: the n-th picture stands at n seconds."""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from indexer.store import Store

__all__ = ["STEP_MS", "Members", "name_at", "pack_names", "unpack_names"]

STEP_MS = 1000
MAX_KEPT = 200_000


def pack_names(names: Sequence[str]) -> bytes:
    """Return names as they are stored; those that are not UTF-8 keep their bytes, too."""
    return zlib.compress(json.dumps(list(names)).encode("ascii"), 6)


def unpack_names(packed: bytes) -> list[str]:
    """Return the names that were packed."""
    return cast("list[str]", json.loads(zlib.decompress(packed)))


class Members:
    """Looks names up, and keeps those of the videos that were asked for last; they never change.

    Args:
        store: The stored state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[int, list[str]] = OrderedDict()
        self._size = 0

    def names(self, videos: Iterable[int]) -> dict[int, list[str]]:
        """Return the names of several videos in one round trip, none for a video without.

        Raises:
            redis.RedisError: If Redis does not answer.
        """
        # Looked up once each: what is kept may be let go of in between.
        found = {video: self._kept.get(video) for video in dict.fromkeys(videos)}
        missing = [video for video, names in found.items() if names is None]
        if missing:
            packed = self._store.redis.mget([self._store.keys.members(video) for video in missing])
            for video, value in zip(missing, cast("list[bytes | None]", packed), strict=True):
                found[video] = unpack_names(value) if value else []
                self._keep(video, found[video] or [])
        return {video: names or [] for video, names in found.items()}

    def name(self, video: int, time_ms: int) -> str | None:
        """Return the name of the picture that stands at a time; None if that is not known."""
        return name_at(self.names([video])[video], time_ms)

    def _keep(self, video: int, names: list[str]) -> None:
        # Threads that come here together keep the same names twice at worst.
        if video not in self._kept:
            self._kept[video] = names
            self._size += 1 + len(names)
        while self._size > MAX_KEPT and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._size -= 1 + len(dropped)


def name_at(names: Sequence[str], time_ms: int) -> str | None:
    """Return the name of the picture that stands at a time; None if there is none."""
    index = time_ms // STEP_MS
    return names[index] if index < len(names) else None
