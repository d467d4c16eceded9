"""One request and its response on a connection: the request's body on one side, the response's framing on the other.

Decides what RFC 9112 leaves to the sender: length, chunks or the end of the connection; whether the connection
lasts; when `100 Continue` is due; and what is done with a request body that nobody read.
"""

from typing import TYPE_CHECKING

from .exceptions import HTTPBadRequest, HTTPRequestTimeout
from .head import Head, ProtocolFault
from .limits import BODY_RATE_BYTES_PER_S, DRAIN_BYTES
from .response import Response, StreamResponse, encode_head

if TYPE_CHECKING:
    from .connection import Connection

MAX_PIECE_BYTES = 256 * 1024
JOINED_BODY_BYTES = 64 * 1024  # up to here a copy is cheaper than a second write

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """Lives from a request's head to the end of its response."""

    __slots__ = (
        "_awaits_continue",
        "_chunked",
        "_connection",
        "_head",
        "_left",
        "_reading",
        "_received_bytes",
        "_waited_s",
        "ends_with_server",
        "finished",
        "keep_alive",
        "sends_body",
        "started",
    )

    def __init__(self, connection: "Connection", head: Head) -> None:
        self._connection = connection
        self._head = head
        self._awaits_continue = head.expects_continue
        self._chunked = False
        self._left: int | None = None
        self._reading = False
        self._received_bytes = 0
        self._waited_s = 0.0
        self.ends_with_server = False
        self.started = False
        self.finished = False
        self.keep_alive = head.keep_alive
        self.sends_body = head.method != "HEAD"

    @property
    def connection(self) -> "Connection":
        return self._connection

    @property
    def body_done(self) -> bool:
        return self._connection.inbox.body_done

    # The request's body.

    async def read_body(self, most: int = MAX_PIECE_BYTES) -> bytes:
        """The next piece of the body, empty at its end.

        Raises HTTPBadRequest for broken chunks, HTTPRequestTimeout for a client too slow, and
        ConnectionResetError for one that left; after each of them the connection closes.
        """
        if self.finished:
            raise RuntimeError("the response is sent; the body can be read no more")
        if self._reading:
            raise RuntimeError("the body is being read already")
        connection = self._connection
        self._reading = True
        try:
            while True:
                try:
                    piece = connection.take_body(most)
                except ProtocolFault as fault:
                    self.keep_alive = False
                    raise HTTPBadRequest(text=fault.message) from fault
                if piece or connection.inbox.body_done:
                    self._received_bytes += len(piece)
                    return piece
                await self._wait_for_body()
        finally:
            self._reading = False

    async def _wait_for_body(self) -> None:
        connection = self._connection
        if self._awaits_continue and not self.started and not connection.inbox.waiting_bytes:
            connection.write(_CONTINUE)
        self._awaits_continue = False
        allowed_s = connection.limits.body_s + self._received_bytes / BODY_RATE_BYTES_PER_S - self._waited_s
        began_at = connection.now()
        try:
            await connection.wait_readable(min(allowed_s, connection.limits.body_s))
        except TimeoutError as error:
            self.keep_alive = False
            raise HTTPRequestTimeout from error
        except ConnectionResetError:
            self.keep_alive = False
            raise
        self._waited_s += connection.now() - began_at

    async def drain_body(self) -> None:
        """Drop what the handler left of the body, within bounds; else the connection will close."""
        left = DRAIN_BYTES
        while not self._connection.inbox.body_done:
            try:
                piece = await self.read_body()
            except (HTTPBadRequest, HTTPRequestTimeout, ConnectionResetError):
                return
            left -= len(piece)
            if left < 0:
                self.keep_alive = False
                return

    # The response.

    async def send_whole(self, response: Response) -> None:
        """Head and body in one write."""
        body = response.body
        connection = self._connection
        framing = self._framing(response, len(body))
        if response.status == 204 or response.status == 304 or not self.sends_body:  # noqa: PLR1714,PLR2004 - faster
            body = b""
        head = encode_head(response, framing)
        if len(body) > JOINED_BODY_BYTES:
            connection.write(head)
            connection.write(body)
        else:
            connection.write(head + body)
        self.finished = True
        if connection.is_write_paused:
            await connection.wait_writable()

    async def start(self, response: StreamResponse) -> None:
        """Send the head of a response whose body comes in pieces."""
        length = response.content_length
        if isinstance(response, Response) and response.body:
            raise RuntimeError("a Response with a body is returned, not prepared; use StreamResponse")
        if length is None and self._head.minor_version == 0:
            self.keep_alive = False
        self.ends_with_server = response.ends_with_server
        framing = self._framing(response, length)
        if response.status in {204, 304}:
            self.sends_body = False
        self._left = length
        self._connection.write(encode_head(response, framing))

    async def write(self, data: bytes) -> None:
        if self.finished:
            raise RuntimeError("the response is complete")
        if self._left is not None:
            if len(data) > self._left:
                self.keep_alive = False
                raise ValueError("more than content_length would be written")
            self._left -= len(data)
        connection = self._connection
        if connection.is_lost:
            raise ConnectionResetError("the client has gone")
        if data and self.sends_body:  # an empty chunk would end the body
            connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else bytes(data))
        if connection.is_write_paused:
            await connection.wait_writable()

    async def finish(self) -> None:
        if self.finished:
            return
        if self._left and self.sends_body:
            self.keep_alive = False
            raise ValueError(f"{self._left} bytes less than content_length were written")
        self.finished = True
        if self._chunked and self.sends_body:
            self._connection.write(b"0\r\n\r\n")

    def _framing(self, response: StreamResponse, length: int | None) -> str:
        """The lines that frame the message; decides whether the connection outlives it."""
        self.started = True
        head = self._head
        connection = self._connection
        if response._force_close or connection.is_closing or (head.length != 0 and not self._can_drain()):  # noqa: SLF001
            self.keep_alive = False
        lines = ""
        status = response.status
        if status == 204:  # noqa: PLR2004 - no framing at all, RFC 9110 section 8.6
            pass
        elif length is not None:
            if status != 304 or length:  # noqa: PLR2004 - a 304 says the length of the 200 or nothing
                lines = f"Content-Length: {length}\r\n"
        elif head.minor_version and status != 304:  # noqa: PLR2004
            lines = "Transfer-Encoding: chunked\r\n"
            self._chunked = True
        if not self.keep_alive:
            return lines + "Connection: close\r\n"
        if head.minor_version == 0:
            return lines + "Connection: keep-alive\r\n"
        return lines

    def _can_drain(self) -> bool:
        """Whether what is left of the request's body is sure to come, and little enough to be dropped."""
        inbox = self._connection.inbox
        if inbox.body_done:
            return True
        if self._awaits_continue:
            return False
        left = inbox.body_left_bytes
        return left is None or left <= DRAIN_BYTES
