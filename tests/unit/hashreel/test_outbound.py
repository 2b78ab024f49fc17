"""Reading addresses that users name: what is refused, what is bounded, and what gets through."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hashreel.errors import BadInputError, ForbiddenError, HashreelError, TooLargeError, UnavailableError
from hashreel.outbound import OutboundRules, check_target, fetch, opened, without_login

HERE = "127.0.0.0/8"


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        type(self).seen.append((self.path, self.headers.get("Range")))
        kind, _, rest = self.path[1:].partition("/")
        if kind == "to":  # where a redirect leads
            self.send_response(302)
            self.send_header("Location", rest)
            self.end_headers()
        elif kind == "loop":
            self.send_response(307)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif kind == "bytes":
            self._send(b"x" * int(rest))
        elif kind == "unannounced":
            self.send_response(200)
            self.end_headers()
            self._write(b"x" * int(rest))
        elif kind == "gzip":
            self._send(b"\x1f\x8b", encoding="gzip")
        elif kind == "trickle":
            self.send_response(200)
            self.end_headers()
            while self._write(b"x"):
                self.server.stop.wait(0.05)  # type: ignore[attr-defined]
        else:
            self.send_error(404)

    def _send(self, body: bytes, encoding: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self._write(body)

    def _write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
        except OSError:  # the reader had enough
            return False
        return not self.server.stop.is_set()  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"seen": []}))
    made.stop = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.stop.set()  # type: ignore[attr-defined]
    made.shutdown()
    thread.join()
    made.server_close()


def rules(*hosts: str, **bounds: Any) -> OutboundRules:
    return OutboundRules(hosts, "picture_hosts", **{"max_bytes": 1000, "timeout_s": 30.0} | bounds)


def seen(server: ThreadingHTTPServer) -> list[tuple[str, str | None]]:
    return server.RequestHandlerClass.seen  # type: ignore[attr-defined, no-any-return]


def test_what_is_listed_is_read(server: ThreadingHTTPServer) -> None:
    port = server.server_port
    assert fetch(f"http://127.0.0.1:{port}/bytes/1000", rules(HERE)) == b"x" * 1000
    named = rules(f"localhost:{port}", HERE, "::1")
    assert fetch(f"http://localhost:{port}/to//bytes/7", named) == b"x" * 7
    with opened(f"http://localhost:{port}/bytes/3", named, {"Range": "bytes=0-"}) as download:
        assert (b"".join(download), download.url) == (b"xxx", f"http://localhost:{port}/bytes/3")
    assert seen(server)[-1] == ("/bytes/3", "bytes=0-")


REFUSED = [
    ("http://127.0.0.1/", ()),
    ("http://127.0.0.1/", ("*",)),
    ("http://[::1]/", ("*",)),
    ("http://pictures.example/", ("other.example",)),
    ("http://pictures.example:8080/", ("pictures.example",)),
    ("http://pictures.example/", ("pictures.example:8080",)),
    ("http://evilpictures.example/", ("*.pictures.example", "pictures.example")),
    ("http://pictures.example@127.0.0.1/", ("pictures.example",)),
    ("http://127.0.0.1#@pictures.example/", ("pictures.example",)),
    ("http://169.254.169.254/latest/meta-data", ("*", "10.0.0.0/8")),
    ("ftp://pictures.example/", ("*",)),
    ("file:///etc/passwd", ("*",)),
    ("http:///no-host", ("*",)),
    ("http://xn--/", ("*",)),
    ("http://..../", ("*",)),
    ("http://pictures.example\\@127.0.0.1/", ("*",)),
    ("http://pictures.example/\n", ("*",)),
    ("http://pictures.example:99999/", ("*",)),
    ("http://" + "a" * 3000, ("*",)),
    ("", ("*",)),
]


@pytest.mark.parametrize(("url", "hosts"), REFUSED)
def test_other_addresses_are_refused_before_anything_is_asked(url: str, hosts: tuple[str, ...]) -> None:
    with pytest.raises((BadInputError, ForbiddenError)) as caught:
        check_target(url, rules(*hosts))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1",
     "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
     "::7f00:1", "fec0::1", "2001:0:53aa:64c::80ff:fffe"],
)  # fmt: skip
def test_names_that_resolve_to_addresses_that_are_not_public(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 80))
    hidden = (family, socket.SOCK_STREAM, 6, "", (address, 80))
    # One bad address among good ones is enough: the next look-up may give only that.
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [public, hidden])
    with pytest.raises(ForbiddenError, match=r"not public.*HASHREEL_PICTURE_HOSTS"):
        fetch("http://pictures.example/", rules("*"))
    with pytest.raises(ForbiddenError, match="not public"):
        fetch("https://pictures.example/", rules("pictures.example"))


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        looked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", resolve)
        url = f"http://pictures.example:{server.server_port}/bytes/5"
        # A second look-up, as a rebinding name would wait for, would find no such host here.
        assert fetch(url, rules(f"pictures.example:{server.server_port}", HERE)) == b"xxxxx"
    assert looked.count("pictures.example") == 1


def test_redirects_are_checked_like_the_first_address(server: ThreadingHTTPServer) -> None:
    base = f"http://127.0.0.1:{server.server_port}"
    only_here = rules(HERE, max_redirects=2)
    for target in ("http://10.0.0.1/", "http://pictures.example/", "file:///etc/passwd", "//169.254.169.254/"):
        with pytest.raises((ForbiddenError, BadInputError)):
            fetch(f"{base}/to/{target}", only_here)
    with pytest.raises(BadInputError, match="more than 2 redirects"):
        fetch(f"{base}/loop", only_here)
    assert len(seen(server)) == 4 + 3


def test_sizes_statuses_and_forms_are_bounded(server: ThreadingHTTPServer) -> None:
    base = f"http://127.0.0.1:{server.server_port}"
    for path in ("bytes/1001", "unannounced/1001", "unannounced/10000000"):
        with pytest.raises(TooLargeError, match="1000 bytes"):
            fetch(f"{base}/{path}", rules(HERE))
    with pytest.raises(BadInputError, match="status 404"):
        fetch(f"{base}/nothing", rules(HERE))
    with pytest.raises(BadInputError, match="compressed"):
        fetch(f"{base}/gzip", rules(HERE))


def test_what_does_not_end_in_time_is_given_up(server: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/trickle"
    with pytest.raises(UnavailableError, match=r"within 0\.5 s"):
        fetch(url, rules(HERE, timeout_s=0.5, max_bytes=10**9))
    with pytest.raises(UnavailableError, match="cannot be read"):
        fetch("http://127.0.0.1:9/", rules(HERE))


def test_what_a_reader_raises_stays_what_it_is(server: ThreadingHTTPServer) -> None:
    with pytest.raises(OSError, match="disk"), opened(f"http://127.0.0.1:{server.server_port}/bytes/3", rules(HERE)):
        raise OSError("no room on the disk")


@pytest.mark.parametrize("entry", ["http://pictures.example", "a b", "*.*", "10.0.0.0/99", "", "name:port"])
def test_entries_of_the_list_that_mean_nothing_are_refused(entry: str) -> None:
    with pytest.raises(HashreelError, match="picture_hosts"):
        rules(entry)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://token@host/a", "https://***@host/a"),
        ("sftp://user:pass word@host:22/a@b:c@d", "sftp://***@host:22/a@b:c@d"),
        ("sftp://user@host/a", "sftp://user@host/a"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
    ],
)
def test_address_is_shown_without_a_password(url: str, shown: str) -> None:
    assert without_login(url) == shown
