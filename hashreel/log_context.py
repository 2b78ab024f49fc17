"""What every line of log carries beside its own facts: which request, job and unit it belongs to.

Held in a context variable, so each thread and each request has its own. Imports nothing, as the front door must.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["ContextFilter", "bound", "bound_fields"]

_FIELDS: ContextVar[Mapping[str, str]] = ContextVar("hashreel_log_fields", default={})  # noqa: B039  never changed


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Let lines that are logged inside carry fields; empty ones are left out."""
    token = _FIELDS.set({**_FIELDS.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def bound_fields() -> Mapping[str, str]:
    """Return the fields that hold here."""
    return _FIELDS.get()


class ContextFilter(logging.Filter):
    """Puts the fields on each record that does not have its own of the same names."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _FIELDS.get().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True
