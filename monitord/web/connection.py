"""One client's connection: bytes, deadlines, flow control and order; one object, one timer, no task while idle.

    idle ──first byte──> head ──complete──> busy (a task serves) ──answered──> idle
      └── keep-alive over: close      └── too late: 408        └── not to be kept: lingering ──> closed

A task lives while requests are there to be served, and serves them in order; the next head is not looked
at before the last answer is out. The one timer is never cancelled per request: when it fires before it is
due, it is set anew. Answers to pipelined requests are joined into one write.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from .exceptions import HTTPException
from .exchange import Exchange
from .framing import Inbox
from .head import Head, ProtocolFault
from .limits import LINGER_BYTES, READ_AHEAD_BYTES, WRITE_AHEAD_BYTES, Limits
from .request import Request
from .response import REASONS, Response, encode_head

if TYPE_CHECKING:
    from .server import Server

_log = logging.getLogger(__name__)

_STARTS_TASKS_EAGERLY = sys.version_info >= (3, 12)


class Phase(Enum):
    """What the timer is for."""

    IDLE = 0
    HEAD = 1
    BUSY = 2  # a task serves; it sets deadlines of its own when it waits for the client
    LINGERING = 3


class Connection(asyncio.Protocol):
    """The protocol object of one connection. The server makes it and counts it."""

    __slots__ = (
        "_due",
        "_eof",
        "_flushing",
        "_linger_bytes",
        "_out",
        "_phase",
        "_readable",
        "_reading_paused",
        "_server",
        "_task",
        "_timer",
        "_transport",
        "_unsent_bytes",
        "_writable",
        "current",
        "inbox",
        "is_closing",
        "is_lost",
        "is_write_paused",
        "limits",
    )

    def __init__(self, server: "Server") -> None:
        self._server = server
        self.limits: Limits = server.limits
        self.inbox = Inbox(
            server.head_parser,
            max_line_bytes=server.limits.request_line_bytes,
            max_head_bytes=server.limits.head_bytes,
        )
        self.current: Request | None = None
        self.is_closing = False
        self.is_lost = False
        self.is_write_paused = False
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._phase = Phase.IDLE
        self._eof = False
        self._reading_paused = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._out: list[bytes] | None = None
        self._flushing = False
        self._unsent_bytes = 0
        self._linger_bytes = LINGER_BYTES

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        if not self._server.admit(self):
            self._refuse(ProtocolFault(503, "too many connections"))
            return
        self._aim(Phase.IDLE, self.limits.keep_alive_s)

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase is Phase.LINGERING:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self._transport.abort()
            return
        self.inbox.feed(data)
        if phase is not Phase.BUSY:
            self._begin()
            return
        if self._readable is not None:
            _wake(self._readable)
        if not self._reading_paused and self.inbox.waiting_bytes > READ_AHEAD_BYTES:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more; it may still be waiting for answers."""
        self._eof = True
        if self._readable is not None:
            _wake(self._readable)
        if self._phase is Phase.BUSY:
            return True
        self._transport.close()
        return False

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self._writable is not None:
            _wake(self._writable)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it was lost changes nothing
        self.is_lost = True
        self.is_closing = True
        self.inbox.drop()
        self._out = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in (self._readable, self._writable):
            if waiter is not None:
                _wake(waiter)
        if self._task is not None:
            self._task.cancel()
        else:
            self._server.forget(self)

    # Serving.

    def _begin(self) -> None:
        """Look for a head while no task serves."""
        try:
            head = self.inbox.next_head()
        except ProtocolFault as fault:
            self._refuse(fault)
            return
        if head is None:
            if self._phase is Phase.IDLE and self.inbox.waiting_bytes:
                self._aim(Phase.HEAD, self.limits.head_s)
            return
        self._phase = Phase.BUSY
        loop = self._server.loop
        serving = self._serve(head)
        if _STARTS_TASKS_EAGERLY:
            task = _eager_task(serving, loop)
            self._task = None if task.done() else task
        else:
            self._task = loop.create_task(serving)

    async def _serve(self, first: Head) -> None:
        """Answer requests in order until none waits. The only awaits on the application are below this."""
        head: Head | None = first
        try:
            while head is not None:
                exchange = Exchange(self, head)
                request = self.current = Request(head, exchange)
                response = await self._server.answer(request)
                try:
                    await response.send(request)
                except (ConnectionResetError, TimeoutError):
                    exchange.keep_alive = False
                    self._transport.abort()
                    break
                except HTTPException as error:  # raised while a stream read the request's body
                    await self._fail(exchange, request, error)
                except Exception as error:  # noqa: BLE001 - the application's boundary logs it and makes the page
                    await self._fail(exchange, request, self._server.app.failure(request, error))
                if not self.inbox.body_done and exchange.keep_alive:
                    await self._drain(exchange)
                if not exchange.keep_alive or self.is_closing:
                    self._finish_closing()
                    break
                head = self.inbox.next_head()
                if self._reading_paused and self.inbox.waiting_bytes <= READ_AHEAD_BYTES:
                    self._resume_reading()
        except ProtocolFault as fault:
            self._refuse(fault)
        except asyncio.CancelledError:
            self._transport.abort()
            if not self.is_closing:
                raise
        finally:
            self.current = None
            self._task = None
            if self.is_lost:
                self._server.forget(self)
        if self._phase is Phase.BUSY:
            self._rest()

    def _rest(self) -> None:
        """Nothing complete waits: go idle, or on with the head whose beginning is there."""
        if self._reading_paused:
            self._resume_reading()
        if self.inbox.waiting_bytes:
            self._aim(Phase.HEAD, self.limits.head_s)
        else:
            self._aim(Phase.IDLE, self.limits.keep_alive_s)
        if self._eof and not self.is_lost:
            self._transport.close()

    async def _fail(self, exchange: Exchange, request: Request, error: Response) -> None:
        """Sending broke: say so if nothing is out yet, else break the connection, lest half passes for whole."""
        exchange.keep_alive = False
        if exchange.started:
            self._transport.abort()
            return
        await exchange.send_whole(error)

    async def _drain(self, exchange: Exchange) -> None:
        exchange.finished = False
        await exchange.drain_body()

    def _refuse(self, fault: ProtocolFault) -> None:
        """Answer what is not HTTP, or too much of it, and close."""
        text = f"{fault.status}: {fault.message}\n"
        response = Response(text=text, status=fault.status, reason=REASONS.get(fault.status))
        framing = f"Content-Length: {len(response.body)}\r\nConnection: close\r\n"
        self.write(encode_head(response, framing) + response.body)
        self._linger()

    def _finish_closing(self) -> None:
        """The last answer is out. Linger when more of the client may be on its way, or its answer would be lost."""
        if self._eof or self.is_lost or (self.inbox.body_done and not self.inbox.waiting_bytes):
            self.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._flush()
        self.is_closing = True
        self.inbox.drop()
        if self.is_lost:
            return
        self._resume_reading()
        self._aim(Phase.LINGERING, self.limits.linger_s)
        if self._transport.can_write_eof():
            # It may be down already, when the client reset the connection a moment ago.
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    # Closing, for the server and for ourselves.

    @property
    def is_busy(self) -> bool:
        return self._phase is Phase.BUSY

    @property
    def ends_with_server(self) -> bool:
        """Whether what is being sent has no end of its own, such as a stream of events."""
        return self.current is not None and self.current.exchange.ends_with_server

    @property
    def task(self) -> "asyncio.Task[None] | None":
        return self._task

    def close(self) -> None:
        """Send what is written, then close; what the client does not take in time is dropped."""
        self._flush()
        self.is_closing = True
        if not self.is_lost:
            self._aim(Phase.LINGERING, self.limits.write_s)
            self._transport.close()

    def stop(self) -> None:
        """The server stops: an idle connection closes now, a busy one after its present answer."""
        self.is_closing = True
        if not self.is_busy and self._phase is not Phase.LINGERING:
            self.close()

    def abort(self) -> None:
        self.is_closing = True
        self._transport.abort()

    # Reading and writing, for the exchange.

    def now(self) -> float:
        return self._server.loop.time()

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    @property
    def server(self) -> "Server":
        return self._server

    def take_body(self, most: int) -> bytes:
        piece = self.inbox.take_body(most)
        if self._reading_paused and self.inbox.waiting_bytes <= READ_AHEAD_BYTES // 2:
            self._resume_reading()
        return piece

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.is_lost:
            self._reading_paused = False
            self._transport.resume_reading()

    async def wait_readable(self, timeout_s: float) -> None:
        """Until more bytes have come. Raises TimeoutError, and ConnectionResetError when no more will come."""
        if self.is_lost or self._eof:
            raise ConnectionResetError("the client left in the middle of its request")
        if self._readable is not None:
            raise RuntimeError("two tasks read one request")
        self._readable = waiter = self._server.loop.create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        finally:
            self._readable = None

    async def wait_writable(self) -> None:
        """Until the client has taken enough of what was written.

        Raises ConnectionResetError when it left, TimeoutError when it took nothing at all for `write_s`.
        """
        while self.is_write_paused and not self.is_lost:
            before = self._transport.get_write_buffer_size()
            if self._writable is None or self._writable.done():
                self._writable = self._server.loop.create_future()
            try:
                async with asyncio.timeout(self.limits.write_s):
                    await asyncio.shield(self._writable)
            except TimeoutError:
                if self._transport.get_write_buffer_size() >= before:
                    raise
        if self.is_lost:
            raise ConnectionResetError("the client has gone")

    def write(self, data: bytes) -> None:
        """Send, or join to what is about to be sent when another request waits behind this one."""
        if self.is_lost:
            return
        out = self._out
        if out is not None:
            out.append(data)
            self._unsent_bytes += len(data)
            if self._unsent_bytes > WRITE_AHEAD_BYTES:
                self._flush()
        elif self.inbox.waiting_bytes and self._phase is Phase.BUSY:
            self._out = [data]
            self._unsent_bytes = len(data)
            if not self._flushing:
                self._flushing = True
                self._server.loop.call_soon(self._flush_soon)
        else:
            self._transport.write(data)

    def _flush_soon(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        out, self._out = self._out, None
        if out and not self.is_lost:
            self._transport.write(b"".join(out))

    # The timer.

    def _aim(self, phase: Phase, after_s: float) -> None:
        loop = self._server.loop
        self._phase = phase
        self._due = due = loop.time() + after_s
        timer = self._timer
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        if not self.is_lost:
            self._timer = loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        phase = self._phase
        if phase is Phase.BUSY:
            return
        loop = self._server.loop
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._on_timer)
        elif phase is Phase.IDLE:
            self.close()
        elif phase is Phase.HEAD:
            self._refuse(ProtocolFault(408, "the request did not come in time"))
        else:
            self._transport.abort()


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _eager_task(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
) -> "asyncio.Task[None]":
    options: dict[str, Any] = {"eager_start": True}  # unknown to the types of 3.11
    return asyncio.Task(coroutine, loop=loop, **options)
