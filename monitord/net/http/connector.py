"""Extensions of aiohttp: connectors that measure phases, and a protocol that receives responses.

aiohttp connects, does TLS and sends requests. `_Handler` receives the response with monitord's own parser
(`response.py`), so that every version of aiohttp gives the same result. Tunnels through proxies are in
`tunnel.py`. The overridden methods (`connect`, `_create_connection`, `read`, `set_response_params`, `data_received`,
`eof_received`, `connection_lost`, `set_exception`, `should_close`, `update_expect_continue`) and the replaced
attributes (`resolver`, `_factory`, `request_class`) are the same since aiohttp 3.8.
"""

import asyncio
import re
import select
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpVersion10, HttpVersion11, RawResponseMessage
from multidict import CIMultiDict, CIMultiDictProxy

from monitord.net.base.addressing import connect_socket
from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.base.phases import Phase
from monitord.net.http.outcome import Abandoned, ExchangeProgress, described
from monitord.net.http.response import BEGINNING_BYTES, ResponseHead, ResponseParser
from monitord.net.http.tunnel import open_tunnel

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
# Only the caller's headers are sent: aiohttp adds no Accept-Encoding and no guessed Content-Type.
_SKIPPED_AUTO_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

_FIRST_ESCAPE = 0xDC80  # the surrogate escape of the byte 0x80
_FIRST_MARK = 0x10FF80
_ESCAPE = re.compile("[\udc80-\udcff]")
_MARK = re.compile(rb"\xf4\x8f[\xbe\xbf][\x80-\xbf]")
"""U+10FF80 to U+10FFFF, at the end of a private use plane, in UTF-8."""

_PLACEHOLDER_NAME = "name.invalid"
"""asyncio requires a server name for TLS; `Handshake` replaces it."""

MAX_EARLY_BYTES = 64 * 1024
"""Maximum bytes received before the request is sent; reading then pauses."""

current_progress: ContextVar[ExchangeProgress] = ContextVar("current_progress")


async def _connect_timed(connect: Callable[[], Awaitable[Connection]]) -> Connection:
    progress = current_progress.get()
    progress.timer.enter(Phase.CONNECT)
    try:
        connection = await connect()
        while _is_stale(connection, progress):
            connection.close()
            connection = await connect()
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Abandoned(error) from error
    progress.timer.enter(Phase.PROCESSING)
    progress.is_reused = _is_used(connection)
    if progress.has_raw_bytes and connection.protocol is not None:
        transport: Any = connection.protocol.transport
        raw: Any = _RawBytes(
            getattr(transport, "inner", transport)
        )  # a persistent connection may be wrapped already
        connection.protocol.transport = raw
    progress.transport = connection.transport
    if connection.transport is not None:
        progress.tls = connection.transport.get_extra_info("ssl_object")
    return connection


def marked(text: str) -> str:
    """Replace surrogate escapes by private use characters, which `_RawBytes` turns into the original bytes."""
    return _ESCAPE.sub(lambda match: chr(ord(match[0]) - _FIRST_ESCAPE + _FIRST_MARK), text)


class _RawBytes:
    """Transport for a request head with bytes that are not UTF-8. aiohttp drops or rejects surrogate escapes."""

    def __init__(self, transport: Any) -> None:
        self.inner = transport
        self._is_head = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, data: bytes) -> None:
        if self._is_head:
            head, end, body = bytes(data).partition(b"\r\n\r\n")
            data = _MARK.sub(lambda match: bytes([match[0][2] % 2 << 6 | match[0][3]]), head) + end + body
            self._is_head = not end
        self.inner.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))


def _is_used(connection: Connection) -> bool:
    return isinstance(connection.protocol, _Handler) and connection.protocol.is_used


def _is_stale(connection: Connection, progress: ExchangeProgress) -> bool:
    """Whether a persistent connection must not be used, because unrequested data or its end has been received."""
    if not _is_used(connection):
        return False
    socket_ = None if connection.transport is None else connection.transport.get_extra_info("socket")
    if progress.wants_fresh or socket_ is None:
        return True
    poll = select.poll()
    poll.register(socket_.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class Reception:
    """A response that is being received. aiohttp uses it as the stream reader of the body."""

    __slots__ = ("_enough_bytes", "_failure", "_is_stream", "_on_eof", "_waiter", "parser")

    def __init__(self, parser: ResponseParser) -> None:
        self.parser = parser
        self._failure: BaseException | None = None
        self._enough_bytes: int | None = None
        self._is_stream = False
        self._waiter: asyncio.Future[None] | None = None
        self._on_eof: list[Callable[[], None]] = []

    async def wait_for_head(self) -> ResponseHead:
        """Return the head. Raises `ExchangeError` or `Abandoned` if it is not received."""
        while (head := self.parser.head) is None:
            if self._failure is not None:
                raise _copy_of(self._failure)
            await self._wait()
        return head

    async def wait_for_end(self, *, enough_bytes: int | None = None) -> None:
        """Wait for the end of the body, or for `enough_bytes` of it. Raises `ExchangeError` or `Abandoned`."""
        self._enough_bytes = enough_bytes
        while not (self.parser.is_complete or self.has_enough):
            if self._failure is not None:
                raise _copy_of(self._failure)
            await self._wait()

    async def pass_on(self, consume: Callable[[bytes], None]) -> None:
        """Pass the body to `consume`, in pieces as they arrive. Raises `ExchangeError` or `Abandoned` on failure."""
        self._is_stream = True
        while True:
            if piece := self.parser.take_body():
                consume(piece)
            elif self.parser.is_complete:
                return
            elif self._failure is not None:
                raise _copy_of(self._failure)
            else:
                await self._wait()

    @property
    def has_enough(self) -> bool:
        if self._is_stream:
            return bool(self.parser.body)
        return self._enough_bytes is not None and self.parser.body_bytes >= self._enough_bytes

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def finish(self) -> None:
        """Mark the response as complete, so that aiohttp returns the connection to the pool."""
        self.wake()
        callbacks, self._on_eof = self._on_eof, []
        for callback in callbacks:
            callback()

    def fail(self, failure: BaseException) -> None:
        """Record the first failure. Ignored after the end of the response."""
        if self.is_over:
            return
        # The frames of its traceback refer to this object: a reference cycle.
        self._failure = failure.with_traceback(None)
        self._on_eof.clear()
        self.wake()

    @property
    def is_over(self) -> bool:
        return self._failure is not None or self.parser.is_complete

    # The interface that aiohttp's ClientResponse requires of a stream reader

    def is_eof(self) -> bool:
        return self.parser.is_complete

    def on_eof(self, callback: Callable[[], None]) -> None:
        if self.parser.is_complete:
            callback()
        elif self._failure is None:
            self._on_eof.append(callback)

    def exception(self) -> BaseException | None:
        return self._failure

    def set_exception(self, exc: BaseException, _cause: BaseException | None = None) -> None:
        self.fail(exc)


def _copy_of(failure: BaseException) -> BaseException:
    """Return a copy to raise, so that the stored failure gets no traceback."""
    if isinstance(failure, ExchangeError):
        return ExchangeError(failure.kind, failure.detail)
    return Abandoned(failure.error) if isinstance(failure, Abandoned) else failure


class _Handler(ResponseHandler):
    """Receives responses with `ResponseParser`, with an iteration of the event loop after each piece of work."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._reception: Reception | None = None
        self._is_awaited = False
        self._early = b""
        self._has_ended_early = False
        self._is_proceeding = False
        self._end_of_connection: BaseException | None = None
        self._has_ended = False

    @property
    def is_used(self) -> bool:
        """Whether this connection was used for an earlier exchange."""
        return self._reception is not None

    @property
    def should_close(self) -> bool:
        parser = None if self._reception is None else self._reception.parser
        return self._should_close or (
            parser is not None and not (parser.is_complete and parser.keeps_connection)
        )

    def set_response_params(self, **_params: Any) -> None:
        progress = current_progress.get()
        request = progress.request
        max_body_bytes = sys.maxsize if progress.is_stream else request.max_body_bytes
        progress.parser = ResponseParser(
            method=progress.method,
            max_head_bytes=request.max_head_bytes,
            max_body_bytes=max_body_bytes,
            kept_bytes=max_body_bytes if request.read_body or progress.is_stream else BEGINNING_BYTES,
            accepts_upgrade=request.requests_upgrade,
        )
        self._reception = Reception(progress.parser)
        self._is_awaited = False

    async def read(self) -> Any:
        """Return the head and the reader of the body, as `ClientResponse.start` expects."""
        reception = self._reception
        if reception is None:
            raise aiohttp.ServerDisconnectedError
        self._is_awaited = True
        self._take_early(reception)
        head = await reception.wait_for_head()
        headers, raw_headers = head.headers, head.raw_headers
        if "Set-Cookie" in headers:
            # aiohttp would parse the cookies and, up to 3.11, log a warning for each invalid cookie.
            headers = CIMultiDictProxy(
                CIMultiDict(pair for pair in headers.items() if pair[0].lower() != "set-cookie")
            )
        version = HttpVersion11 if head.version == (1, 1) else HttpVersion10
        # should_close, compression, upgrade and chunked: used only by aiohttp's own protocol class
        rest = (False, None, False, False)
        return RawResponseMessage(version, head.status, head.reason, headers, raw_headers, *rest), reception

    def data_received(self, data: bytes) -> None:
        reception = self._reception
        if reception is None or not (self._is_awaited or reception.is_over):
            # The request is not sent yet. A failure raised now would close the connection and be lost.
            self._early += data
            if len(self._early) > MAX_EARLY_BYTES and self.transport is not None:
                self.transport.pause_reading()
            return
        if reception.is_over:
            # Data without a request, such as a status 408 of an idle connection (RFC 9112, section 9.2).
            self._should_close = True
            if self.transport is not None:
                self.transport.close()
            return
        self._parse(reception, data)

    def eof_received(self) -> bool:  # type: ignore[override]  # as in asyncio.Protocol
        """Return whether the connection stays open: only if the request is not sent yet and TLS is not used."""
        is_early = self._reception is None or not (self._is_awaited or self._reception.is_over)
        if is_early and self.transport is not None and self.transport.get_extra_info("ssl_object") is None:
            self._has_ended_early = True
            return True
        self._end(None)
        return False

    def _take_early(self, reception: Reception) -> None:
        """Parse data received before the request was sent, such as a banner or an early response."""
        early, self._early = self._early, b""
        if early:
            self._parse(reception, early)
            if len(early) > MAX_EARLY_BYTES and not self._is_proceeding and self.transport is not None:
                self.transport.resume_reading()
        if self._has_ended_early:
            self._has_ended_early = False
            self._end(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._should_close = True
        self._end(exc)
        super().connection_lost(exc)

    def set_exception(self, exc: BaseException, *_cause: BaseException) -> None:
        """Handle a failure to write the request. A response whose head was received is still used."""
        self._should_close = True
        if self._reception is not None and self._reception.parser.head is None:
            self._reception.fail(Abandoned(exc) if isinstance(exc, Exception) else exc)

    def _parse(self, reception: Reception, data: bytes | None) -> None:
        parser = reception.parser
        had_head = parser.head is not None
        try:
            if data is None:
                parser.proceed()
            else:
                parser.feed(data)
        except ExchangeError as error:
            self._should_close = True
            reception.fail(error)
            if self.transport is not None:
                self.transport.abort()
            return
        if parser.is_complete:
            self._should_close = self._should_close or not parser.keeps_connection
            reception.finish()
        elif (parser.head is not None and not had_head) or reception.has_enough:
            reception.wake()
        if parser.has_work and not self._is_proceeding:
            self._is_proceeding = True
            if self.transport is not None:
                self.transport.pause_reading()
            self._loop.call_soon(self._proceed, reception)

    def _proceed(self, reception: Reception) -> None:
        self._is_proceeding = False
        if reception.is_over:
            return
        self._parse(reception, None)
        if self._is_proceeding:
            return
        if self._has_ended:
            self._end(self._end_of_connection)
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _end(self, exc: BaseException | None) -> None:
        reception = self._reception
        if reception is None or reception.is_over:
            return
        if self._is_proceeding:
            self._has_ended, self._end_of_connection = True, self._end_of_connection or exc
            return
        parser = reception.parser
        if self._early:
            self._take_early(reception)
        if exc is None:
            try:
                parser.feed_eof()
            except ExchangeError as error:
                reception.fail(
                    error if parser.received_bytes else Abandoned(aiohttp.ServerDisconnectedError())
                )
                return
            reception.finish()
        elif parser.head is not None:
            reception.fail(
                ExchangeError(FailureKind.RESET, "the peer reset the connection before the end of the body")
            )
        elif isinstance(exc, OSError):
            reception.fail(Abandoned(aiohttp.ClientOSError(*exc.args)))
        else:
            reception.fail(Abandoned(aiohttp.ServerDisconnectedError()))


def _handlers() -> partial[ResponseHandler]:
    handler_class: type[ResponseHandler] = _Handler
    return partial(handler_class, loop=asyncio.get_running_loop())


# Both connectors override a documented method: BaseConnector.connect.
class _TcpConnector(aiohttp.TCPConnector):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = _handlers()

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        return await _connect_timed(partial(super().connect, *args, **kwargs))

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: Any,
        timeout: Any,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        """Open tunnels, connections from source addresses, and connections to addresses with a zone.

        aiohttp 3.8 and uvloop do not support zones. aiohttp has a source address for a connector, not for a request.
        """
        server = req.proxy or req.url
        is_tunnel = req.proxy is not None and req.is_ssl()
        progress = current_progress.get()
        source = progress.request.source
        if not is_tunnel and not source and "%" not in (server.raw_host or ""):
            return await super()._create_connection(req, traces, timeout)
        try:
            connected = await connect_socket(server.raw_host or "", server.port or 0, source)
            if is_tunnel:
                return await self._connect_by_tunnel(connected, req, progress)
            tls: dict[str, Any] = (
                {"ssl": req.ssl, "server_hostname": _PLACEHOLDER_NAME} if req.is_ssl() else {}
            )
            _, protocol = await self._loop.create_connection(self._factory, sock=connected, **tls)
        except OSError as error:
            raise aiohttp.ClientConnectionError from error
        return protocol

    async def _connect_by_tunnel(
        self, connected: socket.socket, req: aiohttp.ClientRequest, progress: ExchangeProgress
    ) -> ResponseHandler:
        target = progress.target or progress.request.target
        headers = {"User-Agent": req.headers["User-Agent"], **(req.proxy_headers or {})}
        peer, progress.peer = progress.peer, f"{progress.peer} (no response to CONNECT)"
        parser = ResponseParser(
            method="CONNECT", max_head_bytes=progress.request.max_head_bytes, max_body_bytes=0, kept_bytes=0
        )
        try:
            transport = await open_tunnel(connected, target.authority, headers, parser)
        except ExchangeError as error:
            progress.peer = peer
            raise ExchangeError(error.kind, described(error.kind, error.detail, progress)) from None
        progress.peer = peer
        progress.deviations += tuple(parser.deviations)
        protocol = self._factory()
        context: Any = req.ssl
        secured: Any = await self._loop.start_tls(
            transport, protocol, context, server_hostname=_PLACEHOLDER_NAME
        )
        protocol.connection_made(secured)
        return protocol


class UnixConnector(aiohttp.UnixConnector):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = _handlers()

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        return await _connect_timed(partial(super().connect, *args, **kwargs))


class _NoResolver(AbstractResolver):
    """Resolver that is never used: aiohttp gets addresses only. Its default opens sockets if aiodns is installed."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        raise OSError(f"{host}:{port} is not an address (family {family})")

    async def close(self) -> None:
        return


def tcp_connector(**options: Any) -> aiohttp.TCPConnector:
    return _TcpConnector(limit=0, use_dns_cache=False, resolver=_NoResolver(), **options)


class _RequestWithoutExpect(aiohttp.ClientRequest):
    def update_expect_continue(self, expect: bool = False) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """Send the body without waiting for status 100 (Continue), which only aiohttp's own parser reports.

        RFC 9110, section 10.1.1, allows a client to proceed without it.
        """


def make_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        request_class=_RequestWithoutExpect,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_TIMEOUT,
        auto_decompress=False,  # aiohttp does not limit the decompressed size
        skip_auto_headers=_SKIPPED_AUTO_HEADERS,
    )
