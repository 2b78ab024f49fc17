"""The threads that run tasks, one unit each, in a worker process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from celery.concurrency.thread import TaskPool

__all__ = ["WakingPool"]


class WakingPool(TaskPool):  # type: ignore[misc]
    """Celery's pool of threads, which tells the consumer at once when a task has ended.

    A finished task's acknowledgement is left to the consumer's loop. Without a prompt that would come by only when its
    poll times out, up to a second later, and with one message a thread nothing new is fetched before.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hears, self._tells = os.pipe()
        for end in (self._hears, self._tells):
            os.set_blocking(end, False)

    def register_with_event_loop(self, hub: Any) -> None:
        """Have the consumer's loop wake up; called once a connection."""
        hub.add_reader(self._hears, self._drain)

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run a task in a thread."""

        def end(result: Any) -> None:
            if callback is not None:
                callback(result)
            # A full pipe wakes the reader as well.
            with suppress(BlockingIOError):
                os.write(self._tells, b".")

        return super().on_apply(target, args, kwargs, end, accept_callback, **options)

    def _drain(self, *_: Any) -> None:
        with suppress(BlockingIOError):
            os.read(self._hears, 4096)

    def on_stop(self) -> None:
        """Wait for the tasks that run."""
        super().on_stop()
        for end in (self._hears, self._tells):
            os.close(end)
