"""The bounded folder of uploaded videos: safe names, whole files only, nothing overwritten."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hashreel.errors import BadInputError, StorageFullError, TooLargeError
from hashreel.schemas import Upload

__all__ = ["ROOT", "Incoming", "UploadStore", "safe_name"]

ROOT = "uploads"
PART = ".part-"
STALE_PART_S = 86400.0
MAX_NAME_BYTES = 120


def safe_name(name: str) -> str:
    """Return a file name that stays in its folder, is no glob and fits any file system.

    Args:
        name: What the sender calls the file; any text.

    Returns:
        The last part of the name in Unicode's composed form, at most 120 bytes of UTF-8, suffix kept.

    Raises:
        BadInputError: if nothing is left of it.

    Example:
        >>> safe_name("../../etc/pass*wd.mp4")
        'pass_wd.mp4'
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = re.sub(r"[^\w .()+,=@-]", "_", last).strip(" .-")
    stem, suffix = os.path.splitext(kept)
    if not stem:
        raise BadInputError(f"{name[:100]!r} is no name for an upload; give one such as 'clip.mp4'")
    suffix = suffix[:16]
    return _cut(stem, MAX_NAME_BYTES - len(suffix.encode())) + suffix


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore").rstrip(" .-")


class UploadStore:
    """Takes uploads into one folder, which is the source root ``uploads``.

    Args:
        folder: Created when the first upload comes.
        max_bytes: Bound of one upload.
        total_bytes: Bound of all files of the folder together.
    """

    def __init__(self, folder: Path, max_bytes: int, total_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.total_bytes = total_bytes
        self._used = 0
        self._lock = threading.Lock()

    def begin(self, filename: str) -> Incoming:
        """Return an open upload; the caller finishes or aborts it.

        Raises:
            BadInputError: if the name cannot be used.
            StorageFullError: if the folder is full.
        """
        name = safe_name(filename)
        with _full_disk_named():
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                self._used = self._scan()
            self.take(0)
            return Incoming(self, name)

    def take(self, size: int) -> None:
        """Count ``size`` more bytes; StorageFullError if they do not fit."""
        with self._lock:
            if self._used + size >= self.total_bytes:
                raise StorageFullError(
                    f"the uploads folder is bounded to {self.total_bytes} bytes and is full; delete uploads or raise "
                    "uploads_bytes (HASHREEL_UPLOADS_BYTES)"
                )
            self._used += size

    def _scan(self) -> int:
        total = 0
        now = time.time()
        for entry in os.scandir(self.folder):
            with suppress(FileNotFoundError):  # another upload may just have taken its name
                status = entry.stat(follow_symlinks=False)
                # What a killed service left behind; a part that is being written has a young time.
                if entry.name.startswith(PART) and now - status.st_mtime > STALE_PART_S:
                    os.unlink(entry.path)
                elif stat.S_ISREG(status.st_mode):
                    total += status.st_size
        return total


class Incoming:
    """One upload on its way: bytes go to a hidden file that gets its name when all are there and on disk."""

    def __init__(self, store: UploadStore, name: str) -> None:
        self._store = store
        self._name = name
        self._part = store.folder / f"{PART}{secrets.token_hex(8)}"
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TooLargeError: beyond the bound of one upload.
            StorageFullError: beyond the bound of the folder, or on a full disk.
        """
        self.size += len(data)
        if self.size > self._store.max_bytes:
            raise TooLargeError(f"the upload is larger than {self._store.max_bytes} bytes (max_upload_bytes)")
        self._store.take(len(data))
        self._hash.update(data)
        view = memoryview(data)
        with _full_disk_named():
            while view:
                view = view[os.write(self._file, view) :]

    def finish(self) -> Upload:
        """Put the file in its place and return what can be enqueued.

        The same bytes under the same name give the file that is there already; other bytes get a name of their own.

        Raises:
            BadInputError: if no byte came.
        """
        if self.size == 0:
            raise BadInputError("the upload is empty")
        with _full_disk_named():
            os.fsync(self._file)
        digest = self._hash.hexdigest()
        path = self._place(digest)
        os.close(self._file)
        _sync_folder(path.parent)
        return Upload(source=f"{ROOT}/{path.name}", bytes=self.size, sha256=digest)

    def abort(self) -> None:
        """Forget an upload that was not finished."""
        os.close(self._file)
        self._part.unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        for candidate in _names(self._name, digest):
            path = self._store.folder / candidate
            try:
                # Reserves the name, so that two uploads at the same time cannot both take it.
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            except FileExistsError:
                if not _holds(path, self.size, digest):
                    continue
                self._part.unlink()
                return path
            os.replace(self._part, path)
            return path
        raise AssertionError("names do not run out")


def _names(name: str, digest: str) -> Iterator[str]:
    stem, suffix = os.path.splitext(name)
    yield name
    yield f"{stem}-{digest[:12]}{suffix}"
    while True:
        yield f"{stem}-{secrets.token_hex(6)}{suffix}"


def _holds(path: Path, size: int, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            return False
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _full_disk_named() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError("the disk of the uploads folder is full") from exc
        raise
