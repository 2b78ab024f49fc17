"""A TCP proxy before a Redis that loses connections: before a request gets through, or before its reply comes back."""

from __future__ import annotations

import random
import selectors
import socket
import struct
import threading
from types import TracebackType

__all__ = ["LeakyProxy"]

BLOCK_BYTES = 1 << 16
# So that a closed connection is reset: the other side hears of it at once, whatever was on its way.
LINGER = struct.pack("ii", 1, 0)


class LeakyProxy:
    """Relays between a TCP port and a server's unix socket.

    Args:
        target: Path of the server's socket.
        seed: Of the choice of what is lost.
        lost: Share of the relayed blocks with which their connection is lost; half of the blocks are requests, which
            then never arrive, half are replies, whose requests were carried out.
    """

    def __init__(self, target: str, *, seed: int = 0, lost: float = 0.0) -> None:
        self._target, self._random, self.lost = target, random.Random(seed), lost
        self.requests_lost = self.replies_lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_down = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> LeakyProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def url(self, database: int = 0) -> str:
        """Return the address of a database."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/{database}"

    def cut(self) -> int:
        """Reset all connections that are open; return how many."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            _reset(pair)
        return len(pairs)

    def go_down(self) -> None:
        """Reset all connections and accept no other, until ``come_back``."""
        self._is_down = True
        self.cut()

    def come_back(self) -> None:
        """Accept connections again."""
        self._is_down = False

    def close(self) -> None:
        """Reset all connections and end."""
        self._is_closed = True
        # Closing a listener does not wake the thread that waits at it.
        socket.create_connection(self._listener.getsockname()).close()
        self._accepting.join(10)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._is_closed:
            near, _ = self._listener.accept()
            if self._is_closed or self._is_down:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            threading.Thread(target=self._relay, args=(near, far), daemon=True).start()

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        pair = (near, far)
        with self._lock:
            self._pairs.add(pair)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(near, selectors.EVENT_READ, far)
                selector.register(far, selectors.EVENT_READ, near)
                while self._pass_on(near, selector):
                    pass
        except (OSError, ValueError):
            pass  # one side has gone, or ``cut`` has closed both
        finally:
            with self._lock:
                self._pairs.discard(pair)
            _reset(pair)

    def _pass_on(self, near: socket.socket, selector: selectors.BaseSelector) -> bool:
        for key, _ in selector.select(timeout=1.0):
            source, sink = key.fileobj, key.data
            assert isinstance(source, socket.socket)
            block = source.recv(BLOCK_BYTES)
            if not block or self._loses(is_request=source is near):
                return False
            sink.sendall(block)
        return near.fileno() >= 0

    def _loses(self, *, is_request: bool) -> bool:
        with self._lock:
            if self._random.random() >= self.lost:
                return False
            if is_request:
                self.requests_lost += 1
            else:
                self.replies_lost += 1
            return True


def _reset(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed already
        end.close()
