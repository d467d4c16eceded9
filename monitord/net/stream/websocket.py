"""A WebSocket (RFC 6455) on a stream: the opening handshake, messages, and the closing handshake.

wsproto implements the protocol; this module sends and receives its bytes, and limits the received data. No extension is
offered, so that no message is compressed. wsproto is optional: it is imported when the first WebSocket is opened.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.base.libraries import import_problem
from monitord.net.stream.client import Stream

MAX_MESSAGES = 10_000
"""The limit of messages and pings on a connection: an empty one has two bytes."""
CLOSE_TIMEOUT_S = 1.0
"""How long the peer may take to confirm the end of the connection."""
NORMAL_CLOSURE = 1000
SWITCHING_PROTOCOLS = 101


def library_problem() -> str | None:
    """Return why wsproto cannot be used; None if it can."""
    return import_problem("wsproto")


@dataclass(frozen=True, slots=True)
class WebSocketRequest:
    """The opening handshake. `host` is the value of the header Host, `target` is path and query."""

    host: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    subprotocols: Sequence[str] = ()


class WebSocket:
    """An open WebSocket. The messages of the peer are the lines of a dialogue.

    Its methods raise ExchangeError or OSError.
    """

    def __init__(self, stream: Stream) -> None:
        import wsproto.events  # noqa: PLC0415 - an optional library

        self._stream = stream
        self._events: Any = wsproto.events
        self._state: Any = wsproto.connection.ConnectionState
        self._protocol: Any = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._protocol_error: type[Exception] = wsproto.utilities.ProtocolError
        self._ends: deque[int] = deque()
        self._partial = bytearray()
        self._counted = 0
        self.received = bytearray()
        """All complete messages, each with a newline."""
        self.taken = 0
        """The number of bytes of `received` that were taken."""
        self.message_count = 0
        self.last_message: bytes | None = None
        self.status: int | None = None
        """The HTTP status of the handshake; 101 for an open WebSocket."""
        self.subprotocol: str | None = None
        self.close_code: int | None = None
        """The status code of the peer's close frame; 1005 if it has none (RFC 6455, section 7.1.5)."""
        self.close_reason = ""

    async def open(self, request: WebSocketRequest) -> bool:
        """Send the handshake. Returns False if the peer responds with another HTTP status than 101."""
        headers = [(name.encode(), value.encode()) for name, value in request.headers]
        await self._stream.send(
            self._protocol.send(
                self._events.Request(
                    host=request.host,
                    target=request.target,
                    subprotocols=list(request.subprotocols),
                    extra_headers=headers,
                )
            )
        )
        while self.status is None:
            if not await self.receive():
                raise ExchangeError(FailureKind.RESET, "the peer closed the connection before its response")
        return self.status == SWITCHING_PROTOCOLS

    async def close(self) -> None:
        """Send a close frame, and wait for that of the peer, which may be missing. Raises nothing."""
        # The check is complete: later errors are not failures.
        with suppress(ExchangeError, OSError, TimeoutError):
            async with Deadline(CLOSE_TIMEOUT_S):
                if self.close_code is None:
                    await self._stream.send(self._protocol.send(self._events.CloseConnection(NORMAL_CLOSURE)))
                while self.close_code is None and await self.receive():
                    pass

    # The conversation of a dialogue

    @property
    def pending(self) -> bytes:
        """Always empty: an incomplete message is not searched."""
        return b""

    def take_line(self) -> bytes | None:
        """Take the next complete message; None if there is none yet."""
        if not self._ends:
            return None
        end = self._ends.popleft()
        message = bytes(self.received[self.taken : end])
        self.taken = end + 1
        return message

    def take_all(self) -> None:
        self._ends.clear()
        self.taken = len(self.received)

    async def send(self, data: bytes) -> None:
        """Send a text message."""
        if self.close_code is not None:
            raise ExchangeError(FailureKind.RESET, self.closing_text())
        await self._stream.send(self._protocol.send(self._events.TextMessage(data.decode())))

    async def start_tls(self) -> None:
        raise NotImplementedError("TLS begins with the connection of a WebSocket")

    async def receive(self) -> bool:
        """Receive more data. Returns False if the peer has closed the connection without a close frame."""
        if self.close_code is not None:
            raise ExchangeError(FailureKind.RESET, self.closing_text())
        if not await self._stream.receive():
            return False
        data = self._stream.pending
        self._stream.take_all()
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                await self._handle(event)
        except (self._protocol_error, UnicodeDecodeError) as error:
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, f"not the WebSocket protocol: {error}") from None
        return True

    async def _handle(self, event: Any) -> None:
        events = self._events
        self._counted += 1
        if self._counted > MAX_MESSAGES:
            raise ExchangeError(FailureKind.TOO_LARGE, f"the peer sent more than {MAX_MESSAGES} messages")
        match event:
            case events.AcceptConnection():
                self.status, self.subprotocol = SWITCHING_PROTOCOLS, event.subprotocol
            case events.RejectConnection():
                self.status = event.status_code
            case events.TextMessage() | events.BytesMessage():
                is_text = isinstance(event, events.TextMessage)
                self._partial += event.data.encode() if is_text else bytes(event.data)
                if event.message_finished:
                    self.last_message = bytes(self._partial)
                    self._partial.clear()
                    self.received += self.last_message
                    self._ends.append(len(self.received))
                    self.received += b"\n"
                    self.message_count += 1
            case events.Ping():
                await self._stream.send(self._protocol.send(event.response()))
            case events.CloseConnection() if self._protocol.state in {
                self._state.OPEN,
                self._state.LOCAL_CLOSING,
            }:
                # The form in which wsproto reports an invalid frame: only a close frame changes the state.
                raise ExchangeError(FailureKind.PROTOCOL_ERROR, f"not the WebSocket protocol: {event.reason}")
            case events.CloseConnection():
                self.close_code, self.close_reason = int(event.code), event.reason or ""
                with suppress(OSError):
                    await self._stream.send(self._protocol.send(event.response()))

    def closing_text(self) -> str:
        reason = f": {self.close_reason}" if self.close_reason else ""
        return f"the peer closed the WebSocket with code {self.close_code}{reason}"
