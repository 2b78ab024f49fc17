"""Reading sources by URL: which ones are allowed, and their bytes from a place on.

http and https go through :mod:`hashreel.outbound`, every other kind (s3, gs, sftp, ...) through
:mod:`workers.filesystems`, where the settings name the beginning of its address.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hashreel.errors import BadInputError, ForbiddenError, NotFoundError, TooLargeError, UnavailableError
from hashreel.outbound import OutboundRules, StatusError, check_target, is_web, opened
from workers.filesystems import file_system

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["Remote", "check_url", "open_remote"]

# What a server may answer better in a while.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
UNSATISFIABLE = 416


@dataclass(frozen=True)
class Remote:
    """A source that is being read.

    Attributes:
        blocks: Its bytes from ``start`` on.
        start: Where the blocks begin.
        size: Bytes of the whole source; None if that is not known.
        version: What tells this state of the source from others.
    """

    blocks: Iterator[bytes]
    start: int
    size: int | None
    version: str


def check_url(url: str, settings: Settings) -> None:
    """Make sure that a URL may be read; names are not resolved yet.

    Raises:
        BadInputError: If it is none, carries a password, or leads through another one.
        ForbiddenError: If the settings do not name its host, or its beginning.
    """
    if is_web(url):
        check_target(url, _rules(settings, 0))
        return
    parts = urlsplit(url)
    steps = unquote(parts.path).replace("\\", "/").split("/")
    if "::" in url or not url.isprintable():
        raise BadInputError("an address inside another one (::), or with control characters, is not read")
    if parts.password is not None:
        raise BadInputError("an address with a password is not read; the records would show it")
    if ".." in steps or not any(_begins(url, entry) for entry in settings.source_hosts if "://" in entry):
        listed = ", ".join(sorted(settings.source_hosts)) or "none"
        raise ForbiddenError(
            f"no allowed address begins like it; allowed: {listed} (source_hosts, HASHREEL_SOURCE_HOSTS)"
        )


def _begins(url: str, entry: str) -> bool:
    return url == entry or url.startswith(entry if entry.endswith("/") else f"{entry}/")


def _rules(settings: Settings, have: int) -> OutboundRules:
    hosts = [entry for entry in settings.source_hosts if "://" not in entry]
    room = max(1, settings.max_source_bytes - have)
    return OutboundRules(hosts, "source_hosts", room, timeout_s=settings.source_timeout_s, max_redirects=5)


@contextmanager
def open_remote(url: str, settings: Settings, have: int = 0, version: str = "") -> Iterator[Remote]:
    """Begin to read a source, after what is there already if that is still of its version.

    Args:
        url: Where it is; checked here once more.
        settings: Allowed hosts and bounds.
        have: Bytes that are there.
        version: Their version; empty if it is not known.

    Raises:
        NotFoundError, ForbiddenError: If it cannot be had, and will not be a little later.
        UnavailableError: If it may be had later, also while the blocks are read.
    """
    try:
        check_url(url, settings)
        with (_web if is_web(url) else _by_fsspec)(url, settings, have, version) as remote:
            yield remote
    except StatusError as exc:
        error = UnavailableError if exc.status in PASSING else NotFoundError if exc.status == 404 else ForbiddenError
        raise error(str(exc)) from exc
    except TooLargeError as exc:
        raise ForbiddenError(f"it is larger than {settings.max_source_bytes} bytes (max_source_bytes)") from exc
    except BadInputError as exc:
        raise ForbiddenError(str(exc)) from exc


@contextmanager
def _web(url: str, settings: Settings, have: int, version: str) -> Iterator[Remote]:
    # The last byte is read once more: a whole copy is confirmed by it, and there is always one to ask for.
    start = have - 1 if have and _validator(version) else 0
    headers = {"Range": f"bytes={start}-", "If-Range": _validator(version)} if start else {}
    try:
        with opened(url, _rules(settings, start), headers) as download:
            found = _web_version(download.headers)
            first, size = _range(download.headers)
            if first == 0 or (first == start and found == version):
                yield Remote(iter(download), first, size, found)
                return
    except StatusError as exc:
        if not start or exc.status != UNSATISFIABLE:
            raise
    # The server gave a part of something else: from the beginning, then.
    with opened(url, _rules(settings, 0)) as download:
        yield Remote(iter(download), 0, _range(download.headers)[1], _web_version(download.headers))


def _validator(version: str) -> str:
    """Return what If-Range takes: a strong ETag, else the time of the last change; empty if there is neither."""
    try:
        tag, changed, _ = json.loads(version)
    except ValueError:
        return ""
    return str(tag if tag and not tag.startswith("W/") else changed)


def _web_version(headers: Mapping[str, str]) -> str:
    return json.dumps([headers.get("etag", ""), headers.get("last-modified", ""), _range(headers)[1]])


def _range(headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Return where the body begins in the whole, and the size of that."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", ""))
    if match:
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = headers.get("content-length", "")
    return 0, int(length) if length.isdecimal() else None


@contextmanager
def _by_fsspec(url: str, settings: Settings, have: int, version: str) -> Iterator[Remote]:
    deadline = time.monotonic() + settings.source_timeout_s
    with file_system(url) as files:
        found = files.stat()
        start = have if found.version == version and found.size is not None and have <= found.size else 0
        blocks = files.read(found, start, settings.max_source_bytes - start, deadline)
        yield Remote(blocks, start, found.size, found.version)
