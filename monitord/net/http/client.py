"""HTTP exchanges based on aiohttp, with measured phases and classified failures.

aiohttp sends requests and pools connections. This module does the rest:

- It resolves names and gives addresses to aiohttp, so that an exchange uses one connection to one known address with
  every version of aiohttp.
- It follows redirects, so that credentials are sent only to their origin.
- It sends a request once. Newer versions of aiohttp send an idempotent request again after a broken connection, which
  would hide the failure (see `Abandoned`).

`HttpClient.close` closes all connections. An `HttpClient` belongs to one event loop.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from monitord.net.base.addressing import host_and_port
from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import ExchangeError, FailureKind, failure_of_timeout
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import ResolveError, Resolver, literal_address
from monitord.net.base.tls import Handshake, TlsContexts, current_handshake
from monitord.net.http.body import receive
from monitord.net.http.connector import UnixConnector, current_progress, make_session, marked, tcp_connector
from monitord.net.http.cookies import Cookie, CookieStore, with_cookies
from monitord.net.http.digest import UNAUTHORIZED, DigestSession
from monitord.net.http.outcome import (
    Abandoned,
    ExchangeProgress,
    Hop,
    HttpExchange,
    HttpFailure,
    HttpOutcome,
    by_head,
    described,
    failure_of,
)
from monitord.net.http.request import (
    MAX_REDIRECTS,
    REDIRECTS,
    SEE_OTHER,
    Endpoint,
    HttpRequest,
    method_after,
)
from monitord.net.http.response import Deviation
from monitord.net.http.url import PORTS, Target, is_unusual_location, redirect_target

KEEP_ALIVE_S = 3600.0
"""How long an idle connection is kept for `reuse_connection`, unless the peer closes it earlier."""
OK = 200
REQUEST_TIMEOUT = 408
MAX_ADDRESSES_TESTED = 16
KEPT_URLS = 4096
_STEPS_TO_CLOSE = 4
"""Iterations of the event loop until asyncio has called `connection_lost` of a closed transport and of TLS above it."""

T = TypeVar("T")
_Send = Callable[[ExchangeProgress], Coroutine[Any, Any, aiohttp.ClientResponse]]


class HttpClient:
    """HTTP client. Opens nothing before the first exchange, and closes `resolver` in `close`."""

    def __init__(
        self, *, user_agent: str, resolver: Resolver, tls_contexts: TlsContexts, silent_share: float = 0.5
    ) -> None:
        """`silent_share`: the share of the time until the deadline after which a new connection is tried in parallel
        with a persistent connection that has received nothing.
        """
        self._user_agent = user_agent
        self._silent_share = silent_share
        self.resolver = resolver
        self._tls_contexts = tls_contexts
        self._session: aiohttp.ClientSession | None = None
        self._own_sessions: dict[HttpRequest, aiohttp.ClientSession] = {}

    async def fetch(
        self,
        request: HttpRequest,
        *,
        deadline: float,
        cookies: CookieStore | None = None,
        body: bytes | None = None,
    ) -> HttpOutcome:
        """Run one exchange until `deadline` (time.monotonic()). Expected failures are returned as `HttpFailure`.

        `cookies` are sent, and the cookies of all responses are added to them; None: cookies of redirects are kept only
        for this exchange. `body` is sent instead of that of the request, whose connection is kept for other bodies.
        """
        progress = ExchangeProgress(PhaseTimer(), request, deadline)
        outcome = await _until(deadline, progress, self._follow(request, progress, None, cookies, body))
        if isinstance(outcome, HttpFailure) and request.status_decides:
            return by_head(outcome, progress) or outcome
        return outcome

    async def stream(
        self, request: HttpRequest, consume: Callable[[bytes], None], *, deadline: float
    ) -> HttpOutcome:
        """Pass the body of a response with status 200 to `consume`, in pieces as they arrive, until the body ends.

        The first piece is empty, and arrives with the head of the response. The body of a response with another status
        is not received. `deadline` applies to the head of the response: the body has neither a deadline nor a limit, so
        `consume` has to limit the data that it stores. Content codings are not decoded, and redirects are not followed.
        """
        progress = ExchangeProgress(PhaseTimer(), request, deadline, is_stream=True)
        return await _until(None, progress, self._stream(request, consume, progress))

    async def fetch_each(self, request: HttpRequest, *, deadline: float) -> tuple[HttpOutcome, ...]:
        """Run the exchange concurrently with each address of the first host, at most MAX_ADDRESSES_TESTED."""
        if not request.needs_name:
            return (await self.fetch(request, deadline=deadline),)
        progress = ExchangeProgress(PhaseTimer(), request, deadline)
        name = request.endpoint_for(request.target).host
        addresses = await _until(deadline, progress, self._resolve(name, request, progress))
        if isinstance(addresses, HttpFailure):
            return (addresses,)
        resolve_s, queued_s = progress.timer.read()[Phase.RESOLVE], progress.timer.queued_s

        async def fetch_from(address: str) -> HttpOutcome:
            progress = ExchangeProgress(PhaseTimer(resolve_s, queued_s), request, deadline)
            return await _until(deadline, progress, self._follow(request, progress, address))

        tasks = [asyncio.create_task(fetch_from(address)) for address in addresses[:MAX_ADDRESSES_TESTED]]
        try:
            return tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self, request: HttpRequest) -> None:
        """Close the connections kept for this request object, if there are any."""
        session = self._own_sessions.pop(request, None)
        if session is not None:
            await session.close()

    async def close(self) -> None:
        """Close persistent connections, sessions and resolver threads. The caller ends running exchanges before."""
        sessions = [*self._own_sessions.values()]
        self._own_sessions.clear()
        if self._session is not None:
            sessions.append(self._session)
            self._session = None
        for session in sessions:
            await session.close()
        await self.resolver.close()
        if sessions:
            for _ in range(_STEPS_TO_CLOSE):
                await asyncio.sleep(0)

    async def _follow(
        self,
        request: HttpRequest,
        progress: ExchangeProgress,
        pinned: str | None,
        cookies: CookieStore | None = None,
        body: bytes | None = None,
    ) -> HttpExchange:
        """Run the exchange with its redirects. `pinned` is the address to use for the first host."""
        target, method = request.target, request.method
        body = request.body if body is None else body
        keeps_all_cookies = cookies is not None
        authentication = DigestExchange(request)
        while True:
            progress.target, progress.has_raw_bytes = target, False
            headers = request.headers_for(target, user_agent=self._user_agent, with_body=body is not None)
            if cookies is not None:
                _add_cookies(headers, cookies.select(target, request.host_name(target)), progress)
            authentication.add_to(headers, method, target)
            try:
                send = partial(self._send, request, target, method, headers, body, pinned)
                keeps = request.keeps_connection(target)
                response = await (self._send_reusing(send, progress) if keeps else send(progress))
                try:
                    location = _location(request, response)
                    if (location or keeps_all_cookies) and (
                        set_cookies := _header_values(response, b"set-cookie")
                    ):
                        cookies = cookies or CookieStore()
                        cookies.store(set_cookies, target, request.host_name(target))
                    if await authentication.answers(response, target):
                        continue
                    if not location:
                        return await receive(request, response, progress)
                    if progress.redirects == MAX_REDIRECTS:
                        raise ExchangeError(
                            FailureKind.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects"
                        )
                    _add_hop(progress, target, response)
                finally:
                    response.close()
            finally:
                if body is not None:
                    _drop_unsent(progress)
            progress.redirects += 1
            target = _redirected(target, location)
            next_method = method_after(response.status, method)
            if next_method != method or response.status == SEE_OTHER:
                method, body = next_method, None
            if body and not request.may_send_body(target):
                raise ExchangeError(
                    FailureKind.REDIRECT_REJECTED,
                    f"the redirect ({response.status}) leads to {target.shown_origin}, "
                    "and a request body is not sent to another origin",
                )

    async def _stream(
        self, request: HttpRequest, consume: Callable[[bytes], None], progress: ExchangeProgress
    ) -> HttpExchange:
        target = progress.target = request.target
        headers = request.headers_for(target, user_agent=self._user_agent, with_body=False)
        sending = self._send(request, target, request.method, headers, None, None, progress)
        response = await _by(progress.deadline, sending)
        try:
            if response.status == OK:
                progress.timer.enter(Phase.TRANSFER)
                consume(b"")
                reception: Any = response.content  # a Reception, see connector.py
                await reception.pass_on(consume)
            return await receive(replace(request, receive_body=False, read_body=False), response, progress)
        finally:
            response.close()

    async def _send_reusing(self, send: _Send, progress: ExchangeProgress) -> aiohttp.ClientResponse:
        """Return the head of the response, over a new connection if the persistent connection is stale.

        The peer or a router may end a persistent connection at any time, even while the request is in transit. If no
        byte has been received, that is not a failure of the service. One new connection is tried within the same
        deadline: after the persistent connection has ended, or in parallel with it after `silent_share` of the time.
        This applies to all methods: RFC 9110, section 9.2.2, allows it where the client knows that the request may be
        repeated, and a request with `reuse_connection` is repeated with every check. A server may end an idle
        connection with status 408 (section 15.5.9).
        """
        other = ExchangeProgress(PhaseTimer(), progress.request, progress.deadline, wants_fresh=True)
        other.target, other.has_raw_bytes = progress.target, progress.has_raw_bytes
        progress.wants_fresh = False
        parallel: list[asyncio.Task[aiohttp.ClientResponse]] = []

        def start_parallel() -> None:
            if progress.is_reused_and_silent:
                context = copy_context()
                context.run(current_progress.set, other)
                parallel.append(asyncio.create_task(send(other), context=context))
                parallel[0].add_done_callback(lambda _: _abort_silent(progress))

        loop = asyncio.get_running_loop()
        timer = loop.call_later((progress.deadline - time.monotonic()) * self._silent_share, start_parallel)
        used: aiohttp.ClientResponse | None = None
        try:
            used = await _unless_stale(send(progress), progress)
            if used is None:
                timer.cancel()
                _drop_unsent(progress)
                if parallel:
                    try:
                        used = await parallel[0]
                    finally:
                        progress.adopt(other)
                else:
                    progress.wants_fresh = True
                    used = await send(progress)
            return used
        finally:
            timer.cancel()
            for task in parallel:
                task.cancel()
            for response in await asyncio.gather(*parallel, return_exceptions=True) if parallel else ():
                if isinstance(response, aiohttp.ClientResponse) and response is not used:
                    response.close()

    async def _send(
        self,
        request: HttpRequest,
        target: Target,
        method: str,
        headers: dict[str, str],
        body: bytes | None,
        pinned: str | None,
        progress: ExchangeProgress,
    ) -> aiohttp.ClientResponse:
        """Send the request and return the response after its head. The caller receives the body and closes it."""
        progress.method, progress.is_reused, progress.parser = method, False, None
        options: dict[str, Any] = {}
        if target.socket_path is not None:
            url = _wire_url(target.scheme, target.host, target.port, target.request_target)
            progress.address, progress.ip_version = target.socket_path, None
            progress.peer = target.socket_path
        else:
            endpoint = request.endpoint_for(target)
            address = await self._address(endpoint, request, progress, pinned)
            if "%" in address:
                address = _with_numeric_zone(address)
            if request.proxy_target is not None:
                # A zone identifier is valid only on this host.
                host = target.host.partition("%")[0]
                url = _wire_url(target.scheme, host, target.port, target.request_target)
                options["proxy"] = URL.build(scheme="http", host=address, port=endpoint.port)
                if request.proxy_authorization is not None and target.is_tls:
                    # Sent with CONNECT only, not to the server.
                    options["proxy_headers"] = {"Proxy-Authorization": request.proxy_authorization}
                elif request.proxy_authorization is not None:
                    headers["Proxy-Authorization"] = request.proxy_authorization
            else:
                url = _wire_url(target.scheme, address, endpoint.port, target.request_target)
        handshake = None
        if target.is_tls:
            try:
                options["ssl"] = self._tls_contexts.get(request.tls_for(target))
            except ValueError as error:
                raise ExchangeError(FailureKind.TLS_FAILED, str(error)) from None
            handshake = Handshake(request.server_name_for(target), lambda: progress.timer.enter(Phase.TLS))
        token = current_handshake.set(handshake)
        try:
            return await self._session_for(request, target).request(
                method, url, headers=headers, data=body, allow_redirects=False, **options
            )
        finally:
            current_handshake.reset(token)

    async def _address(
        self, endpoint: Endpoint, request: HttpRequest, progress: ExchangeProgress, pinned: str | None
    ) -> str:
        version = literal_address(endpoint.host)
        if version is not None:
            address = endpoint.host
        elif pinned is not None and endpoint == request.endpoint_for(request.target):
            address = pinned
        else:
            address, *others = await self._resolve(endpoint.host, request, progress)
            progress.untried_address = next(
                (other for other in others if (":" in other) is not (":" in address)), None
            )
        progress.address = address
        progress.ip_version = version or (6 if ":" in address else 4)
        peer = host_and_port(address, endpoint.port)
        progress.peer = peer if request.proxy_target is None else f"proxy {peer}"
        return address

    async def _resolve(self, name: str, request: HttpRequest, progress: ExchangeProgress) -> tuple[str, ...]:
        progress.address, progress.ip_version, progress.peer = None, None, name
        progress.untried_address = None
        progress.timer.enter(Phase.RESOLVE)
        try:
            addresses = await self.resolver.resolve(
                name.rstrip("."), request.source.family(request.ip_family), progress.timer
            )
        except ResolveError as error:
            kind = FailureKind.PROBER_EXHAUSTED if error.is_probe_error else FailureKind.RESOLVE_FAILED
            raise ExchangeError(kind, f"name resolution of {name}: {error.problem}") from None
        progress.timer.pause()
        return addresses

    def _session_for(self, request: HttpRequest, target: Target) -> aiohttp.ClientSession:
        """Return the shared session, or the request's own session for persistent connections and Unix sockets."""
        if not request.keeps_connection(target) and target.socket_path is None:
            if self._session is None:
                self._session = make_session(tcp_connector(force_close=True))
            return self._session
        session = self._own_sessions.get(request)
        if session is None:
            options: dict[str, Any] = (
                {"keepalive_timeout": KEEP_ALIVE_S} if request.reuse_connection else {"force_close": True}
            )
            if target.socket_path is not None:
                session = make_session(UnixConnector(path=target.socket_path, limit=0, **options))
            else:
                session = make_session(tcp_connector(**options))
            self._own_sessions[request] = session
        return session


class DigestExchange:
    """The digest authentication of an exchange. Has no effect without `digest_auth`, and at other origins."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._session = None if request.digest_auth is None else DigestSession(*request.digest_auth)
        self._target: Target | None = None

    def add_to(self, headers: dict[str, str], method: str, target: Target) -> None:
        if self._session is None or not self._request.is_same_origin(target):
            return
        if target != self._target:
            self._target = target
            self._session.begin()
        if (authorization := self._session.header(method, target.request_target)) is not None:
            headers["Authorization"] = authorization

    async def answers(self, response: aiohttp.ClientResponse, target: Target) -> bool:
        """Return whether the response is a challenge, and the request is to be repeated with an answer.

        Receives the body if the connection is used again. Raises `ExchangeError` or `Abandoned`.
        """
        if self._session is None or not self._request.is_same_origin(target):
            return False
        self._session.note(_header_values(response, b"authentication-info"))
        if response.status != UNAUTHORIZED or not self._session.accepts(
            _header_values(response, b"www-authenticate")
        ):
            return False
        if self._request.keeps_connection(target):
            reception: Any = response.content  # a Reception, see connector.py
            await reception.wait_for_end()
        return True


def _abort_silent(progress: ExchangeProgress) -> None:
    """Abort a silent persistent connection when the request on the parallel connection has finished."""
    if progress.is_reused_and_silent and progress.transport is not None:
        with suppress(AttributeError):  # see `_drop_unsent`
            progress.transport.abort()


async def _unless_stale(
    sending: Coroutine[Any, Any, aiohttp.ClientResponse], progress: ExchangeProgress
) -> aiohttp.ClientResponse | None:
    """Return the response, or None if the persistent connection was stale."""
    try:
        response = await sending
    except Abandoned:
        if progress.is_reused_and_silent:
            return None
        raise
    except ExchangeError as error:
        # Bytes that are not HTTP may belong to the previous response.
        if progress.is_reused and error.kind is FailureKind.PROTOCOL_ERROR and progress.has_no_head:
            return None
        raise
    if progress.is_reused and response.status == REQUEST_TIMEOUT:
        response.close()
        return None
    return response


async def _until(
    deadline: float | None, progress: ExchangeProgress, act: Coroutine[Any, Any, T]
) -> T | HttpFailure:
    """Return the result of `act`, or its failure. `deadline` None: `act` has deadlines of its own."""
    token = current_progress.set(progress)
    try:
        return await (act if deadline is None else _by(deadline, act))
    except ExchangeError as error:
        kind, detail = error.kind, error.detail
    except TimeoutError:
        kind, detail = failure_of_timeout(progress.timer)
        note = "" if progress.parser is None else progress.parser.progress_note
        detail = described(kind, f"{detail}, {note}" if note else detail, progress)
    except (aiohttp.ClientError, OSError, ValueError, Abandoned) as error:
        kind, detail = failure_of(error.error if isinstance(error, Abandoned) else error, progress)
    finally:
        current_progress.reset(token)
        progress.release()
    head = None if progress.parser is None else progress.parser.head
    return HttpFailure(
        kind=kind,
        detail=detail,
        phases=progress.timer.read(),
        duration_s=progress.timer.elapsed_s(),
        redirects=progress.redirects,
        address=progress.address,
        ip_version=progress.ip_version,
        status=None if head is None else head.status,
        headers={} if head is None else head.headers,
    )


@lru_cache(maxsize=KEPT_URLS)
def _wire_url(scheme: str, host: str, port: int, request_target: str) -> URL:
    """Return the URL for aiohttp, usually with an address as the host. Cached, because yarl URLs cache their parts.

    The query is passed as part of the path, because yarl drops an empty query.
    """
    # Without a default port: yarl 1.8 would write it in the absolute form that is sent to a proxy.
    explicit_port = None if port == PORTS[scheme] else port
    return URL.build(scheme=scheme, host=host, port=explicit_port).with_path(request_target, encoded=True)


def _with_numeric_zone(address: str) -> str:
    """Replace the interface name by its index: getaddrinfo(3) accepts names with link-local addresses only."""
    bare, _, zone = address.partition("%")
    if zone.isdigit():
        return address
    try:
        return f"{bare}%{socket.if_nametoindex(zone)}"
    except OSError:
        raise ExchangeError(
            FailureKind.HOST_UNREACHABLE, f"connection to {address}: this host has no interface {zone}"
        ) from None


async def _by(deadline: float, act: Coroutine[Any, Any, T]) -> T:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        act.close()
        raise TimeoutError
    async with Deadline(remaining_s):
        return await act


def _location(request: HttpRequest, response: aiohttp.ClientResponse) -> str:
    """Return the first Location header of a redirect to follow, and "" for every other response."""
    if response.status not in REDIRECTS or not request.follow_redirects:
        return ""
    return next(filter(None, _header_values(response, b"location")), "")


def _header_values(response: aiohttp.ClientResponse, name: bytes) -> list[str]:
    """Return all values of a header. `name` is in lower case. Bytes that are not UTF-8 become surrogate escapes."""
    return [
        value.strip(b" \t").decode("utf-8", "surrogateescape")
        for key, value in response.raw_headers
        if key.lower() == name
    ]


def _add_hop(progress: ExchangeProgress, target: Target, response: aiohttp.ClientResponse) -> None:
    tls = progress.tls_fields(certificate=progress.request.want_certificate)
    progress.hops += (Hop(target, response.status, tls),)
    if progress.parser is not None:
        # If there are several different headers, curl follows the first and browsers follow none.
        locations = set(filter(None, _header_values(response, b"location")))
        if len(locations) > 1 or any(map(is_unusual_location, locations)):
            progress.parser.note(Deviation.LOCATION)
        progress.deviations += tuple(progress.parser.deviations)


def _add_cookies(headers: dict[str, str], cookies: list[Cookie], progress: ExchangeProgress) -> None:
    if cookies:
        name = next((name for name in headers if name.lower() == "cookie"), "Cookie")
        cookie = with_cookies(headers.get(name), cookies)
        headers[name] = marked(cookie)
        progress.has_raw_bytes = headers[name] != cookie


def _drop_unsent(progress: ExchangeProgress) -> None:
    """Abort a closed transport: it stays open until the peer has received all written data, possibly forever."""
    transport, progress.transport = progress.transport, None
    if transport is not None and transport.is_closing():
        # Up to Python 3.11.3, abort() of a TLS transport raises AttributeError if the transport was closed twice.
        with suppress(AttributeError):
            transport.abort()


def _redirected(target: Target, location: str) -> Target:
    try:
        return redirect_target(target, location)
    except ValueError as error:
        raise ExchangeError(FailureKind.PROTOCOL_ERROR, str(error)) from None
