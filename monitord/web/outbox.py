"""What goes out: at once, or joined with what follows when several answers are due in one turn of the event loop."""

import asyncio

from .limits import WRITE_AHEAD_BYTES


class Outbox:
    """Between a connection and its transport."""

    __slots__ = ("_flushing", "_loop", "_parts", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0
        self._flushing = False

    def write(self, data: bytes, *, more_follows: bool) -> None:
        """Send; if `more_follows`, then not later than in the next turn of the loop."""
        if not more_follows and not self._parts:
            self._transport.write(data)
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > WRITE_AHEAD_BYTES:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_soon)

    def flush(self) -> None:
        if self._parts:
            data = b"".join(self._parts)
            self.forget()
            self._transport.write(data)

    def forget(self) -> None:
        self._parts.clear()
        self._size = 0

    def _flush_soon(self) -> None:
        self._flushing = False
        self.flush()
