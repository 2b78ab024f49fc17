"""Waiting for something that goes on in the service: look, show, pause, and again, with and without ``await``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from hashreel.client.job_waits import pauses

__all__ = ["wait_for", "wait_for_async"]

M_co = TypeVar("M_co", covariant=True)
M = TypeVar("M")
Shown = AbstractContextManager[Callable[[M], object]]


class _Waitable(Protocol[M_co]):
    @property
    def id(self) -> str: ...

    @property
    def state(self) -> str: ...

    def status(self) -> M_co: ...


class _AsyncWaitable(Protocol[M_co]):
    @property
    def id(self) -> str: ...

    @property
    def state(self) -> str: ...

    async def status(self) -> M_co: ...


def wait_for(thing: _Waitable[M], ended: Collection[str], shown: Shown[M], timeout_s: float | None) -> None:
    """Return when a thing's state is one of ``ended``; WaitTimeoutError after ``timeout_s``, while it goes on."""
    rhythm = pauses(thing.id, timeout_s)
    with shown as show:
        while True:
            show(thing.status())
            if thing.state in ended:
                return
            time.sleep(next(rhythm))


async def wait_for_async(
    thing: _AsyncWaitable[M], ended: Collection[str], shown: Shown[M], timeout_s: float | None
) -> None:
    """Do as :func:`wait_for`, without blocking the event loop."""
    rhythm = pauses(thing.id, timeout_s)
    with shown as show:
        while True:
            show(await thing.status())
            if thing.state in ended:
                return
            await asyncio.sleep(next(rhythm))
