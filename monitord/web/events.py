"""Server-sent events: a stream of texts to a client that reconnects automatically.

A handler returns `EventStream(source)`. The framework iterates over the source, keeps the connection alive with
comments while there is no event, and stops when the client disconnects or the server stops.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from .headers import HeaderSource
from .response import RequestInfo, StreamResponse, close_iterator

KEEP_ALIVE_S = 15.0  # less than the idle timeouts of common proxies


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `data` can have several lines."""

    data: str
    event: str = ""
    id: str | None = None
    retry_ms: int | None = None

    def encode(self) -> bytes:
        """Return the event as sent. Raises ValueError for a line end or NUL in `event` or `id`."""
        if any(end in field for field in (self.event, self.id or "") for end in "\r\n\0"):
            raise ValueError("event and id must each be a single line")
        lines = [f"event: {self.event}"] if self.event else []
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry_ms is not None:
            lines.append(f"retry: {self.retry_ms}")
        text = self.data.replace("\r\n", "\n").replace("\r", "\n")
        lines += [f"data: {line}" for line in text.split("\n")]
        return ("\n".join(lines) + "\n\n").encode()


class EventStream(StreamResponse):
    """Sends each event of `source` at once. Ends with the source or with the server."""

    ends_with_server = True

    def __init__(
        self,
        source: AsyncIterator[Event | str],
        *,
        headers: HeaderSource | None = None,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self._events = source
        super().__init__(_encode(source, keep_alive_s), headers=headers, content_type="text/event-stream")
        self.headers.setdefault("Cache-Control", "no-store")
        self.headers.setdefault("X-Accel-Buffering", "no")

    async def send(self, request: RequestInfo) -> None:
        try:
            await self.prepare(request)
            if request.exchange.sends_body:
                await self.write(b": \n\n")  # a first byte shows the client that it is connected
            await super().send(request)
        finally:  # also for HEAD, when the source has not been used
            await close_iterator(self._events)


async def _encode(source: AsyncIterator[Event | str], keep_alive_s: float) -> AsyncIterator[bytes]:
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
