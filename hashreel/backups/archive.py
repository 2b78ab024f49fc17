"""The backup file: a plain tar with a header first and a manifest of checksums last.

The header tells at once whose file it is and of which version; the manifest, without which a file counts as
torn, proves that what was read is what was written. Nothing is compressed: codes do not shrink, and Redis has
compressed the rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from hashreel.errors import BadInputError, ConflictError

__all__ = ["FORMAT", "ArchiveWriter", "Readable", "new_archive", "read_header", "unpack"]

FORMAT = 1
"""Version of the layout; a reader migrates older ones (see ``migrations.py``) and refuses newer ones."""
KIND = "hashreel-backup"
HEADER, MANIFEST = "hashreel-backup.json", "manifest.json"
BLOCK = 2**20


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to ``size`` bytes."""


class _Hashing:
    def __init__(self, source: Readable) -> None:
        self._source, self.sha = source, hashlib.sha256()

    def read(self, size: int = BLOCK) -> bytes:
        block = self._source.read(size)
        self.sha.update(block)
        return block


class ArchiveWriter:
    """Adds members to a new backup file."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, source: Readable, size: int, modified_ns: int = 0) -> None:
        """Add a member of exactly ``size`` bytes; OSError if the source has fewer."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, modified_ns // 10**9 or int(time.time())
        hashing = _Hashing(source)
        self._tar.addfile(info, hashing)
        self._members[name] = {"size": size, "sha256": hashing.sha.hexdigest(), "modified_ns": modified_ns}

    def add_file(self, name: str, path: Path) -> bool:
        """Add a file; return False if it is gone."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            info = os.fstat(file.fileno())
            self.add(name, file, info.st_size, info.st_mtime_ns)
        return True

    def add_json(self, name: str, document: Any) -> None:
        """Add a JSON document."""
        content = json.dumps(document, indent=2, ensure_ascii=False).encode()
        self.add(name, io.BytesIO(content), len(content))

    def finish(self) -> None:
        """Add the manifest; without it the file counts as torn."""
        self.add_json(MANIFEST, {"members": self._members})


@contextmanager
def new_archive(path: Path, header: dict[str, Any]) -> Iterator[ArchiveWriter]:
    """Open a new backup file; it appears under its name only when it is whole.

    Raises:
        ConflictError: If there is a file of that name.
    """
    if path.exists():
        raise ConflictError(f"{path} exists; name another file, or remove it first")
    aside = path.with_name(f".{path.name}.part")
    try:
        # It holds the whole archive: for its owner's eyes only.
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                writer = ArchiveWriter(tar)
                writer.add_json(HEADER, {"kind": KIND, "version": FORMAT, **header})
                yield writer
                writer.finish()
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a backup file.

    Raises:
        BadInputError: If it is not a backup, or is damaged.
        ConflictError: If a newer version made it.
    """
    with _opened(path) as tar:
        return _header(path, tar.next(), tar)


def unpack(path: Path, folder: Path) -> dict[str, Any]:
    """Unpack a backup file into an empty folder, checked against its manifest; return the header.

    Raises:
        BadInputError: If it is not a backup, torn or damaged.
        ConflictError: If a newer version made it.
    """
    found: dict[str, dict[str, Any]] = {}
    with _opened(path) as tar:
        header = _header(path, tar.next(), tar)
        for info in tar:
            if info.name == HEADER:
                continue
            found[info.name] = _write(folder, info, _content(path, tar, info))
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise BadInputError(f"{path} is torn: it ends before its manifest; use another backup")
    found.pop(MANIFEST)
    _compare(path, folder, found, json.loads(manifest.read_text())["members"])
    return header


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as exc:
        raise BadInputError(f"{path} is not a Hashreel backup, or is torn: {exc}") from exc


def _header(path: Path, info: tarfile.TarInfo | None, tar: tarfile.TarFile) -> dict[str, Any]:
    if info is None or info.name != HEADER:
        raise BadInputError(f"{path} is not a Hashreel backup (its first member is not {HEADER})")
    try:
        header: dict[str, Any] = json.loads(_content(path, tar, info).read())
        version = int(header["version"])
        if header["kind"] != KIND:
            raise ValueError(header["kind"])
    except (ValueError, KeyError, TypeError) as exc:
        raise BadInputError(f"{path} is not a Hashreel backup: its header is damaged ({exc})") from exc
    if version > FORMAT:
        raise ConflictError(
            f"{path} is a backup of format {version}, made by Hashreel {header.get('hashreel', '?')}; this one reads "
            f"up to {FORMAT}. Restore it with that version or a newer one"
        )
    return header


def _content(path: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    name = PurePosixPath(info.name)
    file = tar.extractfile(info) if info.isfile() else None
    if file is None or name.is_absolute() or ".." in name.parts:
        raise BadInputError(f"{path} holds {info.name!r}, which no backup does; it was changed")
    return file


def _write(folder: Path, info: tarfile.TarInfo, source: IO[bytes]) -> dict[str, Any]:
    target = folder / info.name
    target.parent.mkdir(parents=True, exist_ok=True)
    hashing = _Hashing(source)
    with target.open("wb") as file:
        while block := hashing.read(BLOCK):
            file.write(block)
    return {"size": target.stat().st_size, "sha256": hashing.sha.hexdigest()}


def _compare(path: Path, folder: Path, found: dict[str, dict[str, Any]], wanted: dict[str, dict[str, Any]]) -> None:
    for name, facts in wanted.items():
        if name == HEADER:
            continue
        if name not in found or found[name]["sha256"] != facts["sha256"]:
            raise BadInputError(
                f"{path} is damaged: {name} is {'not what was written' if name in found else 'missing'}"
            )
        if facts["modified_ns"]:
            # Workers check that a source is what was enqueued by its size and time.
            os.utime(folder / name, ns=(facts["modified_ns"], facts["modified_ns"]))
    surplus = found.keys() - wanted.keys()
    if surplus:
        raise BadInputError(f"{path} holds {min(surplus)!r}, which its manifest does not name; it was changed")
