"""The seams in aiohttp where an exchange is watched: when a connection begins and stands, and that it is the only one.

What is overridden (`connect`, `start`, `data_received`, `feed_data`) and put in (`response_class`, `resolver`,
`_factory`) is alike from aiohttp 3.8 on.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import LineTooLong

from monitord.net.http_outcome import Abandoned, Progress
from monitord.net.phases import Phase

MAX_FRUITLESS_BYTES = 128 * 1024
"""What may come at a time of which neither a response begins nor a body goes on: a head, or trailers."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
# The caller's headers are all there is: no compression that was not asked for, no guessed content type.
_NOT_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

current_progress: ContextVar[Progress] = ContextVar("current_progress")


async def _connect_timed(connecting: Awaitable[Connection]) -> Connection:
    progress = current_progress.get()
    progress.timer.enter(Phase.CONNECT)
    try:
        connection = await connecting
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Abandoned(error) from error
    progress.timer.enter(Phase.PROCESSING)
    progress.protocol = connection.protocol
    if isinstance(connection.protocol, _Handler):
        connection.protocol.received = progress.received
    progress.transport = connection.transport
    if connection.transport is not None:
        progress.tls = connection.transport.get_extra_info("ssl_object")
    return connection


class _Handler(ResponseHandler):
    """Keeps no head without end. aiohttp 3.11 bounds each line of it, but not how many there are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._responses = 0
        self._body: Any = None
        self._fruitless_bytes = 0
        self.received: bytearray | None = None

    def feed_data(self, data: Any, size: int = 0) -> None:
        self._responses += 1
        self._body = data[1]
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        if self.received is not None:
            self.received += data[: MAX_FRUITLESS_BYTES - len(self.received)]
        before = self._fruits()
        super().data_received(data)
        self._fruitless_bytes = self._fruitless_bytes + len(data) if self._fruits() == before else 0
        if self._fruitless_bytes > MAX_FRUITLESS_BYTES and self.transport is not None:
            self.set_exception(LineTooLong("a head", str(MAX_FRUITLESS_BYTES)))
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._body = None  # it holds us: a circle that only the collector would find

    def _fruits(self) -> tuple[int, int]:
        return self._responses, 0 if self._body is None else self._body.total_bytes


def _handlers() -> partial[ResponseHandler]:
    kind: type[ResponseHandler] = _Handler
    return partial(kind, loop=asyncio.get_running_loop())


# Both of these override what aiohttp documents: BaseConnector.connect.
class _TcpConnector(aiohttp.TCPConnector):
    def __init__(self, **keeping: Any) -> None:
        super().__init__(**keeping)
        self._factory = _handlers()

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        return await _connect_timed(super().connect(*args, **kwargs))


class UnixConnector(aiohttp.UnixConnector):
    def __init__(self, **keeping: Any) -> None:
        super().__init__(**keeping)
        self._factory = _handlers()

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        return await _connect_timed(super().connect(*args, **kwargs))


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise Abandoned(error) from error


class _NoResolver(AbstractResolver):
    """aiohttp is only ever given addresses. (Its own default would open sockets where aiodns is installed.)"""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        raise OSError(f"{host}:{port} was to be resolved before, family {family}")

    async def close(self) -> None:
        return


def tcp_connector(**keeping: Any) -> aiohttp.TCPConnector:
    return _TcpConnector(limit=0, use_dns_cache=False, resolver=_NoResolver(), **keeping)


def make_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_TIMEOUT,
        auto_decompress=False,  # it would unpack a bomb before anybody could count
        skip_auto_headers=_NOT_BY_ITSELF,
        response_class=_Response,
    )
