"""A request and its response over UDP on the loopback interface."""

import asyncio
from collections.abc import Callable

from monitord.net.clock.status import ClockError

MAX_RESPONSES = 16
"""Datagrams that do not belong to the request, after which no further one is read."""


class _DatagramQuery(asyncio.DatagramProtocol):
    def __init__(self, is_response: Callable[[bytes], bool]) -> None:
        self._is_response = is_response
        self._received = 0
        self.response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr  # the socket is connected
        self._received += 1
        if self.response.done():
            return
        if self._is_response(data):
            self.response.set_result(data)
        elif self._received >= MAX_RESPONSES:
            self.response.set_exception(ClockError("the responses do not belong to the request"))

    def error_received(self, exc: Exception) -> None:
        if not self.response.done():
            text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            self.response.set_exception(ClockError(text.lower()))


async def exchange(
    address: tuple[str, int], request: bytes, is_response: Callable[[bytes], bool], *, timeout_s: float
) -> bytes:
    """Return the first datagram that is a response to the request. Raises ClockError."""
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _DatagramQuery(is_response), remote_addr=address
        )
    except OSError as error:
        raise ClockError((error.strerror or str(error)).lower()) from error
    try:
        transport.sendto(request)
        return await asyncio.wait_for(protocol.response, max(timeout_s, 0.0))
    except TimeoutError as error:
        raise ClockError("no response") from error
    finally:
        transport.close()
        if protocol.response.done() and not protocol.response.cancelled():
            protocol.response.exception()  # marks it as retrieved
