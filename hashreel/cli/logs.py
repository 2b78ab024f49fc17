"""Log output of long-running commands: one line a record, on stderr."""

from __future__ import annotations

import datetime
import json
import logging
import sys

from hashreel.cli.texts import visible
from hashreel.log_context import ContextFilter

__all__ = ["set_up_logging"]

# Not even at level debug: they tell of every packet, and botocore writes down the headers that carry credentials.
CHATTY = (
    *("httpx", "httpcore", "PIL", "numba", "kombu", "amqp", "asyncio", "urllib3"),
    *("aiobotocore", "botocore", "boto3", "fsspec", "gcsfs", "google", "paramiko", "s3fs"),
)
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "data"}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extras = " ".join(f"{name}={value}" for name, value in record.__dict__.items() if name not in _STANDARD)
        line = f"{self.formatTime(record)} {record.levelname.lower():7} {record.name}: {record.getMessage()}"
        line = visible(f"{line} [{extras}]" if extras else line)
        if record.exc_info is None:
            return line
        return line + visible(f"\n{self.formatException(record.exc_info)}", keep="\n")


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and whatever the record carries."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        line = {"time": when, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logging(level: str, form: str = "text") -> None:
    """Send log records of at least ``level`` to stderr, as lines for people ("text") or as "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _Formatter())
    handler.addFilter(ContextFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, getattr(logging, level.upper())))
