"""Sources in other file systems (s3, gs, sftp, ...): each opened by its address for one use, and closed after it.

fsspec has them; each kind needs its own package, and takes its credentials from its own configuration. Nothing of
fsspec's caches is used: a kept listing would hide what came since, and a kept connection may be dead by now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hashreel.errors import ForbiddenError, HashreelError, NotFoundError, TooLargeError, UnavailableError
from hashreel.outbound import without_login

__all__ = ["OpenFile", "Stat", "file_system", "translated"]

BLOCK = 2**20
READ_AHEAD = 8 * 2**20
VERSION_KEYS = ("etag", "ETag", "generation", "mtime", "LastModified", "created")
# What libraries raise when credentials are missing or refused: another try would do no better. By name, since none of
# these libraries has to be there.
REFUSALS = {
    "AuthenticationException",  # paramiko
    "BadHostKeyException",
    "DefaultCredentialsError",  # google.auth
    "RefreshError",
    "CredentialRetrievalError",  # botocore
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "TokenRetrievalError",
}
REFUSED_STATUS = {"401", "403"}
LONGEST_REASON = 300


@dataclass(frozen=True)
class Stat:
    """A state of a file: its size, if that is known, and what tells it from other states."""

    size: int | None
    version: str


@dataclass(frozen=True)
class OpenFile:
    """A URL whose file system is open.

    Attributes:
        url: For messages.
        system: fsspec's file system.
        path: The path in it.
    """

    url: str
    system: Any
    path: str

    def stat(self) -> Stat:
        """Return the state of the file now.

        Raises:
            NotFoundError, ForbiddenError: If it is none, or may not be read.
            UnavailableError: If that may be better later.
        """
        with translated(self.url):
            info = self.system.info(self.path)
        if info.get("type") == "directory":
            raise ForbiddenError("it is a folder now")
        size = None if info.get("size") is None else int(info["size"])
        return Stat(size, json.dumps([str(info.get(key, "")) for key in VERSION_KEYS]) + f" {size}")

    def read(self, found: Stat, start: int, most: int, deadline: float) -> Iterator[bytes]:
        """Yield the bytes of the file from a place on.

        Args:
            found: The state that is to be read.
            start: The first byte.
            most: Most bytes to yield.
            deadline: Of ``time.monotonic``.

        Raises:
            TooLargeError: If there are more.
            UnavailableError: If time is up, the connection breaks, or the file is changed meanwhile.
        """
        done = 0
        with translated(self.url):
            for block in _blocks(self.system, self.path, start, found.size):
                done += len(block)
                if done > most:
                    raise TooLargeError
                if time.monotonic() > deadline:
                    raise UnavailableError(f"{self.url} was not read in time (source_timeout_s)")
                yield block
        # It is read in parts, which are of two files if it was overwritten meanwhile.
        if self.stat() != found:
            raise UnavailableError(f"{self.url} was changed while it was read")


def _blocks(system: Any, path: str, start: int, size: int | None) -> Iterator[bytes]:
    if isinstance(size, int) and hasattr(system, "read_parts"):
        yield from system.read_parts(path, start, size)
        return
    # Without a bound on what is read ahead, s3 would take 50 MiB and more for each file.
    with system.open(path, "rb", block_size=READ_AHEAD) as file:
        file.seek(start)
        while block := file.read(BLOCK):
            yield block


@contextmanager
def file_system(url: str) -> Iterator[OpenFile]:
    """Open fsspec's file system for a URL.

    Raises:
        ForbiddenError: If it needs a package that is not there, or its credentials are refused.
        UnavailableError: If it does not answer.
    """
    with translated(url):
        system, path = _opened(url)
    try:
        yield OpenFile(url, system, path)
    finally:
        if hasattr(system, "close"):
            system.close()


def _opened(url: str) -> tuple[Any, str]:
    if url.lower().startswith(("sftp://", "ssh://")):
        from workers.sftp import KnownHostsSftp, login_and_path

        login, path = login_and_path(url)
        return KnownHostsSftp(skip_instance_cache=True, **login), path
    if url.lower().startswith(("gs://", "gcs://")):
        # The package's other class asks by gRPC what kind a bucket is, for a minute where that port does not answer.
        from gcsfs.core import GCSFileSystem

        return GCSFileSystem(skip_instance_cache=True), str(GCSFileSystem._strip_protocol(url))
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url, skip_instance_cache=True)
    except ValueError as exc:
        raise ForbiddenError(f"no file system for this kind of address: {exc}") from exc
    return system, str(path)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what file systems raise into our errors."""
    shown = without_login(url)
    try:
        yield
    except HashreelError:
        raise
    except FileNotFoundError as exc:
        raise NotFoundError(f"{shown}: there is no such file") from exc
    except ImportError as exc:
        raise ForbiddenError(f"{shown}: {exc}") from exc
    except Exception as exc:
        # Each kind of file system has errors of its own; most pass.
        if _is_refusal(exc):
            raise ForbiddenError(
                f"{shown} may not be read ({_reason(exc)}); check the credentials of services and workers, and what "
                "they allow"
            ) from exc
        raise UnavailableError(f"{shown} cannot be read: {_reason(exc)}") from exc


def _is_refusal(exc: BaseException) -> bool:
    if isinstance(exc, PermissionError) or REFUSALS & {kind.__name__ for kind in type(exc).__mro__}:
        return True
    if str(getattr(exc, "code", "")) in REFUSED_STATUS:
        return True
    # These two have no classes of their own: gcsfs on status 403, paramiko where no key is there to be tried.
    return str(exc).startswith(("Forbidden", "No authentication methods available"))


def _reason(exc: BaseException) -> str:
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}"[:LONGEST_REASON] if text else type(exc).__name__
