"""Files over SFTP: fsspec's file system of that kind, but hosts must be known, and nothing waits for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from hashreel.errors import ForbiddenError

__all__ = ["KnownHostsSftp", "login_and_path"]

CONNECT_S = 20.0
SILENCE_S = 60.0
"""A server that sends nothing for so long counts as away."""
WINDOW = 4 * 2**20
KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "~/.ssh/known_hosts")


class _Refuse(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Refuses a host that is not known: whoever answers under its name would be taken for it."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise ForbiddenError(
            f"the host key of {hostname} is not known; check it, and add it to known_hosts of the worker's user, "
            "for instance with ssh-keyscan"
        )


class KnownHostsSftp(SFTPFileSystem):  # type: ignore[misc]
    """Connects to hosts in known_hosts only, and reads several parts of a file at once.

    Args:
        host: Name or address; other arguments are those of ``paramiko.SSHClient.connect``.
    """

    # As that of its parent, so that fsspec's configuration (FSSPEC_SFTP) holds for it.
    protocol = SFTPFileSystem.protocol

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        for place in map(os.path.expanduser, KNOWN_HOSTS):
            if os.path.exists(place):
                self.client.load_system_host_keys(place)
        self.client.set_missing_host_key_policy(_Refuse())
        limits = {"timeout": CONNECT_S, "banner_timeout": CONNECT_S, "auth_timeout": CONNECT_S}
        try:
            self.client.connect(self.host, **(limits | self.ssh_kwargs))
            self.ftp = self.client.open_sftp()
        except BaseException:
            self.client.close()
            raise
        self.ftp.get_channel().settimeout(SILENCE_S)

    def close(self) -> None:
        """Give the connection back."""
        self.client.close()

    def read_parts(self, path: str, start: int, size: int) -> Iterator[bytes]:
        """Yield the bytes of a file from ``start`` to ``size``; a single request at a time would wait for each."""
        with self.ftp.open(path, "rb") as file:
            for offset in range(start, size, WINDOW):
                yield from file.readv([(offset, min(WINDOW, size - offset))])


def login_and_path(url: str) -> tuple[dict[str, Any], str]:
    """Return where a URL connects to, as arguments of the file system, and the path on that host, as it is spelt."""
    parts = urlsplit(url)
    login = {"host": parts.hostname or "", "port": parts.port, "username": parts.username}
    path = url.partition("://")[2].partition("/")[2]
    return {name: value for name, value in login.items() if value is not None}, f"/{path}"
