"""One HTTP exchange on aiohttp, with its phases timed and its failures named.

aiohttp speaks HTTP and keeps connections. The rest is decided here: names are resolved here, and aiohttp gets
an address, so that one exchange is one connection to one known address, whatever the versions do about
several. Redirects are followed here, so that credentials stay where they belong. And an exchange is tried once:
newer versions of aiohttp send an idempotent request again when the first connection broke, which would hide
the very failure that is looked for (see `_Abandoned`).

What stays open belongs to `HttpClient.close`. Used from one event loop.
"""

import asyncio
import re
import ssl
import time
import zlib
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from yarl import URL

from monitord.net.faults import FaultKind, fault_of_error, fault_of_timeout
from monitord.net.http_request import (
    MAX_REDIRECTS,
    REDIRECTS,
    Endpoint,
    HttpRequest,
    Target,
    method_after,
    redirect_target,
)
from monitord.net.phases import Phase, PhaseTimer
from monitord.net.resolver import ResolveError, Resolver, literal_address
from monitord.net.tls import Handshake, TlsContexts, TlsFacts, current_handshake, tls_facts

KEEP_ALIVE_S = 3600.0
"""How long an unused connection is kept for `reuse_connection`, if the peer lets it live."""
MAX_ADDRESSES_TESTED = 16
KEPT_URLS = 4096
_STEPS_TO_CLOSE = 4
"""Turns of the loop until asyncio has told everybody that a transport (and the TLS above it) is closed."""

_CUT_SHORT = "the peer closed the connection before the end of the body"

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
# The caller's headers are all there is: no compression that was not asked for, no guessed content type.
_NOT_BY_ITSELF = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """A response that came to its end. `body` is None unless it was wanted, and decoded if it was compressed.

    `body_bytes` counts the body as it was sent. All phases are there, in seconds, 0.0 for one that was not needed.
    `address` is "192.0.2.1" or "2001:db8::1", or the path of a Unix socket; behind a proxy it is the proxy's.
    """

    status: int
    headers: Mapping[str, str]
    http_version: str
    body: bytes | None
    body_bytes: int
    redirects: int
    address: str
    ip_version: int | None
    phases: Mapping[Phase, float]
    duration_s: float
    tls: TlsFacts | None


@dataclass(frozen=True, slots=True)
class HttpFault:
    """No usable response. `detail` is for people and holds no secret; `phases` has those that were reached."""

    kind: FaultKind
    detail: str
    phases: Mapping[Phase, float]
    duration_s: float
    redirects: int
    address: str | None
    ip_version: int | None


HttpOutcome = HttpExchange | HttpFault

T = TypeVar("T")


class _Abandoned(Exception):  # noqa: N818 - not an error of its own: the wrapping of one
    """Carries an error of aiohttp's past aiohttp, which would take it as a cause to send the request again."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Ended(Exception):  # noqa: N818 - not an error: an end found by ourselves
    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


@dataclass(slots=True)
class _Progress:
    """How far an exchange has come; what a fault is told from."""

    timer: PhaseTimer
    redirects: int = 0
    place: str = ""
    address: str | None = None
    ip_version: int | None = None
    protocol: ResponseHandler | None = None
    transport: asyncio.Transport | None = None
    tls: ssl.SSLObject | None = None


_progress: ContextVar[_Progress] = ContextVar("_progress")


async def _connect_timed(connecting: Awaitable[Connection]) -> Connection:
    progress = _progress.get()
    progress.timer.enter(Phase.CONNECT)
    try:
        connection = await connecting
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Abandoned(error) from error
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


class _UnixConnector(aiohttp.UnixConnector):
    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        return await _connect_timed(super().connect(*args, **kwargs))


class _Response(aiohttp.ClientResponse):
    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        try:
            return await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise _Abandoned(error) from error


class _NoResolver(AbstractResolver):
    """aiohttp is only ever given addresses. (Its own default would open sockets where aiodns is installed.)"""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        raise OSError(f"{host}:{port} was to be resolved before, family {family}")

    async def close(self) -> None:
        return


class HttpClient:
    """Opens nothing until the first exchange."""

    def __init__(self, *, user_agent: str, resolver: Resolver, tls_contexts: TlsContexts) -> None:
        self._user_agent = user_agent
        self._resolver = resolver
        self._tls_contexts = tls_contexts
        self._session: aiohttp.ClientSession | None = None
        self._own_sessions: dict[HttpRequest, aiohttp.ClientSession] = {}

    async def fetch(self, request: HttpRequest, *, deadline: float) -> HttpOutcome:
        """One exchange, ended by `deadline` (time.monotonic()). An expected failure is an `HttpFault`."""
        progress = _Progress(PhaseTimer())
        return await _until(deadline, progress, self._follow(request, progress, None))

    async def fetch_each(self, request: HttpRequest, *, deadline: float) -> tuple[HttpOutcome, ...]:
        """The exchange with each address of the first host, side by side; at most MAX_ADDRESSES_TESTED."""
        if not request.needs_name:
            return (await self.fetch(request, deadline=deadline),)
        progress = _Progress(PhaseTimer())
        name = request.endpoint_for(request.target).host
        addresses = await _until(deadline, progress, self._resolve(name, request, progress))
        if isinstance(addresses, HttpFault):
            return (addresses,)
        resolve_s = progress.timer.read()[Phase.RESOLVE]

        async def fetch_from(address: str) -> HttpOutcome:
            progress = _Progress(PhaseTimer(resolve_s))
            return await _until(deadline, progress, self._follow(request, progress, address))

        tasks = [asyncio.create_task(fetch_from(address)) for address in addresses[:MAX_ADDRESSES_TESTED]]
        try:
            return tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self, request: HttpRequest) -> None:
        """Gives back what was kept for this very request object. May be called for any request."""
        session = self._own_sessions.pop(request, None)
        if session is not None:
            await session.close()

    async def close(self) -> None:
        """Ends kept connections, sessions and threads. Exchanges under way are the caller's to end before."""
        sessions = [*self._own_sessions.values()]
        self._own_sessions.clear()
        if self._session is not None:
            sessions.append(self._session)
            self._session = None
        for session in sessions:
            await session.close()
        await self._resolver.close()
        if sessions:
            for _ in range(_STEPS_TO_CLOSE):
                await asyncio.sleep(0)

    async def _follow(self, request: HttpRequest, progress: _Progress, pinned: str | None) -> HttpExchange:
        """The exchange with its redirects. `pinned` is the address to use for the host that was asked for."""
        target, method, body = request.target, request.method, request.body
        jar: aiohttp.CookieJar | None = None
        while True:
            headers = request.headers_for(
                target, user_agent=self._user_agent, with_body=method == request.method
            )
            if jar is not None and (cookies := jar.filter_cookies(target.url)):
                headers["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
            try:
                response = await self._send(request, target, method, headers, body, progress, pinned)
                try:
                    location = response.headers.get("Location")
                    if not (request.follow_redirects and response.status in REDIRECTS and location):
                        return await _received(request, response, progress)
                    if progress.redirects == MAX_REDIRECTS:
                        raise _Ended(FaultKind.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects")
                    if response.cookies:
                        # unsafe: hosts that are named by their address have cookies, too.
                        jar = jar or aiohttp.CookieJar(unsafe=True)
                        jar.update_cookies(response.cookies, target.url)
                finally:
                    response.close()
            finally:
                if body is not None:
                    _drop_unsent(progress)
            progress.redirects += 1
            target = _redirected(target, location)
            if method != (then := method_after(response.status, method)):
                method, body = then, None

    async def _send(
        self,
        request: HttpRequest,
        target: Target,
        method: str,
        headers: dict[str, str],
        body: bytes | None,
        progress: _Progress,
        pinned: str | None,
    ) -> aiohttp.ClientResponse:
        """The head of the response; its body is still to come. The caller closes it."""
        options: dict[str, Any] = {}
        if target.socket_path is not None:
            url = target.url
            progress.address, progress.ip_version = target.socket_path, None
            progress.place = target.socket_path
        else:
            endpoint = request.endpoint_for(target)
            address = await self._address(endpoint, request, progress, pinned)
            url = target.url
            if request.proxy_target is not None:
                _go_by_proxy(request, target, headers, options, Endpoint(address, endpoint.port))
            else:
                url = _wire_url(url, address, endpoint.port)
        handshake = None
        if target.is_tls:
            options["ssl"] = self._tls_context(request, target)
            handshake = Handshake(request.server_name_for(target), lambda: progress.timer.enter(Phase.TLS))
        token = current_handshake.set(handshake)
        try:
            return await self._session_for(request, target).request(
                method, url, headers=headers, data=body, allow_redirects=False, **options
            )
        finally:
            current_handshake.reset(token)

    async def _address(
        self, endpoint: Endpoint, request: HttpRequest, progress: _Progress, pinned: str | None
    ) -> str:
        version = literal_address(endpoint.host)
        if version is not None:
            address = endpoint.host
        elif pinned is not None and endpoint == request.endpoint_for(request.target):
            address = pinned
        else:
            address = (await self._resolve(endpoint.host, request, progress))[0]
        progress.address = address
        progress.ip_version = version or (6 if ":" in address else 4)
        shown = f"[{address}]" if ":" in address else address
        progress.place = f"{'' if request.proxy_target is None else 'proxy '}{shown}:{endpoint.port}"
        return address

    async def _resolve(self, name: str, request: HttpRequest, progress: _Progress) -> tuple[str, ...]:
        progress.address, progress.ip_version, progress.place = None, None, name
        progress.timer.enter(Phase.RESOLVE)
        try:
            addresses = await self._resolver.resolve(name.rstrip("."), request.ip_family)
        except ResolveError as error:
            kind = FaultKind.PROBER_EXHAUSTED if error.is_ours else FaultKind.RESOLVE_FAILED
            raise _Ended(kind, f"resolve {name}: {error.problem}") from None
        progress.timer.pause()
        return addresses

    def _tls_context(self, request: HttpRequest, target: Target) -> ssl.SSLContext:
        try:
            return self._tls_contexts.get(request.tls_for(target))
        except ValueError as error:
            raise _Ended(FaultKind.TLS_FAILED, str(error)) from None

    def _session_for(self, request: HttpRequest, target: Target) -> aiohttp.ClientSession:
        """The one for all fresh connections, or the request's own: for a kept connection, and for a socket."""
        if not request.keeps_connection(target) and target.socket_path is None:
            if self._session is None:
                self._session = _make_session(_tcp_connector(force_close=True))
            return self._session
        session = self._own_sessions.get(request)
        if session is None:
            keeping: dict[str, Any] = (
                {"keepalive_timeout": KEEP_ALIVE_S} if request.reuse_connection else {"force_close": True}
            )
            if target.socket_path is not None:
                session = _make_session(_UnixConnector(path=target.socket_path, limit=0, **keeping))
            else:
                session = _make_session(_tcp_connector(**keeping))
            self._own_sessions[request] = session
        return session


def _tcp_connector(**keeping: Any) -> aiohttp.TCPConnector:
    return _TcpConnector(limit=0, use_dns_cache=False, resolver=_NoResolver(), **keeping)


def _make_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_TIMEOUT,
        auto_decompress=False,  # it would unpack a bomb before anybody could count
        skip_auto_headers=_NOT_BY_ITSELF,
        response_class=_Response,
    )


async def _until(deadline: float, progress: _Progress, act: Coroutine[Any, Any, T]) -> T | HttpFault:
    """What `act` returns, or the fault that it ended in."""
    token = _progress.set(progress)
    try:
        return await _by(deadline, act)
    except _Ended as end:
        kind, detail = end.kind, end.detail
    except TimeoutError:
        kind, detail = fault_of_timeout(progress.timer.current)
        detail = _placed(kind, detail, progress)
    except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, _Abandoned) as error:
        kind, detail = _fault_of(error.error if isinstance(error, _Abandoned) else error, progress)
    finally:
        _progress.reset(token)
    return HttpFault(
        kind=kind,
        detail=detail,
        phases=progress.timer.read(),
        duration_s=progress.timer.elapsed_s(),
        redirects=progress.redirects,
        address=progress.address,
        ip_version=progress.ip_version,
    )


@lru_cache(maxsize=KEPT_URLS)
def _wire_url(url: URL, address: str, port: int) -> URL:
    """The URL as aiohttp gets it, with an address for a name. A yarl URL remembers its parts, so it is kept."""
    return url.with_host(address).with_port(port)


async def _by(deadline: float, act: Coroutine[Any, Any, T]) -> T:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        act.close()
        raise TimeoutError
    async with asyncio.timeout(remaining_s):
        return await act


def _go_by_proxy(
    request: HttpRequest, target: Target, headers: dict[str, str], options: dict[str, Any], proxy: Endpoint
) -> None:
    options["proxy"] = URL.build(scheme="http", host=proxy.host, port=proxy.port)
    if request.proxy_authorization is None:
        return
    if target.is_tls:
        # Goes with CONNECT, and no further.
        options["proxy_headers"] = {"Proxy-Authorization": request.proxy_authorization}
    else:
        headers["Proxy-Authorization"] = request.proxy_authorization


def _drop_unsent(progress: _Progress) -> None:
    """A closed transport lives on until the peer has taken all that was written, which it may never do."""
    transport, progress.transport = progress.transport, None
    if transport is not None and transport.is_closing():
        # Until Python 3.11.3, abort() of a TLS transport that was closed twice, and so is gone already, raises this.
        with suppress(AttributeError):
            transport.abort()


def _redirected(target: Target, location: str) -> Target:
    try:
        return redirect_target(target, location)
    except ValueError as error:
        raise _Ended(FaultKind.PROTOCOL_ERROR, str(error)) from None


async def _received(
    request: HttpRequest, response: aiohttp.ClientResponse, progress: _Progress
) -> HttpExchange:
    progress.timer.enter(Phase.TRANSFER)
    pieces, size = await _read(request, response, progress)
    body = None
    if request.read_body:
        body = _decoded(
            b"".join(pieces), response.headers.get("Content-Encoding", ""), request.max_body_bytes
        )
    phases = dict.fromkeys(Phase, 0.0) | progress.timer.read()
    duration_s = progress.timer.elapsed_s()
    version = response.version
    return HttpExchange(
        status=response.status,
        headers=response.headers,
        http_version=f"{version.major}.{version.minor}" if version is not None else "",
        body=body,
        body_bytes=size,
        redirects=progress.redirects,
        address=progress.address or "",
        ip_version=progress.ip_version,
        phases=phases,
        duration_s=duration_s,
        tls=None if progress.tls is None else tls_facts(progress.tls, certificate=request.want_certificate),
    )


async def _read(
    request: HttpRequest, response: aiohttp.ClientResponse, progress: _Progress
) -> tuple[list[bytes], int]:
    """The pieces of the body, if they are wanted, and its size."""
    if response.content.is_eof() or progress.protocol is None:  # it came together with the head
        return await _read_pieces(request, response)
    # A body that breaks the rules of framing ends in aiohttp's protocol, and the reader of the body never hears of
    # it (3.8 to 3.14); so the protocol is listened to as well, by asking it for another response.
    reading = asyncio.ensure_future(_read_pieces(request, response))
    listening = asyncio.ensure_future(progress.protocol.read())
    try:
        await asyncio.wait((reading, listening), return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and isinstance(listening.exception(), HttpProcessingError):
            raise _Ended(FaultKind.PROTOCOL_ERROR, "the body is not framed as HTTP says")
        if not reading.done() and listening.exception() is not None:
            raise _Ended(FaultKind.RESET, _CUT_SHORT)
        return await reading
    finally:
        reading.cancel()
        listening.cancel()
        await asyncio.gather(reading, listening, return_exceptions=True)


async def _read_pieces(request: HttpRequest, response: aiohttp.ClientResponse) -> tuple[list[bytes], int]:
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        size += len(piece)
        if size > request.max_body_bytes:
            raise _too_large(request.max_body_bytes)
        if request.read_body:
            pieces.append(piece)
    return pieces, size


def _too_large(limit_bytes: int) -> _Ended:
    return _Ended(FaultKind.TOO_LARGE, f"the body is larger than {limit_bytes} bytes")


def _decoded(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """gzip and deflate unpacked, to the same limit; other encodings are left as they are."""
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"} or not body:
        return body
    unpack = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # 32: gzip or zlib, by the first bytes
    try:
        plain = unpack.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise _Ended(
            FaultKind.PROTOCOL_ERROR, f"the body is not {encoding.strip().lower()} as it says"
        ) from None
    if len(plain) > limit_bytes:
        raise _too_large(limit_bytes)
    if not unpack.eof:
        raise _Ended(FaultKind.PROTOCOL_ERROR, "the compressed body ends too early")
    return plain


def _fault_of(error: Exception, progress: _Progress) -> tuple[FaultKind, str]:
    phase = progress.timer.current
    if isinstance(error, aiohttp.ServerDisconnectedError):
        kind, detail = FaultKind.RESET, "the peer closed the connection without an answer"
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        kind, detail = FaultKind.UNREACHABLE, f"the proxy answered {error.status} to CONNECT"
    elif isinstance(error, aiohttp.ClientPayloadError):
        kind, detail = FaultKind.RESET, _CUT_SHORT
    elif isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)):
        kind, detail = _fault_of_head(error)
    elif (cause := _system_error(error)) is not None:
        kind, detail = fault_of_error(cause, phase)
    else:
        kind, detail = FaultKind.PROTOCOL_ERROR, "the exchange is not HTTP as we know it"
    return kind, _placed(kind, detail, progress)


def _system_error(error: BaseException) -> OSError | None:
    """What the socket or OpenSSL said, beneath aiohttp's wrapping."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause
    if not isinstance(error, OSError):
        return None
    # aiohttp makes a ClientOSError of the arguments of an SSLError, whose number is no errno.
    if alert := re.match(r"\[SSL: (\w+)\]", str(error.strerror or "")):
        original = ssl.SSLError(*error.args)
        original.reason = alert[1]
        return original
    return error


def _fault_of_head(error: BaseException) -> tuple[FaultKind, str]:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LineTooLong):
            return FaultKind.TOO_LARGE, "a header of the response is too large"
        cause = cause.__cause__
    return FaultKind.PROTOCOL_ERROR, "the answer is not HTTP"


def _placed(kind: FaultKind, detail: str, progress: _Progress) -> str:
    match progress.timer.current:
        case Phase.RESOLVE:
            return f"resolve {progress.place}: {detail}"
        case Phase.CONNECT:
            joint = " " if kind in {FaultKind.REFUSED, FaultKind.TIMEOUT_CONNECT} else ": "
            return f"connect to {progress.place}{joint}{detail}"
        case Phase.TLS:
            return f"TLS with {progress.place}: {detail}"
        case _:
            return detail
