"""Logs for machines: one JSON object a line, with what the record carries."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import logging
from hashreel.cli.logs import set_up_logging
set_up_logging("info", "json")
log = logging.getLogger("workers.encoding")
log.debug("not shown")
log.info("chunk %s", "größe", extra={"action": "commit", "job": "j-1", "video": 7})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed\\nbadly", extra={"request_id": "abc"})
"""


def test_a_line_is_one_json_object() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "workers.encoding",
        "message": "chunk größe",
        "action": "commit",
        "job": "j-1",
        "video": 7,
    }
    assert second["request_id"] == "abc"
    assert "ZeroDivisionError" in second["exception"]
