"""DNS client: one query to one server over UDP, TCP or TLS, with timed phases and classified failures.

The sockets are not those of dnspython, which do not distinguish a closed port from an unresponsive server, do not
report the phase of a timeout, and differ between versions. Its messages are in `message`.

A query is sent once: a retry would hide packet loss. Datagrams that do not match the query are ignored, as any host can
send them (RFC 5452, section 3), and reported if no response follows.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum

from monitord.net.base.addressing import (
    NO_SOURCE,
    SourceAddresses,
    connect_socket,
    find_address,
    host_and_port,
    socket_address,
)
from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import (
    ExchangeError,
    FailureKind,
    failure_of_error,
    failure_of_timeout,
    with_peer,
)
from monitord.net.base.libraries import import_problem
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import IpFamily, Resolver
from monitord.net.base.tls import Handshake, TlsContexts, TlsFields, TlsOptions, current_handshake, tls_fields

MAX_MESSAGE_BYTES = 65535
MAX_STRAYS = 64
"""The query fails after this number of datagrams that do not match it."""

# RFC 1035, section 4.1.1
_HEADER = struct.Struct("!HH")
_RESPONSE = 0x8000
_TRUNCATED = 0x0200
# RFC 1035, section 4.2.2
_LENGTH = struct.Struct("!H")


def library_problem() -> str | None:
    """Return why dnspython cannot be used; None if it can."""
    return import_problem("dns.message")


class DnsProtocol(Enum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class DnsQuestion:
    """The question of a query. `name` is absolute."""

    name: str
    record_type: str = "A"
    wants_recursion: bool = True


@dataclass(frozen=True, slots=True)
class DnsServer:
    """A DNS server. `server_name` is the name its certificate must be valid for; None means `host`."""

    host: str
    port: int
    protocol: DnsProtocol = DnsProtocol.UDP
    ip_family: IpFamily = IpFamily.ANY
    source: SourceAddresses = NO_SOURCE
    tls: TlsOptions = field(default_factory=TlsOptions)
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The response of a server, which can be an error response: see `message.DnsMessage`.

    `protocol` is the protocol of the response: TCP after a truncated UDP response (`was_truncated`).
    """

    rcode: str
    answers: tuple[str, ...]
    ttl_s: int | None
    serial: int | None
    is_authoritative: bool
    is_authenticated: bool
    protocol: DnsProtocol
    was_truncated: bool
    address: str
    phases: Mapping[Phase, float]
    duration_s: float
    tls: TlsFields | None


@dataclass(frozen=True, slots=True)
class DnsFailure:
    """No usable response was received."""

    kind: FailureKind
    detail: str
    address: str | None
    phases: Mapping[Phase, float]
    duration_s: float


DnsOutcome = DnsAnswer | DnsFailure


@dataclass(slots=True)
class _DnsExchange:
    """Progress of an exchange, from which failures are described."""

    server: DnsServer
    number: int
    wire: bytes
    timer: PhaseTimer
    address: str = ""
    strays: int = 0
    was_truncated: bool = False
    tls: TlsFields | None = None

    @property
    def peer(self) -> str:
        return host_and_port(self.address, self.server.port) if self.address else self.server.host

    def owns(self, wire: bytes) -> bool:
        """Return whether the header has the ID of the query and is a response."""
        # Only the header counts: a message with the right ID that cannot be parsed is a failure of the server.
        if len(wire) < _HEADER.size:
            return False
        number, flags = _HEADER.unpack_from(wire)
        return number == self.number and bool(flags & _RESPONSE)


class DnsClient:
    """Sends DNS queries. Has no state between queries."""

    def __init__(self, resolver: Resolver, tls_contexts: TlsContexts) -> None:
        self._resolver = resolver
        self._tls_contexts = tls_contexts

    async def query(self, question: DnsQuestion, server: DnsServer, *, deadline: float) -> DnsOutcome:
        """Send a query and return the response, or a `DnsFailure` at the latest at `deadline` (time.monotonic()).

        Raises ImportError without dnspython.
        """
        from monitord.net.dns.message import DnsQuery  # noqa: PLC0415 - an optional library

        query = DnsQuery(question.name, question.record_type, wants_recursion=question.wants_recursion)
        exchange = _DnsExchange(server, query.number, query.wire, PhaseTimer())
        timer = exchange.timer
        try:
            async with Deadline(deadline - time.monotonic()):
                wire, protocol = await self._exchange(exchange)
            timer.pause()
            try:
                message = query.read(wire)
            except ValueError as error:  # only here, as ssl.SSLCertVerificationError is a ValueError too
                raise ExchangeError(FailureKind.PROTOCOL_ERROR, str(error)) from None
        except ExchangeError as error:
            kind, detail = error.kind, error.detail
        except TimeoutError:
            kind, detail = failure_of_timeout(timer)
            detail = _described(kind, detail, exchange)
            if exchange.strays:
                kind = FailureKind.PROTOCOL_ERROR
                detail = "received only responses that do not match the query"
        except OSError as error:
            kind, detail = failure_of_error(error, timer.current)
            detail = _described(kind, detail, exchange)
        else:
            return DnsAnswer(
                rcode=message.rcode,
                answers=message.answers,
                ttl_s=message.ttl_s,
                serial=message.serial,
                is_authoritative=message.is_authoritative,
                is_authenticated=message.is_authenticated,
                protocol=protocol,
                was_truncated=exchange.was_truncated,
                address=exchange.address,
                phases=timer.read(),
                duration_s=timer.elapsed_s(),
                tls=exchange.tls,
            )
        return DnsFailure(kind, detail, exchange.address or None, timer.read(), timer.elapsed_s())

    async def _exchange(self, exchange: _DnsExchange) -> tuple[bytes, DnsProtocol]:
        """Return the response, of which only the header was parsed, and its protocol."""
        server = exchange.server
        family = server.source.family(server.ip_family)
        exchange.address = await find_address(self._resolver, server.host, family, exchange.timer)
        protocol = server.protocol
        if protocol is DnsProtocol.UDP:
            wire = await _query_over_udp(exchange)
            if not _HEADER.unpack_from(wire)[1] & _TRUNCATED:
                return wire, protocol
            exchange.was_truncated = True
            protocol = DnsProtocol.TCP
        exchange.timer.enter(Phase.CONNECT)
        reader, writer = await self._open(exchange, by_tls=protocol is DnsProtocol.TLS)
        try:
            exchange.timer.enter(Phase.PROCESSING)
            writer.write(_LENGTH.pack(len(exchange.wire)) + exchange.wire)
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            wire = await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise ExchangeError(
                FailureKind.RESET, f"{exchange.peer}: the server closed the connection without a response"
            ) from None
        finally:
            writer.transport.abort()
        if not exchange.owns(wire):
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, "the response does not match the query")
        return wire, protocol

    async def _open(
        self, exchange: _DnsExchange, *, by_tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        server = exchange.server
        if not by_tls:
            connected = await connect_socket(exchange.address, server.port, server.source)
            return await asyncio.open_connection(sock=connected)
        try:
            context = self._tls_contexts.get(server.tls)
        except ValueError as error:
            raise ExchangeError(FailureKind.TLS_FAILED, str(error)) from None
        connected = await connect_socket(exchange.address, server.port, server.source)
        name = (server.server_name or server.host).partition("%")[0].rstrip(".")
        token = current_handshake.set(Handshake(name, lambda: exchange.timer.enter(Phase.TLS)))
        try:
            reader, writer = await asyncio.open_connection(sock=connected, ssl=context, server_hostname=name)
        finally:
            current_handshake.reset(token)
        session: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        if session is not None:
            exchange.tls = tls_fields(session, certificate=True)
        return reader, writer


async def _query_over_udp(exchange: _DnsExchange) -> bytes:
    loop = asyncio.get_running_loop()
    exchange.timer.enter(Phase.CONNECT)
    family, peer = socket_address(exchange.address, exchange.server.port)
    # A connected socket receives only datagrams of its peer, and an error if the peer's port is closed.
    with closing(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)) as connected:
        source = exchange.server.source
        source.bind(connected, exchange.address)
        try:
            connected.connect(peer)
        except OSError as error:
            raise source.failure_of_connect(error, exchange.address) from None
        connected.send(exchange.wire)
        exchange.timer.enter(Phase.PROCESSING)
        while exchange.strays < MAX_STRAYS:
            try:
                wire = await loop.sock_recv(connected, MAX_MESSAGE_BYTES)
            except OSError as error:
                # An ICMP message of the host or of a router, which connect(2) of a stream would report.
                kind, detail = failure_of_error(error, Phase.CONNECT)
                raise ExchangeError(kind, _described(kind, detail, exchange)) from None
            if exchange.owns(wire):
                return wire
            exchange.strays += 1
    raise ExchangeError(
        FailureKind.PROTOCOL_ERROR, f"received {MAX_STRAYS} responses that do not match the query"
    )


def _described(kind: FailureKind, detail: str, exchange: _DnsExchange) -> str:
    phase = exchange.timer.current
    if phase in {Phase.PROCESSING, Phase.TRANSFER}:
        return f"{exchange.peer}{' ' if kind is FailureKind.REFUSED else ': '}{detail}"
    return with_peer(kind, detail, phase, exchange.peer)
