"""A request's id, its job and its trace are found in every part that works for it: HTTP, message, worker, commit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from gallery_mirror import wait_until
from stacks import embedded_stack

from encoder.clips import generate_clip
from hashreel import Client

REQUEST = "case-17.upload-3"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """An OpenTelemetry collector as small as it can be: spans come by HTTP, as protocol buffers."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, dict[str, object]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.take(self.rfile.read(int(self.headers["Content-Length"])), self.headers["Content-Encoding"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: bytes, encoding: str | None) -> None:
        import gzip

        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if encoding == "gzip" else body)
        for resource in request.resource_spans:
            (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                facts = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
                ids = {"trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex()}
                self.spans.append((f"{service} {span.name}", facts | ids))

    def named(self, name: str, **facts: object) -> list[dict[str, object]]:
        return [found for known, found in self.spans if known == name and facts.items() <= found.items()]


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp", reason="traces need hashreel[traces]")
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join(10)


def lines(log: Path) -> list[dict[str, object]]:
    """Return the JSON lines of a log; Redis and warnings of libraries write others."""
    texts = log.read_text(errors="replace").splitlines()
    return [json.loads(text) for text in texts if text.startswith("{")]


def test_one_id_and_one_trace_from_the_request_to_the_commit(tmp_path: Path, collector: Collector) -> None:
    clip, data = tmp_path / "clip.mp4", tmp_path / "data"
    generate_clip(clip, seed=5, seconds=3.0, size=(96, 64), fps=8, shots=1)
    variables = {
        "HASHREEL_LOG_FORMAT": "json",
        "HASHREEL_TRACES": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with embedded_stack(data, **variables) as url, Client(url) as client:
        headers = {"X-Request-Id": REQUEST, "traceparent": f"00-{TRACE}-{PARENT}-01"}
        reply = httpx.post(f"{url}/v1/jobs", json={"sources": [str(clip)]}, headers=headers, trust_env=False)
        assert (reply.status_code, reply.headers["X-Request-Id"]) == (202, REQUEST)
        job = reply.json()["id"]
        client.job(job).wait(timeout_s=120)
        wait_until(lambda: bool(collector.named("hashreel-worker commit")), "the commit's span is sent")
        wait_until(lambda: bool(collector.named("hashreel-worker unit")), "the unit's span is sent")
        wait_until(lambda: bool(collector.named("hashreel-search POST /v1/jobs")), "the request's span is sent")
    (enqueued,) = [line for line in lines(data / "logs" / "serve.log") if line.get("action") == "enqueue"]
    assert (enqueued["request_id"], enqueued["job"]) == (REQUEST, job)
    committed = [line for line in lines(data / "logs" / "worker.log") if line.get("action") == "commit"]
    assert committed
    assert {(line["request_id"], line["job"]) for line in committed} == {(REQUEST, job)}
    assert all(str(line["unit"]).startswith(f"{line['video']}:") for line in committed)

    (request,) = collector.named("hashreel-search POST /v1/jobs", **{"hashreel.request_id": REQUEST})
    assert (request["trace"], request["parent"], request["http.response.status_code"]) == (TRACE, PARENT, 202)
    units = collector.named("hashreel-worker unit", trace=TRACE)
    assert {(unit["parent"], unit["hashreel.job"]) for unit in units} == {(request["id"], job)}
    commits = collector.named("hashreel-worker commit", trace=TRACE)
    assert {commit["parent"] for commit in commits} <= {unit["id"] for unit in units}
    assert commits
