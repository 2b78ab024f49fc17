"""What the client repeats and what it does not, against a real server that answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hashreel import Client
from hashreel.errors import BadInputError, ForbiddenError, HashreelError, UnavailableError

ANSWER = b"""{"hits": [], "code": "00", "bits": 8, "fingerprint": "f", "position": {"generation": "g", "log_id": "1-0"},
"new_field": 1}"""


@dataclass
class Script:
    """The answers to give in turn: (status, headers, body), or None to break the connection."""

    answers: list[tuple[int, dict[str, str], bytes] | None]
    seen: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script([])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.seen.append(f"{self.command} {self.path}")
            script.headers.append(dict(self.headers))
            told = script.answers.pop(0)
            if told is None:
                self.close_connection = True
                return
            status, headers, body = told
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the base class names them

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


def problem(status: int, detail: str = "loading") -> tuple[int, dict[str, str], bytes]:
    body = f'{{"type": "about:blank", "title": "x", "status": {status}, "detail": "{detail}"}}'
    return status, {"Content-Type": "application/problem+json", "Retry-After": "0"}, body.encode()


def test_a_search_is_tried_again_while_the_service_says_soon(script):
    script.answers = [problem(503), None, (200, {}, ANSWER)]
    with Client(script.url, api_key="k1") as client:
        assert client.search("code:00").code == "00"
    assert script.seen == ["POST /v1/search"] * 3
    assert script.headers[0]["Authorization"] == "Bearer k1"


def test_tries_end(script):
    script.answers = [problem(503)] * 9
    with Client(script.url) as client, pytest.raises(UnavailableError, match="loading"):
        client.video(1)
    assert len(script.seen) == 3


@pytest.mark.parametrize("answer", [problem(503), None])
def test_what_changes_something_is_sent_once(script, answer):
    script.answers = [answer, problem(200)]
    with Client(script.url) as client, pytest.raises(UnavailableError):
        client.enqueue("a.mp4")
    assert len(script.seen) == 1
    script.answers = [answer, problem(200)]
    with Client(script.url) as client, pytest.raises(UnavailableError):
        client.delete_video(1)
    assert len(script.seen) == 2


def test_a_refusal_is_not_repeated(script):
    script.answers = [problem(422, "no"), problem(401, "who are you"), problem(418, "tea")]
    with Client(script.url) as client:
        with pytest.raises(BadInputError, match="no"):
            client.video(1)
        with pytest.raises(ForbiddenError, match="who are you"):
            client.video(1)
        with pytest.raises(HashreelError, match="tea") as caught:
            client.video(1)
    assert caught.value.status == 418
    assert len(script.seen) == 3


def test_another_server_at_the_address_is_noticed(script):
    script.answers = [
        (200, {}, b"<html>hello</html>"),
        (500, {}, b"<html>oops</html>"),
        (302, {"Location": "/login"}, b""),
    ]
    with Client(script.url) as client:
        with pytest.raises(HashreelError, match="is it a Hashreel service"):
            client.video(1)
        with pytest.raises(HashreelError, match="500 and no reason"):
            client.video(1)
        with pytest.raises(HashreelError, match="302"):
            client.video(1)


def test_a_proxy_in_front_that_cannot_reach_the_service_is_no_health(script):
    script.answers = [(503, {}, b"<html>bad gateway</html>")]
    with Client(script.url) as client, pytest.raises(UnavailableError, match="503"):
        client.health()


def test_proxy_variables_do_not_swallow_calls(script, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    script.answers = [(200, {}, ANSWER)]
    with Client(script.url) as client:
        assert len(client.search("code:00")) == 0


def test_silence_is_named_and_not_repeated():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, timeout_s=0.2) as client, pytest.raises(UnavailableError, match=r"within 0\.2 s"):
            client.video(1)
