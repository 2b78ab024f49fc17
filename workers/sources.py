"""From what a user names to what is indexed: files, folders and globs inside the source roots.

Every source that is named ends in the records: a path that does not exist, lies outside the roots or is
of no use becomes a failed video with its reason, never silence.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from encoder.folders import PICTURE_SUFFIXES

__all__ = ["Source", "SourceRoots"]


@dataclass(frozen=True)
class Source:
    """One thing to index.

    Attributes:
        name: What users see and what identifies it: the root's name and the path inside, or the path.
        path: The local path.
        kind: "video" or "pictures" (a folder of key-frames).
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
    """

    def __init__(self, roots: Mapping[str, Path], *, is_open: bool = False) -> None:
        self._roots = {name: Path(path).resolve() for name, path in roots.items()}
        self._is_open = is_open

    def expand(self, text: str) -> Iterator[Source]:
        """Yield the sources that ``text`` stands for, at least one, in a stable order."""
        if "\0" in text or not text.strip():
            yield Source(text.replace("\0", "�"), "", problem="an empty name, or one with a NUL, is no source")
            return
        if "://" in text:
            yield Source(text, text, problem="URLs are not read; download the file into a source root or upload it")
            return
        path = self._locate(text)
        if path is None:
            yield Source(text, text, problem=self._outside())
        elif not path.exists() and glob.has_magic(str(path)):
            yield from self._glob(text, path)
        else:
            yield from self._walk(path)

    def _locate(self, text: str) -> Path | None:
        """Return the path that a text names, not yet checked for links; None if it can be in no root."""
        path = Path(text).expanduser()
        first, *rest = path.parts or ("",)
        if first in self._roots and not path.is_absolute():
            return self._roots[first].joinpath(*rest)
        return path if path.is_absolute() or self._is_open else None

    def _outside(self) -> str:
        names = ", ".join(f"{name}/" for name in self._roots) or "none is configured"
        return f"not inside a source root ({names}); set HASHREEL_ROOTS"

    def _glob(self, text: str, pattern: Path) -> Iterator[Source]:
        found = sorted(glob.glob(str(pattern), recursive=True))
        if not found:
            yield Source(text, str(pattern), problem="no file matches this pattern")
        for path in found:
            yield from self._walk(Path(path))

    def _walk(self, path: Path) -> Iterator[Source]:
        if not path.is_dir():
            yield self._file(path)
            return
        found = False
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            visible = sorted(name for name in names if not name.startswith("."))
            pictures = [name for name in visible if Path(name).suffix.lower() in PICTURE_SUFFIXES]
            if pictures:
                found = True
                yield self._pictures(Path(folder), pictures)
            for name in visible:
                if name not in pictures:
                    found = True
                    yield self._file(Path(folder) / name)
        if not found:
            yield Source(self._name(path), str(path), problem="the folder holds no files")

    def _file(self, path: Path) -> Source:
        name, problem = self._name(path), self._refusal(path)
        if problem:
            return Source(name, str(path), problem=problem)
        try:
            info = path.stat()
        except OSError as exc:
            return Source(name, str(path), problem=f"cannot be read: {exc.strerror or exc}")
        if not stat.S_ISREG(info.st_mode):
            return Source(name, str(path), problem="not a regular file")
        return Source(name, str(path.resolve()), size=info.st_size, modified_ns=info.st_mtime_ns)

    def _pictures(self, folder: Path, names: list[str]) -> Source:
        problem = self._refusal(folder)
        if problem:
            return Source(self._name(folder), str(folder), kind="pictures", problem=problem)
        infos = [(folder / name).stat() for name in names if (folder / name).exists()]
        return Source(
            self._name(folder),
            str(folder.resolve()),
            kind="pictures",
            size=sum(info.st_size for info in infos),
            modified_ns=max((info.st_mtime_ns for info in infos), default=0),
        )

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
        real = path.resolve()
        for name, root in self._roots.items():
            if real == root or root in real.parents:
                return name, real.relative_to(root)
        return None

    def _name(self, path: Path) -> str:
        inside = self._root_of(path)
        return str(Path(inside[0]) / inside[1]) if inside else os.path.abspath(path)
