"""What goes out, at the end of the turn of the event loop in which it was written.

Answers to pipelined requests, or a head and the pieces behind it, so leave in one write; and answers to many clients
leave one right after another, which wakes the clients less often than between one handler and the next.
"""

import asyncio

from .limits import TURN_ANSWERS, WRITE_AHEAD_BYTES


class Turn:
    """The outboxes of one event loop that have something to send at the end of this turn."""

    __slots__ = ("_loop", "_outboxes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outboxes: list[Outbox] = []

    def add(self, outbox: "Outbox") -> None:
        if not self._outboxes:
            self._loop.call_soon(self._end)
        self._outboxes.append(outbox)
        if len(self._outboxes) >= TURN_ANSWERS:
            self._end()

    def _end(self) -> None:
        outboxes, self._outboxes = self._outboxes, []
        for outbox in outboxes:
            outbox.flush()


class Outbox:
    """Between a connection and its transport."""

    __slots__ = ("_parts", "_size", "_transport", "_turn")

    def __init__(self, transport: asyncio.Transport, turn: Turn) -> None:
        self._transport = transport
        self._turn = turn
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """Sent at the end of this turn, or at once when it is much."""
        size = self._size + len(data)
        if size > WRITE_AHEAD_BYTES:
            self.flush()
            self._transport.write(data)
            return
        self._parts.append(data)
        self._size = size
        if len(self._parts) == 1:
            self._turn.add(self)

    def flush(self) -> None:
        parts = self._parts
        if parts:
            data = b"".join(parts)  # no copy of a single one
            parts.clear()
            self._size = 0
            self._transport.write(data)

    def forget(self) -> None:
        self._parts.clear()
        self._size = 0
