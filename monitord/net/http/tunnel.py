"""Tunnels through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6).

aiohttp's implementation evaluates Content-Length and Transfer-Encoding of the response, which have no meaning there,
accepts status 200 only, and differs between versions.
"""

import asyncio
import re
import socket
from collections.abc import Mapping

from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.http.response import ResponseHead, ResponseParser
from monitord.text import counted

PROXY_AUTHENTICATION_REQUIRED = 407

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")


class _Reply(asyncio.Protocol):
    """Protocol that receives the head of the response to CONNECT."""

    def __init__(self, parser: ResponseParser) -> None:
        self._parser = parser
        self._complete: asyncio.Future[ResponseHead] = asyncio.get_running_loop().create_future()

    async def head(self) -> ResponseHead:
        return await self._complete

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except ExchangeError as error:
            if self._parser.head is None:
                self._fail(error)
        # The head decides, even if the body is invalid.
        if self._parser.head is not None and not self._complete.done():
            self._complete.set_result(self._parser.head)

    def eof_received(self) -> None:
        self._fail(
            ExchangeError(FailureKind.RESET, "the proxy closed the connection without a response to CONNECT")
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ExchangeError(FailureKind.RESET, "the proxy closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self._complete.done():
            self._complete.set_exception(error)


async def open_tunnel(
    connected: socket.socket, authority: str, headers: Mapping[str, str], parser: ResponseParser
) -> asyncio.Transport:
    """Request a tunnel from the connected proxy, and return its transport, ready for the TLS handshake.

    Takes ownership of the socket. `parser` must have the method CONNECT. Raises ExchangeError or OSError.
    """
    loop = asyncio.get_running_loop()
    transport, reply = await loop.create_connection(lambda: _Reply(parser), sock=connected)
    try:
        fields = {"Host": authority, **headers}
        lines = [f"CONNECT {authority} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        transport.write("\r\n".join([*lines, "", ""]).encode())
        _check(await reply.head(), headers, parser)
    except BaseException:
        transport.abort()
        raise
    return transport


def _check(head: ResponseHead, headers: Mapping[str, str], parser: ResponseParser) -> None:
    if head.status // 100 != 2:  # noqa: PLR2004 - any 2xx, RFC 9110, section 9.3.6
        detail = f"the proxy responded to CONNECT with status {head.status}{_about(head, headers)}"
        raise ExchangeError(FailureKind.HOST_UNREACHABLE, detail)
    if parser.body_bytes:
        # The bytes would be read as the beginning of the server's TLS handshake. curl fails here too.
        raise ExchangeError(
            FailureKind.PROTOCOL_ERROR,
            f"the proxy sent {counted(parser.body_bytes, 'byte')} after its response to CONNECT ({head.status}), "
            "which has no body",
        )


def _about(head: ResponseHead, headers: Mapping[str, str]) -> str:
    if head.status != PROXY_AUTHENTICATION_REQUIRED:
        return ""
    values = head.headers.getall("Proxy-Authenticate", [])
    schemes = dict.fromkeys(match[0] for value in values if (match := _SCHEME.match(value)))
    problem = f": it requires authentication ({', '.join(schemes) or 'unknown scheme'})"
    if "Proxy-Authorization" in headers:
        return f"{problem} and rejects the user name and password in proxy"
    return f'{problem}; write proxy = "http://USER:PASSWORD@host:port"'
