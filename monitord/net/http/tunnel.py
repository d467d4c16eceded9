"""A tunnel through an HTTP proxy, as RFC 9110, section 9.3.6, describes CONNECT.

aiohttp's own way reads Content-Length and Transfer-Encoding of the response, which have no meaning there, accepts no
status but 200, and differs between versions.
"""

import asyncio
import re
import socket
from collections.abc import Mapping

from monitord.net.base.errors import Ended, FailureKind
from monitord.net.http.response import ResponseHead, ResponseParser

PROXY_AUTHENTICATION_REQUIRED = 407

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")


class _Reply(asyncio.Protocol):
    """Receives the response to CONNECT, to the end of its head."""

    def __init__(self, parser: ResponseParser) -> None:
        self._parser = parser
        self._complete: asyncio.Future[ResponseHead] = asyncio.get_running_loop().create_future()

    async def head(self) -> ResponseHead:
        return await self._complete

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except Ended as end:
            if self._parser.head is None:
                self._fail(end)
        # Whatever is wrong with a body, the head has said what the proxy does.
        if self._parser.head is not None and not self._complete.done():
            self._complete.set_result(self._parser.head)

    def eof_received(self) -> None:
        self._fail(Ended(FailureKind.RESET, "the proxy closed the connection without an answer to CONNECT"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or Ended(FailureKind.RESET, "the proxy closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self._complete.done():
            self._complete.set_exception(error)


async def open_tunnel(
    connected: socket.socket, authority: str, headers: Mapping[str, str], parser: ResponseParser
) -> asyncio.Transport:
    """Ask the proxy at the other end for a tunnel, ready for the handshake of TLS. Owns the socket from here on.

    Raises Ended or OSError. `parser` is one for a response to CONNECT; it tells how far that has come.
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
        detail = f"the proxy answered {head.status} to CONNECT{_about(head, headers)}"
        raise Ended(FailureKind.UNREACHABLE, detail)
    if parser.body_bytes:
        # They would be taken for the beginning of the server's handshake. curl fails here as well.
        raise Ended(
            FailureKind.PROTOCOL_ERROR,
            f"the proxy sent {parser.body_bytes} bytes after its answer to CONNECT ({head.status}), "
            "which has no body",
        )


def _about(head: ResponseHead, headers: Mapping[str, str]) -> str:
    if head.status != PROXY_AUTHENTICATION_REQUIRED:
        return ""
    values = head.headers.getall("Proxy-Authenticate", [])
    schemes = dict.fromkeys(found[0] for value in values if (found := _SCHEME.match(value)))
    asked = f": it asks for authentication ({', '.join(schemes) or 'unknown scheme'})"
    if "Proxy-Authorization" in headers:
        return f"{asked} and does not accept the user name and password of proxy"
    return f'{asked}; write proxy = "http://USER:PASSWORD@host:port"'
