"""Server-sent events: a stream of small texts to a page or a program that reconnects by itself.

A handler returns `EventStream(source)`; the framework asks the source for the next event, keeps the line alive
with comments while there is none, and stops when the client leaves or the server stops.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from .headers import HeaderSource
from .response import Asked, StreamResponse, close_source

KEEP_ALIVE_S = 15.0  # below the idle limits of common proxies


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `data` may have several lines."""

    data: str
    event: str = ""
    id: str | None = None
    retry_ms: int | None = None

    def encode(self) -> bytes:
        """Raises ValueError when a field that is one line has a line end in it."""
        if any(end in field for field in (self.event, self.id or "") for end in "\r\n\0"):
            raise ValueError("the name and the id of an event are one line each")
        lines = [f"event: {self.event}"] if self.event else []
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry_ms is not None:
            lines.append(f"retry: {self.retry_ms}")
        text = self.data.replace("\r\n", "\n").replace("\r", "\n")
        lines += [f"data: {line}" for line in text.split("\n")]
        return ("\n".join(lines) + "\n\n").encode()


class EventStream(StreamResponse):
    """Sends what `source` yields, each piece at once. Ends when the source ends, or with the server."""

    ends_with_server = True

    def __init__(
        self,
        source: AsyncIterator[Event | str],
        *,
        headers: HeaderSource | None = None,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self._events = source
        super().__init__(_encoded(source, keep_alive_s), headers=headers, content_type="text/event-stream")
        self.headers.setdefault("Cache-Control", "no-store")
        self.headers.setdefault("X-Accel-Buffering", "no")

    async def send(self, request: Asked) -> None:
        try:
            await self.prepare(request)
            if request.exchange.sends_body:
                await self.write(b": \n\n")  # a first byte tells the client that it is connected
            await super().send(request)
        finally:  # also where it was asked for nothing, and what encodes it was never begun
            await close_source(self._events)


async def _encoded(source: AsyncIterator[Event | str], keep_alive_s: float) -> AsyncIterator[bytes]:
    next_event: asyncio.Future[Event | str] | None = None
    try:
        while True:
            if next_event is None:
                next_event = asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait((next_event,), timeout=keep_alive_s)
            if not done:
                yield b": \n\n"
                continue
            try:
                event = next_event.result()
            except StopAsyncIteration:
                return
            next_event = None
            yield (Event(event) if isinstance(event, str) else event).encode()
    finally:
        if next_event is not None:
            next_event.cancel()
            await asyncio.wait((next_event,))
