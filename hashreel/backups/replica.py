"""The whole contents of a Redis at one moment, taken as a replica would: the server forks and sends a file.

Nothing stops meanwhile, and what arrives is one consistent cut: no chunk without its log entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hashreel.errors import UnavailableError

if TYPE_CHECKING:
    import redis

__all__ = ["RdbStream", "rdb_stream"]

LINE_BYTES = 1024
FORK_WAIT_S = 600.0


class RdbStream:
    """Reads the file that the server sends.

    Attributes:
        size: Its bytes.
    """

    def __init__(self, connection: Any) -> None:
        # redis-py has no call that streams a reply; its socket, connected and authenticated, is used as it is.
        self._socket = connection._sock
        self._socket.settimeout(FORK_WAIT_S)
        line = self._line()
        if not line.startswith(b"$") or not line[1:].isdigit():
            raise UnavailableError(
                f"this Redis does not hand out its data ({line.decode(errors='replace')}); managed servers often do "
                "not: use their own snapshots"
            )
        self.size = self._left = int(line[1:])

    def _line(self) -> bytes:
        """Return the first line that is not empty; the server sends newlines while it prepares."""
        line = b""
        while not line.endswith(b"\n") and len(line) < LINE_BYTES:
            byte = self._socket.recv(1)
            if not byte:
                raise UnavailableError("Redis closed the connection while it prepared its data; see its log")
            line = b"" if line + byte in {b"\n", b"\r\n"} else line + byte
        return line.strip()

    def read(self, size: int = 2**20) -> bytes:
        """Return the next bytes; empty at the end."""
        block: bytes = self._socket.recv(min(size, self._left)) if self._left else b""
        if self._left and not block:
            raise UnavailableError(f"Redis ended its transfer {self._left} bytes before the end; see its log")
        self._left -= len(block)
        return block


class _Whole:
    """Gives as many bytes as are asked for, as ``tarfile`` expects."""

    def __init__(self, stream: RdbStream) -> None:
        self._stream = stream
        self.size = stream.size

    def read(self, size: int = 2**20) -> bytes:
        parts = bytearray()
        while len(parts) < size and (block := self._stream.read(size - len(parts))):
            parts += block
        return bytes(parts)


@contextmanager
def rdb_stream(client: redis.Redis) -> Iterator[_Whole]:
    """Open the server's data as one file in its own format (RDB)."""
    connection: Any = client.connection_pool.get_connection()
    try:
        connection.send_command("REPLCONF", "rdb-only", "1")
        connection.read_response()
        connection.send_command("SYNC")
        yield _Whole(RdbStream(connection))
    finally:
        connection.disconnect()
        client.connection_pool.release(connection)
