"""From what a user names to what is indexed: files, folders and globs inside the source roots, archives, and URLs.

Every source that is named ends in the records: a path that does not exist, lies outside the roots or is
of no use becomes a failed video with its reason, never silence.
"""

from __future__ import annotations

import glob
import itertools
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from encoder.archives import is_archive_name
from encoder.pictures import PICTURE_SUFFIXES
from workers.addresses import expand_url

if TYPE_CHECKING:
    from hashreel.settings import Settings

__all__ = ["Source", "SourceRoots"]


@dataclass(frozen=True)
class Source:
    """One thing to index.

    Attributes:
        name: What users see and what identifies it: the root's name and the path inside, or the path.
        path: The local path, or the URL.
        kind: "video" or "pictures" (a folder or an archive of key-frames).
        size: Bytes of the file; of all pictures in a folder.
        modified_ns: Time of change; the newest of a folder.
        problem: Why it cannot be indexed; empty if nothing speaks against it yet.
    """

    name: str
    path: str
    kind: str = "video"
    size: int = 0
    modified_ns: int = 0
    problem: str = ""


class SourceRoots:
    """Where sources may lie.

    Args:
        roots: Folder by name. ``name/inside`` and absolute paths inside a root are accepted.
        is_open: Accept every path that this user can read.
        settings: Which URLs may be read; None: none.
    """

    def __init__(self, roots: Mapping[str, Path], *, is_open: bool = False, settings: Settings | None = None) -> None:
        self._settings = settings
        self._roots = {name: Path(path).resolve() for name, path in roots.items()}
        self._is_open = is_open

    def expand(self, text: str, *, is_name: bool = False) -> Iterator[Source]:
        """Yield the sources that ``text`` stands for, at least one, in a stable order.

        Args:
            text: What a user typed.
            is_name: It was found before: ``clip[1].mp4`` is that file or none, never ``clip1.mp4``.
        """
        if "\0" in text or not text.strip():
            yield Source(text.replace("\0", "�"), "", problem="an empty name, or one with a NUL, is no source")
            return
        if text.lower().startswith("file://"):
            text = unquote(urlsplit(text).path)
        if "://" in text:
            yield from self._urls(text)
            return
        try:
            yield from self._expand(text, is_name=is_name)
        except (OSError, ValueError, RuntimeError) as exc:
            # A name that is too long or of no known user, a folder that went away while it was listed.
            yield Source(text, text, problem=f"cannot be read: {getattr(exc, 'strerror', None) or exc}")

    def _urls(self, text: str) -> Iterator[Source]:
        if self._settings is None:
            yield Source(text, text, problem="URLs are not read here; name a file inside a source root")
            return
        for name, kind, problem in expand_url(text, self._settings):
            yield Source(name, name, kind=kind, problem=problem)

    def _expand(self, text: str, *, is_name: bool) -> Iterator[Source]:
        located = self._locate(text)
        if located is None:
            yield Source(text, text, problem=self._outside())
            return
        base, rest = located
        path = base / rest
        if not is_name and glob.has_magic(str(rest)) and not path.exists():
            yield from self._glob(text, base, rest)
        else:
            yield from self._walk(path)

    def _locate(self, text: str) -> tuple[Path, Path] | None:
        """Return a folder that is meant literally and the rest below it; None if it can be in no root."""
        path = Path(text).expanduser()
        first, *rest = path.parts or ("",)
        if first in self._roots and not path.is_absolute():
            return self._roots[first], Path(*rest)
        for root in self._roots.values():
            if path.is_relative_to(root):
                return root, path.relative_to(root)
        if path.is_absolute() or self._is_open:
            return Path(path.anchor or "."), path.relative_to(path.anchor)
        return None

    def _outside(self) -> str:
        names = ", ".join(f"{name}/" for name in self._roots) or "none is configured"
        return f"not inside a source root ({names}); set HASHREEL_ROOTS"

    def _glob(self, text: str, base: Path, pattern: Path) -> Iterator[Source]:
        plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
        problem = self._refusal(base.joinpath(*plain))
        if problem:
            # Nothing outside the roots is listed, not even to be refused one by one.
            yield Source(text, text, problem=problem)
            return
        found = sorted(glob.glob(str(Path(glob.escape(str(base))) / pattern), recursive=True))
        if not found:
            yield Source(text, str(base / pattern), problem="no file matches this pattern")
        for path in found:
            yield from self._walk(Path(path))

    def _walk(self, path: Path) -> Iterator[Source]:
        if not os.path.isdir(path):
            yield self._file(path)
            return
        is_empty = True
        for source in self._folders(path):
            is_empty = False
            yield source
        if is_empty:
            yield Source(self._name(path), str(path), problem="the folder holds no files")

    def _folders(self, top: Path) -> Iterator[Source]:
        """Yield what lies in a folder and below it; links to folders are followed, each folder once."""
        visited: set[str] = set()
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            real = os.path.realpath(folder)
            if real in visited:
                continue
            visited.add(real)
            problem = self._refusal(folder)
            try:
                names = [] if problem else sorted(os.listdir(folder))
            except OSError as exc:
                names, problem = [], f"cannot be listed: {exc.strerror or exc}"
            if problem:
                yield Source(self._name(folder), str(folder), problem=problem)
            visible = [name for name in names if not name.startswith(".")]
            inner = [name for name in visible if os.path.isdir(folder / name)]
            yield from self._contents(folder, [name for name in visible if name not in set(inner)])
            waiting.extend(folder / name for name in reversed(inner))

    def _contents(self, folder: Path, names: Sequence[str]) -> Iterator[Source]:
        pictures = [name for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES]
        if pictures:
            yield self._pictures(folder, pictures)
        for name in names:
            if Path(name).suffix.lower() not in PICTURE_SUFFIXES:
                yield self._file(folder / name)

    def _file(self, path: Path) -> Source:
        name, problem = self._name(path), self._refusal(path)
        if problem:
            return Source(name, str(path), problem=problem)
        try:
            info = path.stat()
        except OSError as exc:
            return Source(self._own_name(path), str(path), problem=_unreadable(path, exc))
        if not stat.S_ISREG(info.st_mode):
            return Source(self._own_name(path), str(path), problem="not a regular file")
        kind = "pictures" if is_archive_name(path.name) else "video"
        return Source(name, os.path.realpath(path), kind, info.st_size, info.st_mtime_ns)

    def _pictures(self, folder: Path, names: Sequence[str]) -> Source:
        """Return a folder of pictures; refused as a whole if one of them is a link that leads out of the roots."""
        size = newest = 0
        for name in names:
            path = folder / name
            if path.is_symlink() and self._refusal(path):
                problem = f"the picture {name} is a link that leads out of the source roots; remove it"
                return Source(self._name(folder), str(folder), kind="pictures", problem=problem)
            with suppress(OSError):  # a broken link is reported when the pictures are read
                info = path.stat()
                size, newest = size + info.st_size, max(newest, info.st_mtime_ns)
        real = os.path.realpath(folder)
        return Source(self._name(folder), real, kind="pictures", size=size, modified_ns=newest)

    def _refusal(self, path: Path) -> str:
        try:
            str(path).encode("utf-8")
        except UnicodeEncodeError:
            return "the file name is not valid UTF-8; rename the file"
        if self._is_open or self._root_of(path) is not None:
            return ""
        return self._outside()

    def _root_of(self, path: Path) -> tuple[str, Path] | None:
        # Links are followed first, so that one inside a root cannot lead out of it.
        real = Path(os.path.realpath(path))
        for name, root in self._roots.items():
            if real == root or root in real.parents:
                return name, real.relative_to(root)
        return None

    def _own_name(self, path: Path) -> str:
        """Return the name of what is no file: of a link itself, not of what it leads to."""
        return str(Path(self._name(path.parent)) / path.name) if path.is_symlink() else self._name(path)

    def _name(self, path: Path) -> str:
        """Return the one name of a file, however it was spelt: by its real path inside its root."""
        inside = self._root_of(path)
        if inside:
            return str(Path(inside[0]) / inside[1])
        return os.path.realpath(path) if self._is_open else os.path.abspath(path)


def _unreadable(path: Path, exc: OSError) -> str:
    reason = f"cannot be read: {exc.strerror or exc}"
    # What names a file to us is UTF-8, so that one whose name is not cannot be named.
    return f"{reason}; if its name is not valid UTF-8, rename the file" if "\ufffd" in str(path) else reason
