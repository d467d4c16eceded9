"""The client of aiosmtplib with limits. The library stores a response of any length, and parses all of it again with
each packet.

Imported only if email is sent, as the library may not be installed.
"""

import asyncio

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

MAX_RESPONSE_BYTES = 64 * 1024
"""Limit for all responses of a connection together."""
MAX_RESPONSE_PACKETS = 1000
"""Packets of all responses; each costs up to 10 ms."""


class BoundedClient(aiosmtplib.SMTP):
    """Closes the connection to a server that exceeds the limits; `excess` is the reason then."""

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
            receive = protocol.data_received
            bytes_left, packets_left = MAX_RESPONSE_BYTES, MAX_RESPONSE_PACKETS

            def data_received(data: bytes) -> None:
                nonlocal bytes_left, packets_left
                bytes_left -= len(data)
                packets_left -= 1
                if min(bytes_left, packets_left) >= 0:
                    receive(data)
                elif self.excess is None:
                    size = (
                        f"{MAX_RESPONSE_BYTES // 1024} KiB"
                        if bytes_left < 0
                        else f"{MAX_RESPONSE_PACKETS} packets"
                    )
                    self.excess = f"the responses of the server exceed {size}"
                    if isinstance(protocol.transport, asyncio.WriteTransport):
                        protocol.transport.abort()

            setattr(protocol, "data_received", data_received)  # noqa: B010 - mypy knows it as a method
            # uvloop reads the method when the protocol is set.
            protocol.transport.set_protocol(protocol)
