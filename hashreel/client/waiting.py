"""Waiting for something that goes on in the service: look, show, pause, and again, with and without ``await``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from hashreel.client.job_waits import pauses
from hashreel.errors import UnavailableError

__all__ = ["changes", "changes_async", "wait_for", "wait_for_async"]

OUTAGE_S = 300.0

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


class _Outage:
    """How long the service has not answered: a restart is sat out, an end is not."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_over(self) -> None:
        self._since = None

    def goes_on(self) -> None:
        """Raise again what is being handled, once it has lasted too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > OUTAGE_S:
            raise


def wait_for(thing: _Waitable[M], ended: Collection[str], shown: Shown[M], timeout_s: float | None) -> None:
    """Return when a thing's state is one of ``ended``; WaitTimeoutError after ``timeout_s``, while it goes on.

    A service that is away is asked again for five minutes; then its UnavailableError is raised.
    """
    rhythm, outage = pauses(thing.id, timeout_s), _Outage()
    with shown as show:
        while True:
            try:
                show(thing.status())
                outage.is_over()
            except UnavailableError:
                outage.goes_on()
            if thing.state in ended:
                return
            time.sleep(next(rhythm))


async def wait_for_async(
    thing: _AsyncWaitable[M], ended: Collection[str], shown: Shown[M], timeout_s: float | None
) -> None:
    """Do as :func:`wait_for`, without blocking the event loop."""
    rhythm, outage = pauses(thing.id, timeout_s), _Outage()
    with shown as show:
        while True:
            try:
                show(await thing.status())
                outage.is_over()
            except UnavailableError:
                outage.goes_on()
            if thing.state in ended:
                return
            await asyncio.sleep(next(rhythm))


def changes(thing: _Waitable[M], ended: Collection[str], timeout_s: float | None) -> Iterator[M]:
    """Yield a thing now and whenever it has changed, until its state is one of ``ended``; otherwise as ``wait_for``."""
    rhythm, outage = pauses(thing.id, timeout_s), _Outage()
    last: M | None = None
    while True:
        try:
            latest = thing.status()
            outage.is_over()
            if latest != last:
                last = latest
                yield latest
        except UnavailableError:
            outage.goes_on()
        if thing.state in ended:
            return
        time.sleep(next(rhythm))


async def changes_async(thing: _AsyncWaitable[M], ended: Collection[str], timeout_s: float | None) -> AsyncIterator[M]:
    """Do as :func:`changes`, without blocking the event loop."""
    rhythm, outage = pauses(thing.id, timeout_s), _Outage()
    last: M | None = None
    while True:
        try:
            latest = await thing.status()
            outage.is_over()
            if latest != last:
                last = latest
                yield latest
        except UnavailableError:
            outage.goes_on()
        if thing.state in ended:
            return
        await asyncio.sleep(next(rhythm))
