"""Client for streams over TCP or Unix sockets: unencrypted, with TLS from the start, or with a later STARTTLS.

The caller of `StreamClient.run` passes the dialogue. This module connects, times the phases, enforces the limits and
classifies failures.

TLS records go through `ssl.MemoryBIO` and plain sockets: the transports of asyncio and uvloop start TLS on an open
connection in different ways, and neither exposes the unencrypted data received before the handshake. That data must
be rejected: an attacker may have injected it to be treated as part of the TLS session (CVE-2011-0411).
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from monitord.net.base.addressing import (
    NO_SOURCE,
    SourceAddresses,
    connect_socket,
    find_address,
    host_and_port,
    ip_version,
    is_loopback,
)
from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import (
    ExchangeError,
    FailureKind,
    failure_of_error,
    failure_of_timeout,
    with_peer,
)
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import IpFamily, Resolver
from monitord.net.base.tls import TlsContexts, TlsFields, TlsOptions, tls_fields

MAX_RECEIVED_BYTES = 64 * 1024
"""The limit of the data received on a connection, after decryption."""
MAX_ENCRYPTED_BYTES = 1024 * 1024
"""The limit of TLS records on a connection. Handshake messages, such as endless session tickets, carry no data."""
RECEIVED_AT_ONCE_BYTES = 16 * 1024
UNIX_RETRY_EVERY_S = 0.02
"""Interval of attempts to connect to a Unix socket whose queue is full: no event reports that it has room."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """A host and a port, or the path of a Unix socket.

    `tls` are the TLS options, `begins_with_tls` is whether TLS starts with the connection. The certificate must be
    valid for `server_name`; None means the host.
    """

    host: str = ""
    port: int = 0
    socket_path: str | None = None
    ip_family: IpFamily = IpFamily.ANY
    source: SourceAddresses = NO_SOURCE
    begins_with_tls: bool = False
    tls: TlsOptions = field(default_factory=lambda: TlsOptions(alpn=()))
    server_name: str | None = None

    @property
    def peer_name(self) -> str:
        """The name that the certificate must have, without a trailing dot (RFC 6066, section 3)."""
        return (self.server_name or self.host).partition("%")[0].rstrip(".")

    @property
    def crosses_network(self) -> bool:
        """Whether the peer is on another host."""
        return self.socket_path is None and not is_loopback(self.host)

    def __str__(self) -> str:
        if self.socket_path is not None:
            return f"unix:{self.socket_path}"
        return host_and_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """The outcome of a connection. `failure` is None if the dialogue was completed.

    `address` is "192.0.2.1" or "2001:db8::1", or the path of a Unix socket. `received` is all data from the peer.
    """

    failure: FailureKind | None
    detail: str
    address: str | None
    ip_version: int | None
    phases: Mapping[Phase, float]
    duration_s: float
    tls: TlsFields | None
    received: bytes


class Stream:
    """An open connection. Its methods raise `ExchangeError` or OSError, and have no timeout."""

    def __init__(
        self, connected: socket.socket, target: StreamTarget, tls_contexts: TlsContexts, timer: PhaseTimer
    ) -> None:
        """Take ownership of the socket until `close`."""
        self._socket = connected
        self._target = target
        self._tls_contexts = tls_contexts
        self._timer = timer
        self._loop = asyncio.get_running_loop()
        self._session: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._is_at_end = False
        self._encrypted_bytes = 0
        self.received = bytearray()
        """All received data; never shortened."""
        self.taken = 0
        """The number of bytes of `received` that were taken."""
        self.tls: TlsFields | None = None

    @property
    def local_address(self) -> str:
        return str(self._socket.getsockname()[0])

    @property
    def alpn(self) -> str | None:
        """The application protocol that the server selected in the TLS handshake (RFC 7301)."""
        return None if self._session is None else self._session.selected_alpn_protocol()

    @property
    def pending(self) -> bytes:
        """The received data that was not taken."""
        return bytes(self.received[self.taken :])

    def take_line(self) -> bytes | None:
        """Take the next complete line, without its line end; None if there is none yet."""
        end = self.received.find(b"\n", self.taken)
        if end < 0:
            return None
        line = bytes(self.received[self.taken : end])
        self.taken = end + 1
        return line.removesuffix(b"\r")

    def take_all(self) -> None:
        self.taken = len(self.received)

    async def receive(self) -> bool:
        """Receive more data. Returns False if the peer has closed its side."""
        self._timer.enter(Phase.PROCESSING)
        if self._session is None:
            more = await self._loop.sock_recv(self._socket, RECEIVED_AT_ONCE_BYTES)
        else:
            more = await self._through_tls(self._read)
        self.received += more
        if len(self.received) > MAX_RECEIVED_BYTES:
            raise ExchangeError(
                FailureKind.TOO_LARGE, f"the peer sent more than {MAX_RECEIVED_BYTES // 1024} KiB"
            )
        return bool(more)

    async def send(self, data: bytes) -> None:
        self._timer.enter(Phase.PROCESSING)
        session = self._session
        if session is None:
            await self._loop.sock_sendall(self._socket, data)
            return
        sent = 0
        while sent < len(data):
            sent += await self._through_tls(partial(session.write, data[sent:]))

    async def start_tls(self) -> None:
        """Do the TLS handshake. All data received before must have been taken. Raises ExchangeError otherwise."""
        if self.pending:
            raise ExchangeError(
                FailureKind.PROTOCOL_ERROR,
                "the peer continued without encryption at the start of the TLS handshake",
            )
        self._timer.enter(Phase.TLS)
        try:
            context = self._tls_contexts.get(self._target.tls)
        except ValueError as error:
            raise ExchangeError(FailureKind.TLS_FAILED, str(error)) from None
        name = self._target.peer_name
        session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name or None)
        self._session = session
        await self._through_tls(session.do_handshake)
        self.tls = tls_fields(session, certificate=True)
        self._timer.pause()

    def close(self) -> None:
        """Send close_notify or the alert of a failed handshake without waiting, and close. Raises nothing."""
        with suppress(OSError):
            if self.tls is not None and self._session is not None:
                self._session.unwrap()
        with suppress(OSError):
            if self._outgoing.pending:
                self._socket.send(self._outgoing.read())
        self._socket.close()

    def _read(self) -> bytes:
        session = self._session
        try:
            return session.read(RECEIVED_AT_ONCE_BYTES) if session is not None else b""
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""  # with or without close_notify: the data is evaluated in both cases

    async def _through_tls(self, step: Callable[[], T]) -> T:
        """Call `step` until it needs no more data from the peer, and send the records it produces."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self._socket, self._outgoing.read())

    async def _feed(self) -> None:
        if self._is_at_end:
            raise ConnectionResetError
        records = await self._loop.sock_recv(self._socket, RECEIVED_AT_ONCE_BYTES)
        if records:
            self._encrypted_bytes += len(records)
            if self._encrypted_bytes > MAX_ENCRYPTED_BYTES:
                raise ExchangeError(
                    FailureKind.TOO_LARGE,
                    f"the peer sent more than {MAX_ENCRYPTED_BYTES // 1024} KiB of TLS records",
                )
            self._incoming.write(records)
            # sock_recv does not yield to other tasks while data is available.
            await asyncio.sleep(0)
        else:
            self._is_at_end = True
            self._incoming.write_eof()


StreamHandler = Callable[[Stream], Awaitable[None]]


@dataclass(slots=True)
class _StreamRun:
    """Progress of a connection, from which outcomes are built."""

    target: StreamTarget
    timer: PhaseTimer
    address: str | None = None
    stream: Stream | None = None

    def failed(self, failure: FailureKind, detail: str) -> StreamOutcome:
        """Return the outcome of a failure in the current phase."""
        if self.timer.current is Phase.RESOLVE:
            peer = self.target.host
        elif self.target.socket_path is not None or self.address is None:
            peer = str(self.target)
        else:
            peer = host_and_port(self.address, self.target.port)
        return self.outcome(failure, with_peer(failure, detail, self.timer.current, peer))

    def outcome(self, failure: FailureKind | None, detail: str) -> StreamOutcome:
        is_unix = self.target.socket_path is not None
        return StreamOutcome(
            failure=failure,
            detail=detail,
            address=self.address,
            ip_version=None if self.address is None or is_unix else ip_version(self.address),
            phases=self.timer.read(),
            duration_s=self.timer.elapsed_s(),
            tls=self.stream.tls if self.stream is not None else None,
            received=bytes(self.stream.received) if self.stream is not None else b"",
        )


class StreamClient:
    """Opens connections. Has no state between them."""

    def __init__(self, resolver: Resolver, tls_contexts: TlsContexts) -> None:
        self._resolver = resolver
        self._tls_contexts = tls_contexts

    async def run(self, target: StreamTarget, handler: StreamHandler, *, deadline: float) -> StreamOutcome:
        """Connect to one address and run the dialogue, at the latest until `deadline` (time.monotonic()).

        Failures of the connection are returned. `handler` may raise `ExchangeError` and OSError, as `Stream` does.
        """
        run = _StreamRun(target, PhaseTimer())
        try:
            async with Deadline(deadline - time.monotonic()):
                timer = run.timer
                if target.socket_path is None:
                    family = target.source.family(target.ip_family)
                    run.address = await find_address(self._resolver, target.host, family, timer)
                    timer.enter(Phase.CONNECT)
                    connected = await connect_socket(run.address, target.port, target.source)
                else:
                    run.address = target.socket_path
                    timer.enter(Phase.CONNECT)
                    connected = await _connect_unix(target.socket_path)
                timer.pause()
                run.stream = Stream(connected, target, self._tls_contexts, timer)
                try:
                    if target.begins_with_tls:
                        await run.stream.start_tls()
                    await handler(run.stream)
                finally:
                    timer.pause()
                    run.stream.close()
        except ExchangeError as error:
            return run.outcome(error.kind, error.detail)
        except TimeoutError:
            kind, detail = failure_of_timeout(run.timer)
            return run.failed(kind, detail)
        except OSError as error:
            kind, detail = failure_of_error(error, run.timer.current)
            return run.failed(kind, detail)
        return run.outcome(None, "")


async def _connect_unix(path: str) -> socket.socket:
    # The loop's sock_connect treats a full queue (EAGAIN) as an open connection.
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        while True:
            try:
                connected.connect(path)
            except BlockingIOError:
                await asyncio.sleep(UNIX_RETRY_EVERY_S)
            else:
                return connected
    except BaseException:
        connected.close()
        raise
