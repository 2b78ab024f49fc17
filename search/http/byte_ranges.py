"""Sends a file, whole or in parts, to a player that seeks in it."""

from __future__ import annotations

import os
import re
from mimetypes import guess_type
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from search.http.problems import ProblemResponse, http_problem, request_id_of

__all__ = ["SourceResponse", "matches", "media_type_of"]

ONE_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")
# Suffixes whose type the platform's tables may lack.
MEDIA_TYPES = {".mkv": "video/x-matroska", ".m4v": "video/mp4", ".webm": "video/webm", ".avif": "image/avif"}


def media_type_of(path: Path) -> str:
    """Return the content type of a source by its suffix; what is not moving or still pictures is plain bytes.

    A browser must not be brought to render a file of the archive as a page or run it as a script.
    """
    kind = MEDIA_TYPES.get(path.suffix.lower()) or guess_type(path.name)[0] or ""
    is_picture = kind.startswith(("video/", "audio/", "image/")) and kind != "image/svg+xml"
    return kind if is_picture else "application/octet-stream"


class SourceResponse(FileResponse):
    """A file with byte ranges: 206, 416 and 304 as RFC 9110 has them.

    Args:
        path: A regular file.
        status: Its ``os.stat_result``; the ETag comes from its time of change and size.
    """

    def __init__(self, path: Path, status: os.stat_result) -> None:
        super().__init__(path, stat_result=status, media_type=media_type_of(path))
        self.headers["cache-control"] = "private, max-age=0, must-revalidate"
        self.size = status.st_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if matches(headers.get("if-none-match", ""), self.headers["etag"]):
            kept = {name: self.headers[name] for name in ("etag", "cache-control", "last-modified")}
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        wanted = ONE_RANGE.fullmatch(headers.get("range", "").strip())
        if wanted is None or _is_reversed(wanted) or not self._is_current(headers.get("if-range")):
            # Several ranges at once and what is no range are answered with the whole file, as the standard allows.
            rest = [pair for pair in scope["headers"] if pair[0] != b"range"]
            await super().__call__({**scope, "headers": rest}, receive, send)
        elif self._is_outside(wanted):
            detail = f"the range {wanted.group()!r} lies outside of the file's {self.size} bytes"
            problem = http_problem(416, detail, request_id_of(scope))
            await ProblemResponse(problem, {"Content-Range": f"bytes */{self.size}"})(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _is_current(self, if_range: str | None) -> bool:
        return if_range is None or if_range in {self.headers["etag"], self.headers["last-modified"]}

    def _is_outside(self, wanted: re.Match[str]) -> bool:
        start, _, suffix = wanted.groups()
        return int(start) >= self.size if start is not None else int(suffix) == 0 or self.size == 0


def _is_reversed(wanted: re.Match[str]) -> bool:
    start, end, _ = wanted.groups()
    return bool(start and end) and int(start) > int(end)


def matches(if_none_match: str, etag: str) -> bool:
    """Return whether an If-None-Match header names the ETag."""
    # The weak comparison, which is the one for reading.
    given = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return etag in given or "*" in given
