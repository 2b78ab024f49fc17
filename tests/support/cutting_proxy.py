"""A TCP proxy that loses connections in the middle of an answer, when it is told to."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

__all__ = ["CuttingProxy"]

LINGER = struct.pack("ii", 1, 0)  # a closed connection is reset


class CuttingProxy:
    """Relays between a port of its own and another one of this machine.

    Attributes:
        port: Its port.
        cut_after: A connection is lost when so many bytes of answers have come through it.
        cuts_left: How many more connections are to be lost so.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut_after, self.cuts_left = 0, 0
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, times: int, after: int) -> None:
        """Lose some of the connections that give more than ``after`` bytes from now on."""
        with self._lock:
            self.cut_after, self.cuts_left = after, times

    def close(self) -> None:
        """Lose all connections, and accept no other."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            _lose(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            threading.Thread(target=self._relay, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._relay, args=(far, near, True), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        told = 0
        try:
            while block := source.recv(4096):
                told += len(block)
                if is_answer and self._is_to_be_cut(told):
                    break
                sink.sendall(block)
            else:
                sink.shutdown(socket.SHUT_WR)  # it has said all; the other side may go on
                return
        except OSError:
            pass
        _lose(source)
        _lose(sink)

    def _is_to_be_cut(self, told: int) -> bool:
        with self._lock:
            is_due = self.cuts_left > 0 and told > self.cut_after
            self.cuts_left -= is_due
            return is_due


def _lose(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
