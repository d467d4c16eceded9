"""One request and its response on a connection: the body of the request and the framing of the response.

Makes the decisions that RFC 9112 leaves to the sender: length, chunks or the end of the connection; whether the
connection persists; when `100 Continue` is sent; and how an unread request body is discarded.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from .exceptions import HTTPBadRequest, HTTPRequestTimeout
from .framing import Inbox
from .head import Head, ProtocolError
from .limits import BODY_RATE_BYTES_PER_S, DRAIN_BYTES, Limits
from .response import BODILESS, ClientGone, RequestInfo, Response, StreamResponse

MAX_PIECE_BYTES = 256 * 1024

_log = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ExchangeConnection(Protocol):
    """The connection, as an exchange uses it."""

    inbox: Inbox
    limits: Limits
    transport: asyncio.Transport
    is_closing: bool
    is_write_paused: bool

    def cancel(self) -> None: ...
    def now(self) -> float: ...
    def take_body(self, max_bytes: int) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    async def wait_readable(self, timeout_s: float) -> None: ...
    async def wait_writable(self) -> None: ...


class Exchange:
    """Exists from the head of a request to the end of its response."""

    response: StreamResponse | None = None  # set when its head is sent
    finished = False
    # Called at the end of the response with the exception that ended it, or None.
    on_end: Callable[[BaseException | None], None] | None = None
    _chunked = False
    _left: int | None = None
    _reading = False
    _received_bytes = 0
    _unyielded_bytes = 0
    _waited_s = 0.0

    def __init__(self, connection: ExchangeConnection, head: Head) -> None:
        self.connection = connection
        self.keep_alive = head.keep_alive
        self.sends_body = head.method != "HEAD"
        self._head = head
        self._awaits_continue = head.expects_continue

    # The request's body.

    async def read_body(self) -> bytes:
        """Return the next piece of the body, empty at its end.

        Raises HTTPBadRequest for malformed chunks, HTTPRequestTimeout if the client is too slow, and ClientGone if it
        has disconnected; each of them closes the connection after the response.
        """
        if self.finished:
            raise RuntimeError("the response has been sent; the body can no longer be read")
        if self._reading:
            raise RuntimeError("another task is reading the body")
        self._reading = True
        try:
            return await self._read_body()
        finally:
            self._reading = False

    async def _read_body(self) -> bytes:
        inbox = self.connection.inbox
        try:
            while not (piece := self.connection.take_body(MAX_PIECE_BYTES)) and inbox.frame is not None:
                connection = self.connection
                if self._awaits_continue and self.response is None and not connection.inbox.unused_bytes:
                    connection.write(_CONTINUE)
                self._awaits_continue = False
                began_at = connection.now()
                earned_s = self._received_bytes / BODY_RATE_BYTES_PER_S
                longest_s = connection.limits.body_s
                await connection.wait_readable(min(longest_s, longest_s + earned_s - self._waited_s))
                self._waited_s += connection.now() - began_at
        except (ProtocolError, TimeoutError, ClientGone) as error:
            self.keep_alive = False
            if isinstance(error, ProtocolError):
                raise HTTPBadRequest(text=error.message) from error
            if isinstance(error, TimeoutError):
                raise HTTPRequestTimeout from error
            raise
        self._received_bytes += len(piece)
        return piece

    async def drain(self) -> None:
        """After the response, wait until it is received, and discard the rest of the body or close if that is long."""
        try:
            await self.connection.wait_writable()
        except ClientGone:
            self.keep_alive = False
        bytes_left = DRAIN_BYTES
        while self.keep_alive and self.connection.inbox.frame is not None:
            try:
                bytes_left -= len(await self._read_body())
            except (HTTPBadRequest, HTTPRequestTimeout, ClientGone):
                return
            if bytes_left < 0:
                self.keep_alive = False

    # The response.

    def send_complete(self, response: Response) -> None:
        """Send head and body, without waiting until the client has received them."""
        body = response.body if response.status != 205 else b""  # noqa: PLR2004 - RFC 9110 section 15.3.6
        head = self._encode_head(response, len(body))  # before any change, as it may raise
        self.response = response
        self.finished = True
        self.connection.write(head)
        if self.sends_body:
            self.connection.write(body)

    async def send(self, response: StreamResponse, request: RequestInfo) -> None:
        """Send everything of a response that the handler has not sent."""
        if self.response is not None and self.response is not response:
            if response.status < 400:  # noqa: PLR2004 - errors are logged elsewhere, or caused by the client
                _log.error("%s %s: another response has been started", self._head.method, self._head.path)
            self.abort()  # the client would read a second status line as a part of the body
            return
        try:
            await response.send(request)
        except BaseException as error:
            if self.on_end is not None:
                self.on_end(error)
            raise
        if self.on_end is not None:
            self.on_end(None)

    def abort(self) -> None:
        self.keep_alive = False
        self.connection.transport.abort()

    async def start(self, response: StreamResponse) -> None:
        """Send the head of a response whose body is sent in pieces."""
        if self.response is not None:
            raise RuntimeError("another response to this request has been started")
        self._left = response.content_length
        head = self._encode_head(response, self._left)  # before any change, as it may raise
        self.response = response
        self.connection.write(head)
        if response.ends_with_server and self.connection.is_closing:
            # The server has already cancelled the other streams.
            asyncio.get_running_loop().call_soon(self.connection.cancel)

    async def write(self, data: bytes) -> None:
        if self.finished:
            raise RuntimeError("the response is complete")
        connection = self.connection
        # A handler that writes without waiting does not let connection_lost be called.
        if connection.transport.is_closing():
            raise ClientGone("the client has disconnected")
        if not data or not self.sends_body:  # an empty chunk would end the body
            return
        if self._left is not None:
            if len(data) > self._left:
                raise ValueError("content_length would be exceeded")
            self._left -= len(data)
        connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else bytes(data))
        self._unyielded_bytes += len(data)
        if connection.is_write_paused:
            await connection.wait_writable()
        elif self._unyielded_bytes > MAX_PIECE_BYTES:
            await asyncio.sleep(0)  # let other tasks run, even if the client is as fast as the handler
        else:
            return
        self._unyielded_bytes = 0

    def finish(self) -> None:
        """End the body. Raises ValueError if it is shorter than its declared length."""
        if self.finished:
            return
        if self._left and self.sends_body:
            raise ValueError(f"content_length has not been reached; missing bytes: {self._left}")
        self.finished = True
        if self._chunked and self.sends_body:
            self.connection.write(b"0\r\n\r\n")

    def _encode_head(self, response: StreamResponse, length: int | None) -> bytes:
        """Decide how the message is framed and whether the connection persists."""
        head = self._head
        framing = ""
        if response.status in BODILESS:
            self.sends_body = False
        elif length is None and head.minor_version:
            framing = "Transfer-Encoding: chunked\r\n"
            self._chunked = True
        elif length is None and self.sends_body:
            self.keep_alive = False  # in HTTP/1.0 the end of the connection ends the body
        if response.forces_close or self.connection.is_closing or not self._can_drain():
            self.keep_alive = False
        if not self.keep_alive:
            framing += "Connection: close\r\n"
        elif not head.minor_version:
            framing += "Connection: keep-alive\r\n"
        return response.encode_head(length, framing)

    def _can_drain(self) -> bool:
        """Return whether the rest of the request body will arrive and is short enough to be discarded."""
        frame = self.connection.inbox.frame
        if frame is None:
            return True
        return not self._awaits_continue and (frame.left is None or frame.left <= DRAIN_BYTES)
