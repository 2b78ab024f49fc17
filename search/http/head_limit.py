"""Closes connections on which the head of a request does not come: uvicorn would hold them open for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_S", "HeadLimit"]

HEAD_S = 30.0


class HeadLimit(HttpToolsProtocol):
    """The protocol of uvicorn, with a bound on the time from a connection or a first byte to the end of a head.

    Between two requests uvicorn's own ``timeout_keep_alive`` holds; bodies are ``BodyLimit``'s.
    """

    head_s = HEAD_S
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def on_message_begin(self) -> None:
        """Wait for the rest of a head that has begun."""
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._end_wait()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end_wait()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._end_wait()
        self._late = self.loop.call_later(self.head_s, self.transport.close)

    def _end_wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
