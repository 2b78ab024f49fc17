"""A web server for sources: byte ranges, redirects, versions, and trouble at will."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What stands at a path.

    Attributes:
        content: The body.
        etag: Its version; empty sends none.
        has_ranges: Whether parts are given.
        has_length: Whether the size is told.
        cuts: After so many bytes the connection breaks, answer by answer; then it breaks no more.
        status: Answers with this instead, answer by answer.
        location: Redirects there.
        pause: Called before the body.
    """

    content: bytes = b""
    etag: str = '"1"'
    has_ranges: bool = True
    has_length: bool = True
    cuts: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    location: str = ""
    pause: Callable[[], object] = lambda: None


class Web:
    """The pages by path, and what was asked for: (path, Range or empty) each."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str]] = []

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def put(self, path: str, content: bytes = b"", **options: object) -> Page:
        self.pages[path] = Page(content, **options)  # type: ignore[arg-type]
        return self.pages[path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        page = web.pages.get(self.path)
        wanted = self.headers.get("Range", "")
        web.asked.append((self.path, wanted))
        self.close_connection = True
        if page is None or page.status:
            return self._begin(page.status.pop(0) if page else 404, {"Content-Length": "0"})
        if page.location:
            return self._begin(302, {"Location": page.location, "Content-Length": "0"})
        start = 0
        headers = {"ETag": page.etag} if page.etag else {}
        if page.has_ranges and wanted and self.headers.get("If-Range", page.etag) == page.etag:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(page.content) - 1}/{len(page.content)}"
        body = page.content[start:]
        if page.has_length:
            headers["Content-Length"] = str(len(body))
        self._begin(206 if "Content-Range" in headers else 200, headers)
        page.pause()
        with suppress(ConnectionError):  # whoever asked may have heard enough
            self.wfile.write(body[: page.cuts.pop(0)] if page.cuts else body)
        return None

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def web_files() -> Iterator[Web]:
    """Serve pages on a free port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.web = Web(server.server_port)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.web  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()
