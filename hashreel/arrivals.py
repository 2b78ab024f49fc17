"""Files that keep arriving in a folder: which are complete, and which were taken already.

The folder is looked through at intervals. Notices of the kernel (inotify and its like) tell nothing of what another
machine writes into a network share, get lost when many files come at once, and say that a file was changed, not that it
is whole; looking finds the same files on every file system, and after a restart what came meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import mimetypes
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hashreel.errors import BadInputError, ConflictError

__all__ = ["Arrivals", "Found", "Journal", "Request", "Stamp"]

UNFINISHED = (".part", ".tmp", ".partial", ".filepart", ".crdownload", ".download", ".opdownload", "~")
# Types by Python's own table: that of the machine may call .ts a text.
_TYPES = mimetypes.MimeTypes()

Stamp = tuple[int, int]
"""Size in bytes and time of change in ns."""


@dataclass(frozen=True)
class Found:
    """A file that is complete."""

    path: str
    stamp: Stamp


class Arrivals:
    """Looks through a folder for files that are complete and were not taken.

    A file is complete when its size and its time of change stay what they are for a while, and its name is not one of
    a file under way. Files of no bytes, hidden ones, and those whose name says that they are no video are left alone.

    Args:
        folder: Looked through with all that is below it; links to folders are not followed.
        settle_s: How long a file has to stay as it is.
        ignore: Further patterns of names that are left alone, such as ``*.proxy.mp4``.

    Attributes:
        closed: Folders below that could not be listed at the last look, and why.
    """

    def __init__(self, folder: Path, *, settle_s: float, ignore: Sequence[str] = ()) -> None:
        self._folder = folder
        self._settle_s = settle_s
        self._ignore = tuple(ignore)
        self._seen: dict[str, tuple[Stamp, float]] = {}
        self.closed: dict[str, str] = {}

    @property
    def pending(self) -> int:
        """How many files are there that may still be growing."""
        return len(self._seen)

    def look(self, now: float, is_taken: Callable[[Found], bool]) -> list[Found]:
        """Return the complete files that were not taken, by name.

        Args:
            now: A clock that never goes back, in seconds.
            is_taken: Tells whether a file was taken as it is.

        Raises:
            OSError: If the folder itself cannot be listed; what is below it is left alone until it can be.
        """
        complete: list[Found] = []
        seen: dict[str, tuple[Stamp, float]] = {}
        for found in self._files():
            if is_taken(found):
                continue
            stamp, since = self._seen.get(found.path, (found.stamp, now))
            since = since if stamp == found.stamp else now
            seen[found.path] = (found.stamp, since)
            if now - since >= self._settle_s:
                complete.append(found)
        self._seen = seen
        return sorted(complete, key=lambda found: found.path)

    def forget(self, taken: Sequence[Found]) -> None:
        """Learn which files were taken."""
        for found in taken:
            self._seen.pop(found.path, None)

    def _files(self) -> Iterator[Found]:
        top = os.fspath(self._folder)
        waiting = [top]
        self.closed = {}
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except FileNotFoundError:
                if folder == top:
                    raise
                continue  # it went away
            except OSError as exc:
                if folder == top:
                    raise
                self.closed[folder] = exc.strerror or str(exc)  # looked into again the next time
                continue
            for entry in listed:
                found = self._looked_at(entry, waiting)
                if found is not None:
                    yield found

    def _looked_at(self, entry: os.DirEntry[str], waiting: list[str]) -> Found | None:
        try:
            if entry.name.startswith(".") or any(fnmatch(entry.name, pattern) for pattern in self._ignore):
                return None
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                return None
            if not entry.is_file() or not is_candidate(entry.name):
                return None
            info = entry.stat()
        except OSError:
            return None
        return Found(entry.path, (info.st_size, info.st_mtime_ns)) if info.st_size else None


def is_candidate(name: str) -> bool:
    """Return whether a name may be that of a complete video."""
    if name.lower().endswith(UNFINISHED):
        return False
    kind = _TYPES.guess_type(name)[0] or "video"
    return kind.startswith("video/") or kind in {"video", "application/octet-stream", "application/mxf"}


@dataclass(frozen=True)
class Request:
    """What is to be enqueued, written down before it is asked for."""

    key: str
    files: list[Found]
    options: dict[str, Any]


class Journal:
    """Remembers what was taken, in a file that only grows while it is open; each line is one JSON document.

    A request is written down with a key of its own before it is sent, and again when it was accepted. One that was
    written down and not accepted is sent again after a restart, with its key, by which the service knows it.

    Args:
        path: The file; its folder is made.

    Raises:
        ConflictError: If another process has it open.
        BadInputError: If it is no journal.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = open(path.with_name(path.name + ".lock"), "w")  # noqa: SIM115 - held until close
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._lock.close()
            raise ConflictError(f"{path} is in use: another `hashreel ingest` follows this folder") from exc
        self._taken: dict[str, Stamp] = {}
        self._open: dict[str, Request] = {}
        try:
            self._read(path)
            self._write_anew(path)
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held until close
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()
        self._lock.close()

    def is_taken(self, found: Found) -> bool:
        """Return whether a file was taken as it is."""
        return self._taken.get(found.path) == found.stamp

    @property
    def unanswered(self) -> list[Request]:
        """Requests that were written down and not accepted, the oldest first."""
        return list(self._open.values())

    def ask(self, files: Sequence[Found], options: Mapping[str, Any]) -> Request:
        """Write a request down and return it."""
        request = Request(secrets.token_hex(16), list(files), dict(options))
        self._append({"ask": request.key, "files": _rows(request.files), "options": request.options})
        self._note(request)
        return request

    def accepted(self, request: Request) -> None:
        """Write down that a request was accepted."""
        self._append({"accepted": request.key})
        self._open.pop(request.key, None)

    def refused(self, request: Request) -> None:
        """Write down that a request will never be accepted: its files were not taken."""
        self._append({"refused": request.key})
        self._drop(request.key)

    def _drop(self, key: str) -> None:
        for found in self._open.pop(key).files:
            if self._taken.get(found.path) == found.stamp:
                del self._taken[found.path]

    def _note(self, request: Request) -> None:
        self._open[request.key] = request
        self._taken |= {found.path: found.stamp for found in request.files}

    def _append(self, document: dict[str, Any]) -> None:
        self._file.write(json.dumps(document) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, path: Path) -> None:
        # What is not UTF-8 is no JSON either.
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                document = json.loads(line) if line else {}
                self._take(document)
            except (ValueError, TypeError, KeyError, AttributeError) as exc:
                if number < len(lines):  # a last line without its end was not written to its end
                    raise BadInputError(
                        f"{path}, line {number} is no line of `hashreel ingest`: {line[:80]!r}"
                    ) from exc

    def _take(self, document: dict[str, Any]) -> None:
        files = [Found(path, (int(size), int(changed))) for path, size, changed in document.get("files", [])]
        if "ask" in document:
            self._note(Request(document["ask"], files, document["options"]))
        elif "accepted" in document:
            self._open.pop(document["accepted"], None)
        elif "refused" in document:
            self._drop(document["refused"])
        self._taken |= {found.path: found.stamp for found in files}

    def _write_anew(self, path: Path) -> None:
        """Write what is known in as few lines as it takes."""
        asked = {found.path for request in self._open.values() for found in request.files}
        done = [Found(name, stamp) for name, stamp in self._taken.items() if name not in asked]
        lines: list[dict[str, Any]] = [{"files": _rows(done)}] if done else []
        lines += [{"ask": one.key, "files": _rows(one.files), "options": one.options} for one in self._open.values()]
        aside = path.with_name(path.name + ".new")
        with open(aside, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)


def _rows(files: Sequence[Found]) -> list[tuple[str, int, int]]:
    return [(found.path, *found.stamp) for found in files]
