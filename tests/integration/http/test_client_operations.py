"""Every operation of the service is a method of both clients, and that method asks for just that operation."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hashreel import AsyncClient, Client
from hashreel.client import Job
from hashreel.client.asynchronous import AsyncJob
from hashreel.client.evaluation_jobs import AsyncEvaluationJob, EvaluationJob
from hashreel.errors import NotFoundError
from hashreel.schemas import EvaluationModel, JobModel
from search.http.examples import EXAMPLES

OPENAPI = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())
# Nothing that a client would call; why, stands beside it.
NOT_FOR_CLIENTS = {
    "GET /healthz": "a probe of process managers; health() asks /readyz, which says more",
    "GET /metrics": "for Prometheus",
    "POST /v1/session": "signs a browser in",
    "DELETE /v1/session": "signs a browser out",
    "GET /v1/jobs/{job_id}/events": "for the page; wait() looks at the job, which outlives a restart of the service",
    "POST /v1/search/image": "for curl and forms; search() sends the same picture in a document",
}


def operations() -> set[str]:
    return {f"{method.upper()} {path}" for path, known in OPENAPI["paths"].items() for method in known}


def job(client: Any) -> Any:
    kind = Job if isinstance(client, Client) else AsyncJob
    return kind(client, JobModel.model_validate(EXAMPLES["JobModel"]))


def evaluation(client: Any) -> Any:
    kind = EvaluationJob if isinstance(client, Client) else AsyncEvaluationJob
    return kind(client, EvaluationModel.model_validate(EXAMPLES["EvaluationModel"]))


CALLS: dict[str, Callable[[Any, Path], Any]] = {
    "GET /readyz": lambda c, _: c.health(),
    "GET /v1/audit": lambda c, _: c.audit(),
    "GET /v1/collections": lambda c, _: c.collections(),
    "POST /v1/collections": lambda c, _: c.create_collection("faces"),
    "DELETE /v1/collections/{name}": lambda c, _: c.drop("faces"),
    "GET /v1/collections/{name}": lambda c, _: c.collection("faces"),
    "POST /v1/collections/{name}/cutover": lambda c, _: c.cut_over("faces", "2"),
    "POST /v1/collections/{name}/reencode": lambda c, _: c.reencode("faces", "default"),
    "POST /v1/collections/{name}/rollback": lambda c, _: c.roll_back("faces"),
    "GET /v1/evaluations": lambda c, _: c.evaluations(),
    "POST /v1/evaluations": lambda c, _: c.evaluate("path,concept\na.mp4,x\n"),
    "GET /v1/evaluations/{evaluation_id}": lambda c, _: c.evaluation("5e1ac7"),
    "POST /v1/evaluations/{evaluation_id}/cancel": lambda c, _: evaluation(c).cancel(),
    "GET /v1/evaluations/{evaluation_id}/report": lambda c, _: evaluation(c).report(),
    "POST /v1/evidence": lambda c, folder: c.evidence("code:00", folder / "out.zip"),
    "POST /v1/evidence/clip": lambda c, folder: c.clip_evidence(folder / "clip.mp4", folder / "out.zip"),
    "GET /v1/failures": lambda c, _: c.failures(),
    "POST /v1/frames": lambda c, _: c.frames("30064771073"),
    "GET /v1/frames/{frame_id}/mask": lambda c, _: c.mask("30064771073"),
    "GET /v1/frames/{frame_id}/thumbnail": lambda c, _: c.thumbnail("30064771073"),
    "GET /v1/index": lambda c, _: c.index(),
    "POST /v1/index/compact": lambda c, _: c.index("compact"),
    "GET /v1/index/export": lambda c, folder: c.export_index(folder / "gallery.npz"),
    "POST /v1/index/import": lambda c, folder: c.import_index(folder / "clip.mp4"),
    "POST /v1/index/rebuild": lambda c, _: c.index("rebuild"),
    "POST /v1/index/snapshot": lambda c, _: c.index("snapshot"),
    "POST /v1/index/verify": lambda c, _: c.index_verify(),
    "GET /v1/jobs": lambda c, _: c.jobs(),
    "POST /v1/jobs": lambda c, _: c.enqueue("archive/a.mp4"),
    "DELETE /v1/jobs/{job_id}": lambda c, _: job(c).delete(),
    "GET /v1/jobs/{job_id}": lambda c, _: c.job("3fd2a1b0c4d5"),
    "POST /v1/jobs/{job_id}/cancel": lambda c, _: job(c).cancel(),
    "POST /v1/jobs/{job_id}/retry": lambda c, _: job(c).retry(),
    "GET /v1/jobs/{job_id}/videos": lambda c, _: job(c).iter_videos(),
    "GET /v1/keys": lambda c, _: c.api_keys(),
    "POST /v1/keys": lambda c, _: c.create_key("mary"),
    "DELETE /v1/keys/{key_id}": lambda c, _: c.revoke_key("9f1c2ab04d77"),
    "POST /v1/search": lambda c, _: c.search("code:00"),
    "POST /v1/search/batch": lambda c, _: c.search_many(["code:00"]),
    "POST /v1/search/clip": lambda c, folder: c.search_clip(folder / "clip.mp4"),
    "POST /v1/search/ids": lambda c, _: c.search_ids("code:00"),
    "GET /v1/session": lambda c, _: c.session(),
    "GET /v1/suppressions": lambda c, _: c.suppressions(),
    "POST /v1/suppressions": lambda c, _: c.suppress("frame:30064771073"),
    "DELETE /v1/suppressions/{suppression_id}": lambda c, _: c.unsuppress("9f1c2ab04d77"),
    "POST /v1/uploads": lambda c, folder: c.upload(folder / "clip.mp4"),
    "GET /v1/videos": lambda c, _: c.videos(),
    "DELETE /v1/videos/{video_id}": lambda c, _: c.delete_video(7),
    "GET /v1/videos/{video_id}": lambda c, _: c.video(7),
    "POST /v1/videos/relocate": lambda c, _: c.relocate("archive/old", "archive/new"),
    "GET /v1/videos/{video_id}/source": lambda c, folder: c.download_source(7, folder / "video.mp4"),
    "PATCH /v1/videos/{video_id}/tags": lambda c, _: c.set_tags(7, {"case": "17"}),
    "GET /v1/watches": lambda c, _: c.watches(),
    "POST /v1/watches": lambda c, _: c.watch("code:00"),
    "DELETE /v1/watches/{watch_id}": lambda c, _: c.unwatch("4be0d1c2a397"),
    "GET /v1/watches/{watch_id}": lambda c, _: c.show_watch("4be0d1c2a397"),
    "PATCH /v1/watches/{watch_id}": lambda c, _: c.change_watch("4be0d1c2a397", name="x"),
    "GET /v1/watches/{watch_id}/deliveries": lambda c, _: c.deliveries("4be0d1c2a397"),
    "POST /v1/watches/{watch_id}/deliveries/{delivery_id}/retry": lambda c, _: c.retry_delivery("4be0d1c2a397", "d-1"),
    "GET /v1/watches/{watch_id}/hits": lambda c, _: c.watch_hits("4be0d1c2a397"),
    "POST /v1/watches/{watch_id}/hits/mark": lambda c, _: c.mark_hits("4be0d1c2a397", "30064771073", "dismissed"),
    "GET /v1/watches/{watch_id}/pictures/{number}": lambda c, _: c.watch_picture("4be0d1c2a397", 0),
    "POST /v1/watches/{watch_id}/rotate-secret": lambda c, _: c.rotate_secret("4be0d1c2a397", grace_s=60),
    "POST /v1/watches/{watch_id}/test-webhook": lambda c, _: c.test_webhook("4be0d1c2a397"),
}


class Recorder(BaseHTTPRequestHandler):
    """Writes down what is asked for, takes uploads, and answers everything else with 404."""

    def do_any(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        while size > 0 and (data := self.rfile.read(min(size, 65_536))):
            size -= len(data)
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")  # type: ignore[attr-defined]
        body = json.dumps(EXAMPLES["Upload"]).encode() if path == "/v1/uploads" else b"{}"
        self.send_response(201 if path == "/v1/uploads" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = do_any  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def recorder() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fits(asked: str, operation: str) -> bool:
    ours, theirs = asked.split("/"), operation.split("/")
    return len(ours) == len(theirs) and all(b.startswith("{") or a == b for a, b in zip(ours, theirs, strict=True))


def test_no_operation_is_forgotten() -> None:
    assert operations() - CALLS.keys() == NOT_FOR_CLIENTS.keys()


@pytest.mark.parametrize("operation", sorted(operations() & CALLS.keys()))
def test_both_clients_ask_for_it(operation: str, recorder: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    url = f"http://127.0.0.1:{recorder.server_port}"
    asked: list[str] = recorder.asked  # type: ignore[attr-defined]

    def last(ask: Callable[[], Any]) -> str:
        asked.clear()
        with suppress(NotFoundError):
            ask()
        return asked[-1]

    def at_once() -> None:
        with Client(url) as client:
            result = CALLS[operation](client, tmp_path)
            if isinstance(result, Iterator):
                next(result)

    async def awaited() -> None:
        async with AsyncClient(url) as client:
            result = CALLS[operation](client, tmp_path)
            if inspect.isawaitable(result):
                await result
            elif isinstance(result, AsyncIterator):
                await anext(result)

    assert fits(last(at_once), operation)
    assert fits(last(lambda: asyncio.run(awaited())), operation)
