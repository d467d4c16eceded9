"""The seams in aiohttp where an exchange is watched: when a connection begins and stands, and that it is the only one.

What is overridden (`connect`, `start`) and passed in (`response_class`, `resolver`) is alike from aiohttp 3.8 on.
"""

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection

from monitord.net.http_outcome import Abandoned, Progress
from monitord.net.phases import Phase

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
    progress.transport = connection.transport
    if connection.transport is not None:
        progress.tls = connection.transport.get_extra_info("ssl_object")
    return connection


# Both of these override what aiohttp documents: BaseConnector.connect.
class _TcpConnector(aiohttp.TCPConnector):
    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        return await _connect_timed(super().connect(*args, **kwargs))


class UnixConnector(aiohttp.UnixConnector):
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
