"""Archives of key-frames: zip, and tar with or without compression, read member by member.

Nothing is ever unpacked under a member's name, so no name can lead anywhere. Sizes are bounded before and while they
are read: of one member, of the whole against the archive's own size (a small file that unpacks to much is no archive
of pictures), and of the list of members. Links and devices are not followed. What is left out is told of.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from encoder.containers import check_file
from encoder.pictures import PICTURE_SUFFIXES, natural_key
from hashreel.errors import DecodeError, ForbiddenError, HashreelError, NotFoundError

__all__ = ["ARCHIVE_SUFFIXES", "Archive", "Member", "is_archive_file", "is_archive_name", "opened_archive"]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

MAX_MEMBERS = 200_000
MAX_LIST_BYTES = 64 * 2**20
"""Of the list at a zip file's end."""
MAX_MEMBER_BYTES = 256 * 2**20
"""The largest picture that is decoded has 240 MB of pixels."""
MAX_HEADER_BYTES = 2**20
"""Of a tar header that holds a long name or other notes."""
MAX_RATIO = 100
FREE_BYTES = 256 * 2**20
"""An archive may unpack to so much whatever its own size; beyond, to MAX_RATIO times its size."""
BLOCK = 2**20
BLOCK_512 = 512
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
NAMED = 3
DRIVE = re.compile(r"[A-Za-z]:[\\/]")

DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, struct.error)
# Passwords, unknown compressions, and numbers in headers that are none.
REFUSED = (NotImplementedError, RuntimeError, ValueError, OverflowError, LookupError)
UNPACKERS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)


@dataclass(frozen=True)
class Member:
    """A picture in an archive.

    Attributes:
        name: Its path inside, as it is stored.
        problem: Why it is not read; empty if nothing speaks against it.
    """

    name: str
    problem: str = ""


class Archive(ABC):
    """An opened archive.

    Attributes:
        members: Its pictures (by suffix) in natural order of their paths; the n-th stands for second n.
        notes: What else is to be told: members that are no pictures, names that occur twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.members: list[Member] = []
        self.notes: list[str] = []

    @abstractmethod
    def _read(self, name: str) -> IO[bytes]:
        """Return a stream of a member's content."""

    def read(self, index: int) -> bytes:
        """Return the content of the index-th member.

        Raises:
            NotFoundError: If there is no such member.
            ForbiddenError: If it is refused.
            DecodeError: If it is damaged or too large.
        """
        if not 0 <= index < len(self.members):
            raise NotFoundError(f"{self.path.name} holds {len(self.members)} pictures; there is no number {index}")
        member = self.members[index]
        if member.problem:
            raise ForbiddenError(member.problem)
        try:
            with self._read(member.name) as stream:
                content = stream.read(MAX_MEMBER_BYTES + 1)
        except (*DAMAGE, *REFUSED) as exc:
            raise DecodeError(f"cannot be unpacked ({exc or type(exc).__name__})") from exc
        if len(content) > MAX_MEMBER_BYTES:
            raise DecodeError(f"unpacks to more than {MAX_MEMBER_BYTES} bytes, the limit of a picture")
        return content

    def _list(self, found: list[tuple[str, str, int]]) -> None:
        """Take in all files that are stored: (path, problem, size) each."""
        if len(found) > MAX_MEMBERS:
            raise DecodeError(f"{self.path.name}: more than {MAX_MEMBERS} files in one archive; divide it")
        _check_total(self.path, sum(size for *_, size in found))
        pictures: dict[str, Member] = {}
        others, doubled = [], []
        for name, problem, size in found:
            if _is_hidden(name):
                continue
            if PurePosixPath(name).suffix.lower() not in PICTURE_SUFFIXES:
                others.append(name)
                continue
            if name in pictures:
                doubled.append(name)
            pictures[name] = Member(name, problem or _name_problem(name) or _size_problem(size))
        self.members = sorted(pictures.values(), key=lambda member: natural_key(member.name))
        if others:
            self.notes.append(f"{len(others)} files in it are no pictures and were left out: {_some(others)}")
        if doubled:
            self.notes.append(f"{len(doubled)} names occur more than once, the last one counts: {_some(doubled)}")


class _Zip(Archive):
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        super().__init__(path)
        _check_list_size(path, file)
        self._zip = zipfile.ZipFile(file)
        self._list([(info.filename, _zip_problem(info), info.file_size) for info in self._zip.infolist()])

    def _read(self, name: str) -> IO[bytes]:
        return self._zip.open(name)


class _Tar(Archive):
    def __init__(self, path: Path, file: IO[bytes], damage: str = "") -> None:
        super().__init__(path)
        self._tar = tarfile.TarFile(fileobj=file, mode="r", tarinfo=_BoundedHeader)
        self._infos: dict[str, tarfile.TarInfo] = {}
        found = []
        try:
            for info in self._tar:
                if not info.isdir():
                    found.append((info.name, _tar_problem(info), info.size))
                    self._infos[info.name] = info
                if len(found) > MAX_MEMBERS:
                    break
            damage = damage or self._torn_end(file)
        except tarfile.TarError as exc:
            damage = damage or f"it is damaged, what comes later is lost ({exc})"
            if not found:
                raise
        self._list(found)
        self.notes += [damage] if damage else []

    def _torn_end(self, file: IO[bytes]) -> str:
        # Where the list ends there is a block of zeros; tarfile takes anything else for an end, too.
        file.seek(self._tar.offset)
        is_end = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
        return "" if is_end else "it is damaged or cut off, what comes later is lost"

    def _read(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(self._infos[name])
        if stream is None:
            raise ValueError("not a file")
        return stream


class _BoundedHeader(tarfile.TarInfo):
    """A header whose notes are not read into memory if they are larger than any name."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        notes = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in (*notes, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > MAX_HEADER_BYTES:
            raise DecodeError(f"a header of {self.size} bytes is in the archive; at most {MAX_HEADER_BYTES} are read")
        return super()._proc_member(archive)  # type: ignore[misc]


def is_archive_name(name: str) -> bool:
    """Return whether a file is an archive by the end of its name."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def is_archive_file(path: Path) -> bool:
    """Return whether a file begins like an archive, whatever its name; False if it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        start = file.read(BLOCK_512)
        return start.startswith((*ZIP, *(magic for magic, _ in UNPACKERS))) or start[257:262] == b"ustar"
    return False


@contextmanager
def opened_archive(path: Path, scratch: Path | None = None) -> Iterator[Archive]:
    """Open an archive, whatever its name says.

    Args:
        path: The file.
        scratch: Folder for the unpacked form of a compressed tar, which has no name there and goes by itself; None
            takes the system's.

    Raises:
        DecodeError: If it is no archive, damaged, or larger than the limits.
        HashreelError: If it cannot be read.
    """
    with ExitStack() as stack:
        try:
            archive = _open(path, scratch, stack)
        except HashreelError:
            raise
        except (*DAMAGE, *REFUSED) as exc:
            if isinstance(exc, OSError) and exc.errno is not None:
                raise  # a full disk, or a network file system that is away
            raise DecodeError(f"{path.name}: not an archive that can be read ({exc})") from exc
        yield archive


def _open(path: Path, scratch: Path | None, stack: ExitStack) -> Archive:
    file: IO[bytes] = stack.enter_context(check_file(path).open("rb"))
    start = file.read(6)
    file.seek(0)
    if start.startswith(ZIP):
        return _Zip(path, file)
    unpack = next((unpack for magic, unpack in UNPACKERS if start.startswith(magic)), None)
    if unpack is not None:
        plain = stack.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115
        with unpack(file) as packed:
            damage = _copy(path, packed, plain)
        return _Tar(path, plain, damage)
    return _Tar(path, file)


def _check_total(path: Path, size: int) -> None:
    """Raise DecodeError if an archive unpacks to more than pictures ever do."""
    packed = os.stat(path).st_size
    if size > max(FREE_BYTES, MAX_RATIO * packed):
        raise DecodeError(
            f"{path.name}: unpacks to more than {MAX_RATIO} times its {packed} bytes; that is no archive of pictures"
        )


def _copy(path: Path, packed: IO[bytes], plain: IO[bytes]) -> str:
    """Unpack a file as far as it goes; return what ended it early."""
    size, damage, block = 0, "", b"-"
    while block:
        try:
            # Not read(): that throws away what it has when the end is torn off.
            block = packed.read1(BLOCK)  # type: ignore[attr-defined]
        except DAMAGE as exc:
            if not size or (isinstance(exc, OSError) and exc.errno is not None):
                raise
            damage, block = f"it is damaged, what comes later is lost ({exc or type(exc).__name__})", b""
        size += len(block)
        _check_total(path, size)
        plain.write(block)
    plain.seek(0)
    return damage


def _check_list_size(path: Path, file: IO[bytes]) -> None:
    """Raise DecodeError if a zip's list of members is larger than memory should hold."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 65_557 - 20))
    end = file.read()
    at = end.rfind(b"PK\x05\x06")
    if 0 <= at <= len(end) - 22:
        (list_bytes,) = struct.unpack_from("<L", end, at + 12)
        if at >= 20 and end[at - 20 : at - 16] == b"PK\x06\x07":
            # The 64-bit form stands where the locator says; its own record comes before it.
            file.seek(struct.unpack_from("<Q", end, at - 12)[0])
            record = file.read(56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                (list_bytes,) = struct.unpack_from("<Q", record, 40)
        if list_bytes > MAX_LIST_BYTES:
            raise DecodeError(f"{path.name}: a list of {list_bytes} bytes of members; divide the archive")
    file.seek(0)


def _zip_problem(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device is not followed"
    return "it is encrypted" if info.flag_bits & 1 else ""


def _tar_problem(info: tarfile.TarInfo) -> str:
    if info.issparse():
        return "it is stored as a sparse file"
    return "" if info.isreg() else "a link or a device is not followed"


def _name_problem(name: str) -> str:
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts or DRIVE.match(name) or any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "its name leads out of the archive, or has control characters"
    return ""


def _size_problem(size: int) -> str:
    return f"it is larger than {MAX_MEMBER_BYTES} bytes" if size > MAX_MEMBER_BYTES else ""


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return (
        name.endswith("/")
        or not parts
        or parts[0] == "__MACOSX"
        or (parts[-1].startswith(".") and ".." not in parts[-1])
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
