"""Outgoing bytes, which are sent at the end of the event loop iteration in which they were written.

Responses to pipelined requests, or a head and the pieces after it, are sent in a single write. Responses to many
clients are sent one after another, which wakes the clients less often than sending after each handler.
"""

import asyncio

from .limits import TURN_RESPONSES, WRITE_AHEAD_BYTES


class SendQueue:
    """The buffers of one event loop that have something to send at the end of this iteration."""

    __slots__ = ("_buffers", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffers: list[WriteBuffer] = []

    def add(self, buffer: "WriteBuffer") -> None:
        if not self._buffers:
            self._loop.call_soon(self._end)
        self._buffers.append(buffer)
        if len(self._buffers) >= TURN_RESPONSES:
            self._end()

    def _end(self) -> None:
        buffers, self._buffers = self._buffers, []
        for buffer in buffers:
            buffer.flush()


class WriteBuffer:
    """Collects the bytes of one connection before they are written to its transport."""

    __slots__ = ("_parts", "_queue", "_size_bytes", "_transport")

    def __init__(self, transport: asyncio.Transport, queue: SendQueue) -> None:
        self._transport = transport
        self._queue = queue
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def add(self, data: bytes) -> None:
        """Send at the end of this iteration, or at once if more than WRITE_AHEAD_BYTES are collected."""
        size_bytes = self._size_bytes + len(data)
        if size_bytes > WRITE_AHEAD_BYTES:
            self.flush()
            self._transport.write(data)
            return
        self._parts.append(data)
        self._size_bytes = size_bytes
        if len(self._parts) == 1:
            self._queue.add(self)

    def flush(self) -> None:
        parts = self._parts
        if parts:
            data = b"".join(parts)  # returns a single part without copying it
            parts.clear()
            self._size_bytes = 0
            self._transport.write(data)

    def drop(self) -> None:
        self._parts.clear()
        self._size_bytes = 0
