"""The connection of a client: bytes, deadlines, flow control and order, with one timer and no task while idle.

    idle ──first byte──> head ──complete──> busy (requests are handled) ──sent──> idle
      └── keep-alive expired: close   └── head expired: 408     └── not persistent: lingering ──> closed

Requests are handled in order; the next head is not parsed before the previous response is sent. The timer is not
cancelled for each request: if it fires early, it is set again. Responses to pipelined requests are sent in a single
write.
"""

import asyncio
import contextlib
from enum import Enum
from typing import Protocol, cast

from .application import Application
from .framing import Inbox
from .head import Head, ProtocolError, usual_head
from .limits import (
    FIRST_REQUEST_S,
    LINGER_BYTES,
    READ_AHEAD_BYTES,
    READ_S,
    TURN_REQUESTS,
    WRITE_AHEAD_BYTES,
    WRITE_RATE_BYTES_PER_S,
    Limits,
)
from .peer import has_hung_up, has_unread_bytes
from .request import Request
from .response import ClientGone, Response, StreamResponse
from .tasks import TaskStarter, wake
from .write_buffer import SendQueue, WriteBuffer


class ConnectionPhase(Enum):
    """The state of a connection, and the meaning of its timer."""

    IDLE = 0
    HEAD = 1
    BUSY = 2  # without a timer; reading and writing have their own deadlines
    LINGERING = 3  # all is written; waits for the client to receive it and to close


class ConnectionServer(Protocol):
    """The server, as a connection uses it."""

    app: Application
    limits: Limits
    loop: asyncio.AbstractEventLoop
    starter: TaskStarter
    send_queue: SendQueue

    def admit(self, connection: "Connection") -> str | None: ...
    def remove(self, connection: "Connection") -> None: ...


_IDLE, _HEAD, _BUSY, _LINGERING = ConnectionPhase  # faster than attributes of the enum
_NEVER = float("inf")


class Connection(asyncio.Protocol):
    """The asyncio protocol of one connection, created and counted by the server."""

    __slots__ = (
        "_due", "_eof", "_is_new", "_linger_bytes", "_min_taken_bytes", "_phase", "_readable", "_reading_paused",
        "_request", "_task", "_timer", "_timer_at", "_unsent_bytes", "_writable", "_write_buffer",
        "client", "inbox", "is_admitted", "is_closing", "is_lost", "is_write_paused", "limits", "server", "transport",
    )  # fmt: skip

    transport: asyncio.Transport
    _write_buffer: WriteBuffer

    def __init__(self, server: ConnectionServer) -> None:
        self.server = server
        self.limits = server.limits
        self.inbox = Inbox(server.limits)
        self.client: str | None = None  # the network of a TCP client, see `client_network`
        self.is_admitted = False
        self.is_closing = False
        self.is_lost = False
        self.is_write_paused = False
        self._request: Request | None = None
        self._is_new = True  # until the first response
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due, self._timer_at = 0.0, _NEVER
        self._phase = _IDLE
        self._eof = False
        self._reading_paused = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._unsent_bytes = self._min_taken_bytes = 0
        self._linger_bytes = LINGER_BYTES

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._write_buffer = WriteBuffer(self.transport, self.server.send_queue)
        self.transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        rejection = self.server.admit(self)
        if rejection is None:
            self._enter(_IDLE, self.limits.keep_alive_s)
        elif not self.is_closing:
            self._reject(ProtocolError(503, rejection))

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        head = usual_head(data, self.limits) if phase is _IDLE else None
        if head is None:
            head = self._receive(data, phase)
        if head is not None:
            self._phase = _BUSY
            self._task = self.server.starter.start(self._serve(head))

    def _receive(self, data: bytes, phase: ConnectionPhase) -> Head | None:
        """Add received bytes. Return the next head if it is complete and no request is being handled."""
        inbox = self.inbox
        if phase is _LINGERING:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self.transport.abort()
            return None
        inbox.feed(data)
        if phase is _BUSY:
            wake(self._readable)
            if not self._reading_paused and inbox.unused_bytes > READ_AHEAD_BYTES:
                self._reading_paused = True
                self.transport.pause_reading()
            return None
        try:
            head = inbox.next_head()
        except ProtocolError as error:
            self._reject(error)
            return None
        if head is None and phase is _IDLE and inbox.data:
            self._enter(_HEAD, self.limits.head_s)
        return head

    def eof_received(self) -> bool:
        """Called when the client sends no more. It may wait for responses, or have closed the connection.

        A Unix socket distinguishes the two at once, TCP only when data is sent.
        """
        self._eof = True
        wake(self._readable)
        self._write_buffer.flush()
        if self._phase is _BUSY and has_hung_up(self.transport.get_extra_info("socket").fileno()):
            self.abort()
        return self._phase is _BUSY  # False: the transport closes itself

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def resume_writing(self) -> None:
        self.is_write_paused = False
        wake(self._writable)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason has no effect
        self.is_lost = self.is_closing = True
        self.inbox.drop()
        self._write_buffer.drop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, _NEVER
        wake(self._readable)
        wake(self._writable)
        if self._task is not None:
            # A task that is cancelled before it starts does not run its `finally`.
            self._task.add_done_callback(lambda _: self.server.remove(self))
            self._task.cancel()
        else:
            self.server.remove(self)

    # Handling requests.

    async def _serve(self, head: Head | None) -> None:
        """Handle requests in order until none waits."""
        inbox, app = self.inbox, self.server.app
        handled = 0
        try:
            while head is not None:
                request = self._request = Request(head, self, app)
                try:
                    response = await app.handler_for(request)(request)
                    is_regular = (
                        not head.frames_response and request.used_exchange is None and not self.is_closing
                    )
                    data = response.encode() if is_regular and isinstance(response, Response) else None
                except BaseException as error:  # noqa: BLE001 - the boundary: a bug is a 500 and a traceback in the log
                    response, data = app.response_to(request, error), None
                if data is None:
                    await self._send(request, response)
                else:
                    request.sent_response = response
                    self._write_buffer.add(data)
                if self.is_write_paused or inbox.frame is not None:
                    await request.exchange.drain()
                if self.is_closing or not (request.used_exchange is None or request.used_exchange.keep_alive):
                    self._finish_closing()
                    return
                if not inbox.data:
                    break
                handled += 1
                head = await self._next_head(handled)
        except ProtocolError as error:
            self._reject(error)
        except BaseException:
            self._end_cancelled()
            raise
        else:
            self._wait_for_head()
        finally:
            self._request = self._task = None

    async def _send(self, request: Request, response: StreamResponse) -> None:
        """Send a response whose framing depends on the request or the connection."""
        exchange = request.exchange
        try:
            if not isinstance(response, StreamResponse):
                raise TypeError(f"the handler returned {type(response).__name__} instead of a response")  # noqa: TRY301
            await exchange.send(response, request)
        except Exception as error:  # noqa: BLE001 - the boundary for iterators and files of the application
            error_response = None
            if not isinstance(error, ClientGone):
                error_response = self.server.app.error_response(request, error)
            if error_response is not None and exchange.response is None:
                exchange.send_complete(error_response)
            else:
                exchange.abort()  # the client must not mistake a partial body for a complete one

    async def _next_head(self, handled: int) -> Head | None:
        if handled % TURN_REQUESTS == 0:
            await asyncio.sleep(0)
        head = self.inbox.next_head()
        if self._reading_paused and self.inbox.unused_bytes <= READ_AHEAD_BYTES:
            self._resume_reading()
        return head

    def _wait_for_head(self) -> None:
        """Become idle, or wait for the rest of the next head."""
        self._is_new = False
        due = self.server.loop.time() + self.limits.keep_alive_s
        if self._timer_at <= due and not (self.inbox.data or self._eof or self._reading_paused):
            self._phase, self._due = _IDLE, due
            return
        self._resume_reading()
        if self.inbox.data:
            self._enter(_HEAD, self.limits.head_s)
        else:
            self._enter(_IDLE, self.limits.keep_alive_s)
        if self._eof:
            self.close()

    def _reject(self, error: ProtocolError) -> None:
        """Respond with an error, and close."""
        response = Response(text=f"{error.status}: {error.message}\n", status=error.status)
        self.write(response.encode_head(len(response.body), "Connection: close\r\n") + response.body)
        self._linger()

    def _end_cancelled(self) -> None:
        """Close after the task was cancelled: by the client, the end of the grace period or the end of the server."""
        request = self._request
        if self.ends_with_server and self.is_closing and request is not None and not self.is_lost:
            request.exchange.finish()
            self.close()
        else:
            self.transport.abort()

    def _finish_closing(self) -> None:
        """Close after the last response. Further bytes from the client must not cause a reset that loses it.

        A stopping server does not wait for a client that has sent nothing more.
        """
        is_silent = self.inbox.frame is None and not self.inbox.data
        if self._eof or self.is_lost or (self.is_closing and is_silent):
            self.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._write_buffer.flush()
        self.is_closing = True
        self.inbox.drop()
        if self.is_lost:
            return
        self._resume_reading()
        self._enter(_LINGERING, self.limits.linger_s)
        # The client may have reset the connection.
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    # For the server.

    @property
    def ends_with_server(self) -> bool:
        """Whether the current response has no end, such as a stream of events."""
        exchange = self._request.used_exchange if self._request is not None else None
        return exchange is not None and exchange.response is not None and exchange.response.ends_with_server

    def stop(self) -> None:
        """Stop with the server: an idle connection closes now, a busy one after its current response.

        A client that has just connected is about to send a request and would report the close as an error, so it has
        FIRST_REQUEST_S.
        """
        if self.is_closing:
            return
        self.is_closing = True
        left_s = self._due - self.limits.keep_alive_s + FIRST_REQUEST_S - self.now()
        if self._phase is _IDLE and ((self._is_new and left_s > 0) or self._has_unread_bytes()):
            self._enter(_IDLE, max(left_s, READ_S))
        elif self._phase in {_IDLE, _HEAD}:
            self.close()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Close after everything is sent. Bytes that the client does not receive in time are discarded."""
        self._write_buffer.flush()
        self.is_closing = True
        if not self.is_lost:
            self._enter(_LINGERING, self.limits.write_s)
            self.transport.close()

    def abort(self) -> None:
        """Close at once, which cancels the task of a request."""
        self.is_closing = True
        self.transport.abort()

    # For the exchange.

    def now(self) -> float:
        return self.server.loop.time()

    def take_body(self, max_bytes: int) -> bytes:
        piece = self.inbox.take_body(max_bytes)
        if self._reading_paused and self.inbox.unused_bytes <= READ_AHEAD_BYTES // 2:
            self._resume_reading()
        return piece

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.is_lost:
            self._reading_paused = False
            self.transport.resume_reading()

    async def wait_readable(self, timeout_s: float) -> None:
        """Wait for more bytes. Raises TimeoutError, and ClientGone if no more will be received."""
        if self.is_lost or self._eof:
            raise ClientGone("the client disconnected within its request")
        self._readable = waiter = self.server.loop.create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        finally:
            self._readable = None

    async def wait_writable(self) -> None:
        """Wait until the client has received enough. Several tasks can wait.

        Raises ClientGone if it disconnected, or was disconnected for receiving too little within `write_s`.
        """
        self._write_buffer.flush()
        # Without a minimum, a client that receives a byte from time to time would keep its connection forever.
        least_bytes = _min_taken_bytes(self.limits.write_s)
        before = None
        while self.is_write_paused:
            unsent_bytes = self.transport.get_write_buffer_size()
            if before is not None and before - unsent_bytes < least_bytes:
                self.abort()
                raise ClientGone("the client receives too slowly")
            before = unsent_bytes
            if self._writable is None or self._writable.done():
                self._writable = self.server.loop.create_future()
            await asyncio.wait((self._writable,), timeout=self.limits.write_s)
            if self.is_lost:
                raise ClientGone("the client has disconnected")

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # true before connection_lost is called
            self._write_buffer.add(data)

    # The timer.

    def _enter(self, phase: ConnectionPhase, after_s: float) -> None:
        self._phase = phase
        loop = self.server.loop
        self._due = due = loop.time() + after_s
        if phase is _LINGERING:
            self._unsent_bytes = self.transport.get_write_buffer_size()
            self._min_taken_bytes = _min_taken_bytes(after_s)
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        if not self.is_lost:
            self._timer_at = due
            self._timer = loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        phase = self._phase
        if phase is _BUSY:
            return
        if self.server.loop.time() < self._due:
            self._timer_at = self._due
            self._timer = self.server.loop.call_at(self._due, self._on_timer)
        elif phase is _IDLE:
            # After a delay of the event loop, the timer fires before the request is read.
            if self._has_unread_bytes():
                self._enter(_IDLE, READ_S)
            else:
                self.close()
        elif phase is _HEAD:
            self._reject(ProtocolError(408, "the request did not arrive in time"))
        elif self._has_taken_enough():
            self._enter(phase, self.limits.write_s)  # the client still receives the response
        else:
            self.transport.abort()

    def _has_unread_bytes(self) -> bool:
        return not self.is_lost and has_unread_bytes(self.transport.get_extra_info("socket").fileno())

    def _has_taken_enough(self) -> bool:
        """Return whether the client has received enough of the response since the timer was set."""
        taken_bytes = self._unsent_bytes - self.transport.get_write_buffer_size()
        return 0 < min(self._unsent_bytes, self._min_taken_bytes) <= taken_bytes


def _min_taken_bytes(within_s: float) -> int:
    return max(1, int(within_s * WRITE_RATE_BYTES_PER_S))
