"""Spans where they are asked for, nothing at all where not, and fields on every line of log."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from unittest.mock import patch

import pytest

from hashreel import traces
from hashreel.cli.logs import set_up_logging
from hashreel.errors import MissingExtraError
from hashreel.log_context import bound, bound_fields
from hashreel.settings import Settings

OFF = """
import sys
from hashreel.settings import Settings
from hashreel import traces
traces.set_up_traces(Settings(), "x")
first = traces.span("a", attributes={"b": 1})
with first as current:
    assert current is None and traces.carrier() == ""
traces.end_traces()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


def test_without_traces_nothing_is_imported_or_made() -> None:
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_context_travels_as_text() -> None:
    pytest.importorskip("opentelemetry.sdk", reason="traces need hashreel[traces]")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    with patch.object(traces, "_processor", lambda where: SimpleSpanProcessor(exporter)):
        traces.set_up_traces(Settings(traces="console"), "hashreel-test")
    try:
        with traces.span("request", kind="server"):
            text = traces.carrier()
        with (
            traces.span("unit", kind="consumer", parent=text, attributes={"hashreel.unit": "3:0"}),
            traces.span("commit"),
        ):
            pass
        with traces.span("unit", parent="not a context"):
            pass
    finally:
        traces.end_traces()
    commit, unit, request, other = (
        next(span for span in exporter.get_finished_spans() if span.name == name and bool(span.attributes) == has)
        for name, has in (("commit", False), ("unit", True), ("request", False), ("unit", False))
    )
    assert commit.parent.span_id == unit.context.span_id
    assert unit.parent.span_id == request.context.span_id
    assert {span.context.trace_id for span in (commit, unit)} == {request.context.trace_id}
    assert other.parent is None
    assert request.resource.attributes["service.name"] == "hashreel-test"
    assert traces.carrier() == ""


def test_a_missing_package_is_named() -> None:
    with (
        patch.dict(sys.modules, {"opentelemetry.sdk.resources": None}),
        pytest.raises(MissingExtraError, match="traces"),
    ):
        traces.set_up_traces(Settings(traces="otlp"), "x")


def test_lines_carry_what_is_bound_and_keep_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logging("info", "json")
        with bound(job="j1", request_id="r1", unit=""), bound(unit="3:0"):
            logging.getLogger("x").info("said", extra={"job": "own"})
        logging.getLogger("x").info("alone")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    inside, outside = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (inside["job"], inside["request_id"], inside["unit"]) == ("own", "r1", "3:0")
    assert not {"job", "request_id", "unit"} & outside.keys()
    assert bound_fields() == {}
