"""Who sends the request that is being answered, for whatever is called on its way."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from hashreel.errors import ForbiddenError
from hashreel.schemas import Scope

__all__ = ["ANYONE", "SCOPES", "Caller", "Visit", "check_collection", "current_visit", "leave_note", "set_visit"]

SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""Each includes those before it."""


@dataclass(frozen=True)
class Caller:
    """Whoever holds a key; without keys, everybody.

    Attributes:
        id: The key's id; empty without one.
        collections: The only ones it may touch; None for all.
    """

    id: str
    name: str
    scope: Scope
    collections: frozenset[str] | None = None

    def has(self, scope: Scope) -> bool:
        """Return whether the key's scope includes another one."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def may_touch(self, collection: str) -> bool:
        """Return whether the key is good for a collection."""
        return self.collections is None or collection in self.collections

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.id else self.name


ANYONE = Caller("", "anyone", "admin")


@dataclass
class Visit:
    """One request: its caller, and what the audit log is to say about it."""

    caller: Caller = ANYONE
    notes: dict[str, Any] = field(default_factory=dict)
    queries: int = 0


_VISIT: ContextVar[Visit | None] = ContextVar("hashreel_visit", default=None)


def set_visit(visit: Visit) -> None:
    """Let everything that this request calls, other threads included, know who asks."""
    _VISIT.set(visit)


def current_visit() -> Visit:
    """Return the visit that is being served; outside of requests, one that may do everything."""
    return _VISIT.get() or Visit()


def leave_note(**facts: Any) -> None:
    """Say more about this request in the audit log, such as the id of what it made."""
    current_visit().notes.update(facts)


def check_collection(collection: str) -> None:
    """Raise ForbiddenError if the caller's key is limited to other collections."""
    caller = current_visit().caller
    if not caller.may_touch(collection):
        allowed = ", ".join(sorted(caller.collections or ()))
        raise ForbiddenError(
            f"key {caller} is limited to the collections {allowed}; {collection!r} is none of them; name one that is "
            "(collection=, --collection)"
        )
