"""From a URL that a user names to sources: one file, or what a pattern or a folder of a remote file system holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from encoder.archives import is_archive_name
from encoder.pictures import PICTURE_SUFFIXES
from hashreel.errors import HashreelError
from hashreel.outbound import is_web, without_login
from workers.filesystems import file_system, translated
from workers.remote import check_url

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["expand_url"]

MAX_LISTED = 1_000_000


def expand_url(url: str, settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield (name, kind, problem) of what a URL stands for, at least one.

    A web address is one file, and is not asked for here. Other addresses may be patterns (``*``, ``?``, ``[``) or
    folders, which are listed.
    """
    name = urldefrag(url).url if is_web(url) else url
    try:
        check_url(name, settings)
        if is_web(name):
            yield _one(name)
            return
        yield from _listed(name)
    except HashreelError as exc:
        # The records would show a password that was typed into an address.
        yield without_login(name), "video", str(exc)


def _listed(url: str) -> Iterator[tuple[str, str, str]]:
    with file_system(url) as opened, translated(url):
        system, path = opened.system, opened.path
        # A name with such characters is a name if there is such a file.
        is_pattern = any(char in path for char in "*?[") and not system.exists(path)
        if is_pattern:
            found = system.glob(path, detail=True)
        elif system.isdir(path):
            found = system.find(path, detail=True)
        else:
            yield _one(url)
            return
        # An empty object with a slash at its end is what some tools make of a folder.
        is_file = {name: info["type"] != "directory" and not name.endswith("/") for name, info in found.items()}
        files = sorted(name for name in found if is_file[name])
        full = [_address_of(name, url, path) or str(system.unstrip_protocol(name)) for name in files[: MAX_LISTED + 1]]
    if not full:
        yield url, "video", "no file matches this pattern" if is_pattern else "the folder holds no files"
    if len(full) > MAX_LISTED:
        yield url, "video", f"more than {MAX_LISTED} files; name a part of them"
        return
    pictures = [name for name in full if _is_picture(name)]
    if pictures:
        yield url, "pictures", f"{len(pictures)} pictures lie there one by one; pack them into a zip or tar file"
    yield from (_one(name) for name in full if not _is_picture(name))


def _address_of(name: str, url: str, path: str) -> str:
    """Return the address of a file as the user would spell it, host and all; empty if that cannot be told."""
    whole, own = url.rstrip("/"), path.strip("/")
    if not own:
        return f"{whole}/{name.lstrip('/')}"
    return whole.removesuffix(own) + name.lstrip("/") if whole.endswith(own) else ""


def _one(url: str) -> tuple[str, str, str]:
    path = url.partition("?")[0]
    return url, "pictures" if is_archive_name(path) else "video", ""


def _is_picture(name: str) -> bool:
    return name.lower().endswith(tuple(PICTURE_SUFFIXES))
