"""What goes out: at once, or joined with what follows when several answers are due in one turn of the event loop."""

import asyncio

from .limits import WRITE_AHEAD_BYTES


class Outbox:
    """Between a connection and its transport."""

    __slots__ = ("_flushing", "_loop", "_size", "_transport", "parts")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.parts: list[bytes] = []
        self._size = 0
        self._flushing = False

    def add(self, data: bytes) -> None:
        """Sent in the next turn of the loop at the latest."""
        self.parts.append(data)
        self._size += len(data)
        if self._size > WRITE_AHEAD_BYTES:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_soon)

    def flush(self) -> None:
        if self.parts:
            data = b"".join(self.parts)
            self.forget()
            self._transport.write(data)

    def forget(self) -> None:
        self.parts.clear()
        self._size = 0

    def _flush_soon(self) -> None:
        self._flushing = False
        self.flush()
