"""One unary gRPC call on a stream (gRPC over HTTP/2), without protobuf: the messages are bytes.

h2 implements the protocol; this module sends and receives its bytes, and limits the received data. h2 is optional: it
is imported when the first call is made. Specification: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.base.libraries import import_problem
from monitord.net.stream.client import Stream

ALPN = "h2"
HTTP_OK = 200
STATUS_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""The names of the status codes from 0 on (grpc/doc/statuscodes.md)."""
_SETTINGS = (b"\4\0\0\0\0\0", b"\4\1\0\0\0\0")
"""Type, flags and stream of the frame with which a server begins, from the fourth byte on."""
_SETTINGS_END = 9
_PREFIX = struct.Struct(">?I")
"""Compressed or not, and the length of a message."""


def library_problem() -> str | None:
    """Return why h2 cannot be used; None if it can."""
    return import_problem("h2.connection")


@dataclass(frozen=True, slots=True)
class GrpcCall:
    """`authority`: host and port. `path`: "/package.Service/Method". `metadata`: names in lower case."""

    authority: str
    path: str
    message: bytes
    timeout_s: float
    user_agent: str
    metadata: Sequence[tuple[str, str]] = ()


class GrpcExchange:
    """The response to a call: `http_status`, then `status` and `status_message` (from the trailers), and `message`."""

    def __init__(self, stream: Stream) -> None:
        import h2.config  # noqa: PLC0415 - an optional library
        import h2.connection  # noqa: PLC0415 - an optional library
        import h2.events  # noqa: PLC0415 - an optional library
        import h2.exceptions  # noqa: PLC0415 - an optional library

        self._stream = stream
        self._events: Any = h2.events
        self._errors: type[Exception] = h2.exceptions.ProtocolError
        # Without an encoding header values are bytes: a peer may send anything.
        self._connection: Any = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._stream_id = 0
        self._is_complete = False
        self._body = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self.http_status: int | None = None

    @property
    def status(self) -> str | None:
        """The name of the gRPC status; None if the response has none."""
        code = self._headers.get(b"grpc-status", b"")
        if not code.isdigit() or len(code) > 2:  # noqa: PLR2004 - digits
            return None
        number = int(code)
        return STATUS_NAMES[number] if number < len(STATUS_NAMES) else f"CODE_{number}"

    @property
    def status_message(self) -> str:
        """The human-readable message in the trailers, which is percent-encoded."""
        return unquote_to_bytes(self._headers.get(b"grpc-message", b"")).decode(errors="replace")

    @property
    def message(self) -> bytes | None:
        """The response message; None if there is none. Raises ExchangeError if it is incomplete or compressed."""
        if not self._body:
            return None
        if len(self._body) < _PREFIX.size:
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, "the response message is incomplete")
        is_compressed, size = _PREFIX.unpack_from(self._body)
        if is_compressed:  # allowed only if the client offers an encoding
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, "the response message is compressed")
        if len(self._body) != _PREFIX.size + size:
            raise ExchangeError(
                FailureKind.PROTOCOL_ERROR, "the response message does not have the length that it states"
            )
        return bytes(self._body[_PREFIX.size :])

    async def run(self, call: GrpcCall) -> None:
        """Send the call and receive the response. Raises ExchangeError or OSError."""
        stream = self._stream
        if stream.tls is not None and stream.alpn != ALPN:
            raise ExchangeError(
                FailureKind.PROTOCOL_ERROR, "the server does not offer HTTP/2 in the TLS handshake (ALPN)"
            )
        try:
            self._begin(call)
            await stream.send(self._connection.data_to_send())
            while not self._is_complete:
                if not await stream.receive():
                    raise ExchangeError(
                        FailureKind.RESET, "the peer closed the connection before the end of the response"
                    )
                # h2 would wait for the end of a frame as long as "HTTP/1.1" seems to announce (RFC 9113, section 3.4).
                if (
                    len(stream.received) >= _SETTINGS_END
                    and stream.received[3:_SETTINGS_END] not in _SETTINGS
                ):
                    raise ExchangeError(FailureKind.PROTOCOL_ERROR, "the response is not HTTP/2")
                data = stream.pending
                stream.take_all()
                for event in self._connection.receive_data(data):
                    self._handle(event)
                await stream.send(self._connection.data_to_send())
        except self._errors as error:
            text = str(error) or type(error).__name__
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, f"the response is not HTTP/2: {text}") from None
        with suppress(OSError):  # the call is complete
            self._connection.close_connection()
            await stream.send(self._connection.data_to_send())

    def _begin(self, call: GrpcCall) -> None:
        connection = self._connection
        connection.initiate_connection()
        self._stream_id = connection.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http" if self._stream.tls is None else "https"),
            (":path", call.path),
            (":authority", call.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", call.user_agent),
            ("grpc-timeout", f"{max(1, int(call.timeout_s * 1000))}m"),
            *call.metadata,
        ]
        connection.send_headers(self._stream_id, [(name.encode(), value.encode()) for name, value in headers])
        body = _PREFIX.pack(False, len(call.message)) + call.message
        connection.send_data(self._stream_id, body, end_stream=True)

    def _handle(self, event: Any) -> None:
        events = self._events
        match event:
            case events.ConnectionTerminated():
                if (event.last_stream_id or 0) < self._stream_id or event.error_code:
                    text = _error_name(event.error_code)
                    raise ExchangeError(FailureKind.RESET, f"the peer closed the HTTP/2 connection ({text})")
            case _ if getattr(event, "stream_id", None) != self._stream_id:
                pass  # settings, pings and window updates of the connection: h2 answers them
            case events.ResponseReceived():
                self._take(event.headers)
                status = self._headers.get(b":status", b"")
                self.http_status = int(status) if status.isdigit() and len(status) == 3 else None  # noqa: PLR2004
            case events.TrailersReceived():
                self._take(event.headers)
            case events.DataReceived():
                self._body += event.data
                self._connection.acknowledge_received_data(event.flow_controlled_length, self._stream_id)
            case events.StreamEnded():
                self._is_complete = True
            case events.StreamReset():
                if self.status is None:
                    text = _error_name(event.error_code)
                    raise ExchangeError(FailureKind.RESET, f"the peer reset the HTTP/2 stream ({text})")
                self._is_complete = True

    def _take(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        for name, value in headers:
            self._headers[bytes(name)] = bytes(value)


def _error_name(code: Any) -> str:
    return getattr(code, "name", None) or f"error {code}"
