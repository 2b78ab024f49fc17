"""Real Redis servers for tests: on a unix socket, with an append-only file, to be killed and rolled back."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType

import redis

from hashreel.processes import Child
from hashreel.stack import redis_program

__all__ = ["RedisServer"]

START_WAIT_S = 20.0


class RedisServer:
    """A server of its own, in a short temporary folder (a socket's path may have about 108 bytes).

    Args:
        maxmemory: Bytes, or None for no bound.
    """

    def __init__(self, *, maxmemory: int | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hr-"))
        self.socket = self.folder / "r.sock"
        self.data = self.folder / "data"
        self.data.mkdir()
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.data),
            "appendonly": "yes",
            # Killing the process loses nothing that was written; only the machine's power could.
            "appendfsync": "no",
            "auto-aof-rewrite-percentage": "0",
            "save": "",
            "databases": "16",
        }
        if maxmemory is not None:
            options |= {"maxmemory": str(maxmemory), "maxmemory-policy": "noeviction"}
        command = [redis_program(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._child = Child("redis", command, log=self.folder / "redis.log")
        self._clients: list[redis.Redis] = []
        self.start()

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def url(self, database: int = 0) -> str:
        """Return the address of a database."""
        return f"unix://{self.socket}?db={database}"

    def client(self, database: int = 0) -> redis.Redis:
        """Return a client that is closed with the server, and raises at once while the server is down."""
        client: redis.Redis = redis.Redis(unix_socket_path=str(self.socket), db=database, retry=None)
        self._clients.append(client)
        return client

    def start(self) -> None:
        """Start the server (again) and return when it has read its files."""
        self._child.start()
        deadline = time.monotonic() + START_WAIT_S
        while not self._answers():
            if self._child.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "redis.log").read_text())
            time.sleep(0.005)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._child.signal(signal.SIGKILL)
        self._child.join(10)
        self.socket.unlink(missing_ok=True)

    def pause(self) -> None:
        """Stop the process in its tracks, so that callers are left hanging."""
        self._child.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused process go on."""
        self._child.signal(signal.SIGCONT)

    def backup(self) -> Path:
        """Return a copy of the data as they are now on disk."""
        target = Path(tempfile.mkdtemp(prefix="copy-", dir=self.folder))
        shutil.copytree(self.data, target, dirs_exist_ok=True)
        return target

    def roll_back(self, copy: Path) -> None:
        """Kill the server and start it again, at the same socket, over a copy that was taken earlier."""
        self.kill()
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)
        self.start()

    def close(self) -> None:
        """End the server and remove its folder."""
        for client in self._clients:
            client.close()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
