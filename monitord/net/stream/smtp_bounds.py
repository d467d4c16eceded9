"""aiosmtplib's client with bounds. The library collects a response of any length, and with each packet it parses from
the beginning of it.

Imported where mail is sent: the library need not be installed.
"""

import asyncio
from collections.abc import Callable

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

MAX_RESPONSE_BYTES = 64 * 1024
"""All responses of a connection."""
MAX_RESPONSE_PIECES = 1000
"""In so many packets at most: each of them costs up to 10 ms."""


class BoundedClient(aiosmtplib.SMTP):
    """Closes the connection of a server that exceeds the bounds; then `excess` says so."""

    excess: str | None = None
    _protocol: SMTPProtocol | None = None

    @property
    def protocol(self) -> SMTPProtocol | None:
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: SMTPProtocol | None) -> None:
        """The library sets it as soon as the connection is open, before it waits for the greeting."""
        self._protocol = protocol
        if protocol is not None and protocol.transport is not None:
            receive = self._bounded(protocol, protocol.data_received)
            setattr(protocol, "data_received", receive)  # noqa: B010 - mypy knows it as a method
            # uvloop looks the method up when the protocol is set.
            protocol.transport.set_protocol(protocol)

    def _bounded(self, protocol: SMTPProtocol, receive: Callable[[bytes], None]) -> Callable[[bytes], None]:
        bytes_left, pieces_left = MAX_RESPONSE_BYTES, MAX_RESPONSE_PIECES

        def data_received(data: bytes) -> None:
            nonlocal bytes_left, pieces_left
            bytes_left -= len(data)
            pieces_left -= 1
            if min(bytes_left, pieces_left) >= 0:
                receive(data)
            elif self.excess is None:
                size = (
                    f"{MAX_RESPONSE_BYTES // 1024} KiB" if bytes_left < 0 else f"{MAX_RESPONSE_PIECES} pieces"
                )
                self.excess = f"the server sent more than {size} of responses"
                if isinstance(protocol.transport, asyncio.WriteTransport):
                    protocol.transport.abort()

        return data_received
