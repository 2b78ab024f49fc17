"""Log output of long-running commands: one line a record, on stderr."""

from __future__ import annotations

import logging
import sys

__all__ = ["set_up_logging"]

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "data"}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extras = " ".join(f"{name}={value}" for name, value in record.__dict__.items() if name not in _STANDARD)
        line = f"{self.formatTime(record)} {record.levelname.lower():7} {record.name}: {record.getMessage()}"
        if extras:
            line = f"{line} [{extras}]"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logging(level: str) -> None:
    """Send log records of at least ``level`` to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "PIL", "numba", "kombu", "amqp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, getattr(logging, level.upper())))
