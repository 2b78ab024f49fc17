"""What somebody sends who means harm: none of it brings an unexpected error, holds a connection, or hides an action."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
from memory_service import MemoryEngine, MemoryQueue, Switch, serve

from hashreel.schemas import EvaluationModel
from hashreel.settings import Settings
from search.http import make_app
from search.http.access import make_access
from search.http.body_limit import BodyLimit
from search.http.head_limit import HeadLimit

PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}
CODE = {"query": {"code": "00" * 6}}
STRANGE = [
    ("POST", "/v1/search", b'{"\\ud800": 1, "query": {"code": "000000000000"}}'),
    ("POST", "/v1/search", b'{"query": {"code": "000000000000", "\\udfff": {"\\ud800": 1}}}'),
    ("POST", "/v1/search", b'{"query": ' + b'{"a":' * 30_000),
    ("POST", "/v1/search", b"[" * 150_000 + b"]" * 20_000),
    ("POST", "/v1/search", b'{"query": {"code": "000000000000"}, "top": 1' + b"0" * 10_000 + b"}"),
    ("POST", "/v1/search", b'{"query": {"code": "000000000000"}, "top": NaN}'),
    ("POST", "/v1/search", b'{"query": {"code": "000000000000"}, "top": -1}'),
    ("POST", "/v1/search", b'{"query": {"code": "000000000000"}, "concepts": ["a"], "min_area": NaN}'),
    ("POST", "/v1/search", b'{"query": {"image": "", "box": [NaN, 0, 1, 1]}}'),
    ("POST", "/v1/search", b'{"query": {"image": "", "box": [0, 0, Infinity, 1e999]}}'),
    ("POST", "/v1/search", b'{"query": {"code": "000000000000"}, "between": [-1, 5]}'),
    ("POST", "/v1/search", '{"query": {"code": "００００００００００００"}}'.encode()),
    ("POST", "/v1/search", '{"query": {"frame": "١٢"}}'.encode()),
    ("POST", "/v1/jobs", b'{"sources": ["a"], "policy": {"seconds": NaN}}'),
    ("POST", "/v1/jobs", b'{"sources": ["a\\u0000b"]}'),
    ("POST", "/v1/jobs", b'{"sources": ["a"], "tags": {"\\ud800": "x"}}'),
    ("POST", "/v1/evaluations", b'{"truth": "x", "format": "shots", "frame_rate": Infinity}'),
    ("PATCH", "/v1/videos/1/tags", b'{"tags": {"a\\u0000": "x"}}'),
    ("GET", "/v1/jobs/j:videos", b""),
    ("GET", "/v1/failures?job=j:videos", b""),
    ("GET", "/v1/failures?job=%00", b""),
    ("GET", "/v1/frames/-1/thumbnail", b""),
    ("GET", "/v1/frames/9223372036854775808/thumbnail", b""),
    ("GET", "/v1/videos/..%2f..%2fetc%2fpasswd/source", b""),
    ("GET", "/static/..%2f..%2fhttp%2fapp.py", b""),
    ("GET", "/static/%00", b""),
    ("POST", "/v1/index/import?source=uploads/" + "%F0%9F%8E%9E" * 250, b""),
    ("POST", "/v1/index/import?source=uploads/" + "x" * 900, b""),
    ("POST", "/v1/index/import?source=uploads/%00", b""),
    ("POST", "/v1/index/import?source=uploads/..%2f..%2fetc", b""),
    ("POST", "/v1/uploads?filename=..%2f..", b"x"),
]


@pytest.mark.parametrize(("method", "address", "content"), STRANGE, ids=range(len(STRANGE)))
def test_strange_requests_are_refused_with_a_reason(service, method: str, address: str, content: bytes) -> None:
    answer = service.http.request(method, address, content=content, headers=JSON)
    assert answer.status_code in {400, 404, 405, 422}, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert json.loads(answer.content.decode())["detail"]


def test_every_answer_protects_the_browser_and_none_is_for_other_sites(service) -> None:
    addresses = ["/", "/static/app.js", "/static/nothing.js", "/openapi.json", "/healthz", "/v1/videos", "/v1/videos/1"]
    addresses += ["/v1/videos/1/source", "/v1/frames/4294967296/thumbnail", "/metrics", "/nowhere"]
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("GET", "HEAD", "OPTIONS"):
        for address in addresses:
            headers = service.http.request(method, address, headers=foreign).headers
            assert headers["content-security-policy"].startswith("default-src 'none'"), (method, address)
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert not [name for name in headers if name.startswith("access-control")]


FLOODS = {
    "/v1/search": [
        CODE | {f"a{number}": 1 for number in range(9000)},
        {"query": {f"a{number}": 1 for number in range(9000)}},
        CODE | {"tags": {f"={number}": [1] * 3 for number in range(6000)}},
    ],
    "/v1/jobs": [{"sources": ["a"], "tags": {f"={number}": 1 for number in range(9000)}}],
    "/v1/search/batch": [{"requests": [{"a": 1, "b": 2, "c": 3}] * 250}],
}


@pytest.mark.parametrize(
    ("address", "document"), [(name, one) for name, all_ in FLOODS.items() for one in all_], ids=range(5)
)
def test_a_flood_of_wrong_fields_makes_no_flood_of_errors(service, address: str, document: dict) -> None:
    answer = service.http.post(address, json=document)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) <= 100
    assert len(answer.content) < 20_000


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return a maker of servers that wait for so long; each ends with the test."""
    opened = []

    def start(head_s: float, silence_s: float) -> str:
        class Quick(HeadLimit):
            pass

        Quick.head_s = head_s
        usual = uvicorn.Config
        app = make_app(MemoryEngine(), MemoryQueue(MemoryEngine()), Settings(data=tmp_path))
        limited = next(one for one in app.user_middleware if one.cls is BodyLimit)
        limited.kwargs["silence_s"] = silence_s
        with monkeypatch.context() as patched:
            patched.setattr(uvicorn, "Config", lambda *given, **options: usual(*given, http=Quick, **options))
            opened.append(serve(app))
            return opened[-1].__enter__()

    yield start
    for one in opened:
        one.__exit__(None, None, None)


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def rest_of(sender: socket.socket) -> bytes:
    got = b""
    with suppress(ConnectionError):  # closed on bytes that nobody read
        while data := sender.recv(65536):
            got += data
    return got


def test_whoever_sends_no_end_of_a_head_or_a_body_is_let_go(slow: Callable[..., str]) -> None:
    url = slow(0.2, 0.2)
    for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: local"):
        with closing(connected(url)) as sender:
            sender.sendall(begun)
            assert rest_of(sender) == b""  # closed
    patient = slow(60.0, 0.2)
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    with closing(connected(patient)) as sender:
        sender.sendall(head + b'{"query"')
        answer = rest_of(sender)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"send it again" in answer
    with httpx.Client(base_url=slow(60.0, 60.0), trust_env=False) as usual:
        assert usual.post("/v1/search", json=CODE).status_code == 200
        assert usual.get("/healthz").status_code == 200  # on the same connection


class Falling(MemoryEngine):
    """An engine that breaks after it has done what was asked for, and finds pictures only at the second try."""

    looked = 0

    def delete_video(self, video_id: int, *, purge: bool = False):
        super().delete_video(video_id, purge=purge)
        raise RuntimeError("a bug")

    def thumbnail(self, frame_id: int, width: int = 320) -> bytes:
        self.looked += 1
        return super().thumbnail(frame_id if self.looked > 1 else 1, width)


def test_the_audit_log_tells_every_kind_of_action_also_one_that_broke_and_no_secret(
    server: tuple[Switch, str], redis_server, tmp_path: Path
) -> None:
    engine = Falling()
    engine.add_video("archive/a.mp4", 3)
    queue = MemoryQueue(engine)
    settings = Settings(data=tmp_path)
    access = make_access(settings, redis_server.client())
    assert access.audit is not None
    server[0].app = make_app(engine, queue, settings, access)
    http = httpx.Client(base_url=server[1], trust_env=False)
    made = {
        "job": http.post("/v1/jobs", json={"sources": ["archive/b.mp4"]}).json()["id"],
        "watch": http.post("/v1/watches", json={"queries": [CODE["query"]]}).json()["id"],
        "upload": http.post("/v1/uploads?filename=c.mp4", content=b"bytes").json()["source"],
        "evaluation": EvaluationModel.model_validate_json(
            http.post("/v1/evaluations", json={"truth": "video,start_s,end_s,concepts\na.mp4,0,5,sea\n"}).content
        ).id,
    }
    http.patch("/v1/videos/1/tags", json={"tags": {"case": "17"}})
    frame = "/v1/frames/4294967296/thumbnail"
    assert [http.get(frame).status_code for _ in range(3)] == [404, 200, 200]
    secret = "hr_0123456789ab_" + "s" * 43
    http.get(f"/v1/index/export?format=npz&key={secret}")
    assert http.delete("/v1/videos/1").status_code == 500
    key = http.post("/v1/keys", json={"name": "root", "scope": "admin"}).json()
    http.close()
    access.audit.close()
    entries = access.audit.page().entries[::-1]
    assert [(e.action, e.status) for e in entries if e.path == frame] == [("view", 404), ("view", 200)]
    assert [e.notes.get("made") for e in entries if e.method == "POST"] == [*made.values(), key["id"]]
    assert next(e for e in entries if e.method == "PATCH").notes == {"tags": {"case": "17"}}
    assert [e.status for e in entries if e.action == "delete"] == [500]
    assert [e.action for e in entries if e.path == "/v1/index/export"] == ["export"]
    told = json.dumps([entry.model_dump() for entry in entries])
    assert "sss" not in told
    assert key["secret"][16:] not in told
