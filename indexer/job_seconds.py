"""What a job's work has taken beside decoding and the network, as far as a commit could not say it of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from indexer import scripts

if TYPE_CHECKING:
    from indexer.store import Store

__all__ = ["JobSeconds"]


class JobSeconds:
    """Adds to the seconds of the jobs that videos belong to.

    Args:
        store: The stored state.
    """

    def __init__(self, store: Store) -> None:
        self._keys = store.keys
        self._add = store.redis.register_script(scripts.ADD_SECONDS)

    def add_rest(self, video: int, seconds: float) -> None:
        """Add to the ``commit_s`` of a video's job; nothing happens if there is no such job (any more).

        Args:
            video: Video number.
            seconds: Spent on planning, or on a commit.

        Raises:
            redis.RedisError: If Redis does not answer.
        """
        self._add(args=[self._keys.prefix, f"{time.time():.6f}", video, f"{seconds:.6f}"])
