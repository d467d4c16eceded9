"""One client's connection: bytes, deadlines, flow control and order; one object, one timer, no task while idle.

    idle ──first byte──> head ──complete──> busy (a task serves) ──answered──> idle
      └── keep-alive over: close      └── too late: 408        └── not to be kept: lingering ──> closed

A task lives while requests are there to be served, and serves them in order; the next head is not looked
at before the last answer is out. The one timer is never cancelled per request: when it fires before it is
due, it is set anew. Answers to pipelined requests are joined into one write.
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
    TURN_REQUESTS,
    WRITE_AHEAD_BYTES,
    WRITE_RATE_BYTES_PER_S,
    Limits,
)
from .outbox import Outbox, Turn
from .peer import has_hung_up
from .request import Request
from .response import ClientGone, Response, StreamResponse
from .tasks import Starter, wake


class Phase(Enum):
    """What the timer is for."""

    IDLE = 0
    HEAD = 1
    BUSY = 2  # a task serves; it sets deadlines of its own when it waits for the client
    LINGERING = 3  # all is written; waits for the client to take it and to close


class Listener(Protocol):
    """The server, as far as one of its connections is concerned."""

    app: Application
    limits: Limits
    loop: asyncio.AbstractEventLoop
    starter: Starter
    turn: Turn

    def admit(self, connection: "Connection") -> str | None: ...
    def forget(self, connection: "Connection") -> None: ...


_IDLE, _HEAD, _BUSY, _LINGERING = Phase  # to look a member up in its class takes longer
_NEVER = float("inf")


class Connection(asyncio.Protocol):
    """The protocol object of one connection. The server makes it and counts it."""

    __slots__ = (
        "_due", "_eof", "_is_new", "_least_bytes", "_linger_bytes", "_outbox", "_phase", "_readable", "_reading_paused",
        "_request", "_task", "_timer", "_timer_at", "_unsent_bytes", "_writable",
        "client", "inbox", "is_admitted", "is_closing", "is_lost", "is_write_paused", "limits", "server", "transport",
    )  # fmt: skip

    transport: asyncio.Transport
    _outbox: Outbox

    def __init__(self, server: Listener) -> None:
        self.server = server
        self.limits = server.limits
        self.inbox = Inbox(server.limits)
        self.client: str | None = None  # of TCP, as `client_network` has it
        self.is_admitted = False
        self.is_closing = False
        self.is_lost = False
        self.is_write_paused = False
        self._request: Request | None = None
        self._is_new = True  # until its first request is answered
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due, self._timer_at = 0.0, _NEVER
        self._phase = _IDLE
        self._eof = False
        self._reading_paused = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._unsent_bytes = self._least_bytes = 0
        self._linger_bytes = LINGER_BYTES

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._outbox = Outbox(self.transport, self.server.turn)
        self.transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        refusal = self.server.admit(self)
        if refusal is None:
            self._aim(_IDLE, self.limits.keep_alive_s)
        elif not self.is_closing:
            self._refuse(ProtocolError(503, refusal))

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        head = usual_head(data, self.limits) if phase is _IDLE else None
        if head is None:
            head = self._next_of(data, phase)
        if head is not None:
            self._phase = _BUSY
            self._task = self.server.starter.start(self._serve(head))

    def _next_of(self, data: bytes, phase: Phase) -> Head | None:
        """The next head, if it is complete with these bytes and its turn has come."""
        inbox = self.inbox
        if phase is _LINGERING:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self.transport.abort()
            return None
        inbox.feed(data)
        if phase is _BUSY:
            wake(self._readable)
            if not self._reading_paused and inbox.waiting_bytes > READ_AHEAD_BYTES:
                self._reading_paused = True
                self.transport.pause_reading()
            return None
        try:
            head = inbox.next_head()
        except ProtocolError as failure:
            self._refuse(failure)
            return None
        if head is None and phase is _IDLE and inbox.data:
            self._aim(_HEAD, self.limits.head_s)
        return head

    def eof_received(self) -> bool:
        """The client sends no more. It may still be waiting for answers, unless it has closed altogether.

        A Unix socket tells the two apart at once; TCP does when something is sent.
        """
        self._eof = True
        wake(self._readable)
        self._outbox.flush()
        if self._phase is _BUSY and has_hung_up(self.transport.get_extra_info("socket").fileno()):
            self.abort()
        return self._phase is _BUSY  # False: the transport closes itself

    def pause_writing(self) -> None:
        self.is_write_paused = True

    def resume_writing(self) -> None:
        self.is_write_paused = False
        wake(self._writable)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it was lost changes nothing
        self.is_lost = self.is_closing = True
        self.inbox.drop()
        self._outbox.forget()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, _NEVER
        wake(self._readable)
        wake(self._writable)
        if self._task is not None:
            # Cancelled before its first step it runs nothing, not even its `finally`: so the end is seen from here.
            self._task.add_done_callback(lambda _: self.server.forget(self))
            self._task.cancel()
        else:
            self.server.forget(self)

    # Serving.

    async def _serve(self, head: Head | None) -> None:
        """Answer requests in order until none waits."""
        inbox, app = self.inbox, self.server.app
        served = 0
        try:
            while head is not None:
                request = self._request = Request(head, self, app)
                try:
                    response = await app.handler_for(request)(request)
                    is_plain = not head.frames_response and request.begun is None and not self.is_closing
                    whole = response.encode_whole() if is_plain and isinstance(response, Response) else None
                except BaseException as error:  # noqa: BLE001 - the boundary: any bug is a 500 and a traceback in the log
                    response, whole = app.recover(request, error), None
                if whole is None:
                    await self._send(request, response)
                else:
                    request.answered_with = response
                    self._outbox.add(whole)
                if self.is_write_paused or inbox.frame is not None:
                    await request.exchange.settle()
                if self.is_closing or not (request.begun is None or request.begun.keep_alive):
                    self._finish_closing()
                    return
                if not inbox.data:
                    break
                served += 1
                head = await self._next_head(served)
        except ProtocolError as failure:
            self._refuse(failure)
        except BaseException:
            self._break_off()
            raise
        else:
            self._rest()
        finally:
            self._request = self._task = None

    async def _send(self, request: Request, response: StreamResponse) -> None:
        """An answer whose framing depends on more than itself."""
        exchange = request.exchange
        try:
            if not isinstance(response, StreamResponse):
                raise TypeError(f"the handler returned {type(response).__name__}, not a response")  # noqa: TRY301
            await exchange.send(response, request)
        except Exception as error:  # noqa: BLE001 - an iterator or a file of the application's: its boundary logs it
            failure = None if isinstance(error, ClientGone) else self.server.app.failure(request, error)
            if failure is not None and exchange.response is None:
                exchange.send_whole(failure)
            else:
                exchange.abort()  # half a body must not pass for a whole one

    async def _next_head(self, served: int) -> Head | None:
        if served % TURN_REQUESTS == 0:
            await asyncio.sleep(0)
        head = self.inbox.next_head()
        if self._reading_paused and self.inbox.waiting_bytes <= READ_AHEAD_BYTES:
            self._resume_reading()
        return head

    def _rest(self) -> None:
        """Nothing complete waits: go idle, or on with the head whose beginning is there."""
        self._is_new = False
        due = self.server.loop.time() + self.limits.keep_alive_s
        if self._timer_at <= due and not (self.inbox.data or self._eof or self._reading_paused):
            self._phase, self._due = _IDLE, due
            return
        self._resume_reading()
        if self.inbox.data:
            self._aim(_HEAD, self.limits.head_s)
        else:
            self._aim(_IDLE, self.limits.keep_alive_s)
        if self._eof:
            self.close()

    def _refuse(self, failure: ProtocolError) -> None:
        """Answer what is not HTTP, or too much of it, and close."""
        response = Response(text=f"{failure.status}: {failure.message}\n", status=failure.status)
        self.write(response.encode_head(len(response.body), "Connection: close\r\n") + response.body)
        self._linger()

    def _break_off(self) -> None:
        """The task was cancelled: the client left, the server's patience ended, or the stream ends with the server."""
        request = self._request
        if self.ends_with_server and self.is_closing and request is not None and not self.is_lost:
            request.exchange.finish()
            self.close()
        else:
            self.transport.abort()

    def _finish_closing(self) -> None:
        """The last answer is out. What the client may still send must not reset the connection before it has read it.

        When the server stops, a client that has sent nothing more is not waited for.
        """
        is_silent = self.inbox.frame is None and not self.inbox.data
        if self._eof or self.is_lost or (self.is_closing and is_silent):
            self.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._outbox.flush()
        self.is_closing = True
        self.inbox.drop()
        if self.is_lost:
            return
        self._resume_reading()
        self._aim(_LINGERING, self.limits.linger_s)
        # The socket may be down already, when the client reset the connection a moment ago.
        with contextlib.suppress(OSError):
            self.transport.write_eof()

    # For the server.

    @property
    def ends_with_server(self) -> bool:
        """Whether what is being sent has no end of its own, such as a stream of events."""
        begun = self._request.begun if self._request is not None else None
        return begun is not None and begun.response is not None and begun.response.ends_with_server

    def stop(self) -> None:
        """The server stops: an idle connection closes now, a busy one after its present answer.

        Who has connected a moment ago is about to ask, and would take a close for a failure.
        """
        self.is_closing = True
        left_s = self._due - self.limits.keep_alive_s + FIRST_REQUEST_S - self.now()
        if self._is_new and self._phase is _IDLE and left_s > 0:
            self._aim(_IDLE, left_s)
        elif self._phase in {_IDLE, _HEAD}:
            self.close()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Send what is written, then close; what the client does not take in time is dropped."""
        self._outbox.flush()
        self.is_closing = True
        if not self.is_lost:
            self._aim(_LINGERING, self.limits.write_s)
            self.transport.close()

    def abort(self) -> None:
        """Close at once; a task that serves is cancelled by that."""
        self.is_closing = True
        self.transport.abort()

    # Reading and writing, for the exchange.

    def now(self) -> float:
        return self.server.loop.time()

    def take_body(self, most: int) -> bytes:
        piece = self.inbox.take_body(most)
        if self._reading_paused and self.inbox.waiting_bytes <= READ_AHEAD_BYTES // 2:
            self._resume_reading()
        return piece

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.is_lost:
            self._reading_paused = False
            self.transport.resume_reading()

    async def wait_readable(self, timeout_s: float) -> None:
        """Until more bytes have come. Raises TimeoutError, and ClientGone when no more will come."""
        if self.is_lost or self._eof:
            raise ClientGone("the client left in the middle of its request")
        self._readable = waiter = self.server.loop.create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        finally:
            self._readable = None

    async def wait_writable(self) -> None:
        """Until the client has taken enough of what was written; any number of tasks may wait.

        Raises ClientGone when it left, or took so little within `write_s` that it was cut off.
        """
        self._outbox.flush()
        # Without a rate a client that takes a byte now and then would keep its connection for ever.
        least_bytes = _least_bytes(self.limits.write_s)
        before = None
        while self.is_write_paused:
            left = self.transport.get_write_buffer_size()
            if before is not None and before - left < least_bytes:
                self.abort()
                raise ClientGone("the client takes no more")
            before = left
            if self._writable is None or self._writable.done():
                self._writable = self.server.loop.create_future()
            await asyncio.wait((self._writable,), timeout=self.limits.write_s)
            if self.is_lost:
                raise ClientGone("the client has gone")

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # known before connection_lost
            self._outbox.add(data)

    # The timer.

    def _aim(self, phase: Phase, after_s: float) -> None:
        self._phase = phase
        loop = self.server.loop
        self._due = due = loop.time() + after_s
        if phase is _LINGERING:
            self._unsent_bytes = self.transport.get_write_buffer_size()
            self._least_bytes = _least_bytes(after_s)
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
            self.close()
        elif phase is _HEAD:
            self._refuse(ProtocolError(408, "the request did not come in time"))
        elif self._took_enough():
            self._aim(phase, self.limits.write_s)  # the client still takes what it is owed
        else:
            self.transport.abort()

    def _took_enough(self) -> bool:
        """Whether the client has taken enough, since the timer was set, of the answer it is owed."""
        taken_bytes = self._unsent_bytes - self.transport.get_write_buffer_size()
        return 0 < min(self._unsent_bytes, self._least_bytes) <= taken_bytes


def _least_bytes(within_s: float) -> int:
    return max(1, int(within_s * WRITE_RATE_BYTES_PER_S))
