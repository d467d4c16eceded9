"""One question to one DNS server, over UDP, TCP or TLS, with its phases timed and its failures named.

The sockets are ours: those of dnspython do not tell a closed port from a silent server, nor what they were
waiting for, and differ in that from one version to the next. Its messages are in `dns_message`.

A question is asked once: no retry hides a loss. A datagram that does not belong to the question is passed over,
as anybody can send one (RFC 5452, section 3), and told if nothing better comes.
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

from monitord.net.base.addressing import connect_socket, find_address, host_and_port, socket_address
from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import Ended, FailureKind, failure_of_error, failure_of_timeout, with_place
from monitord.net.base.libraries import import_problem
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import IpFamily, Resolver
from monitord.net.base.tls import Handshake, TlsContexts, TlsFields, TlsOptions, current_handshake, tls_fields

MAX_MESSAGE_BYTES = 65535
MAX_STRAYS = 64
"""Datagrams that do not belong to the question, until it is given up."""

# RFC 1035, section 4.1.1
_HEADER = struct.Struct("!HH")
_RESPONSE = 0x8000
_TRUNCATED = 0x0200
# RFC 1035, section 4.2.2
_LENGTH = struct.Struct("!H")


def library_problem() -> str | None:
    """Why dnspython cannot be used; None: it can."""
    return import_problem("dns.message")


class DnsProtocol(Enum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class DnsQuestion:
    """What is asked. `name` is absolute."""

    name: str
    record_type: str = "A"
    wants_recursion: bool = True


@dataclass(frozen=True, slots=True)
class DnsServer:
    """Whom to ask. `server_name`: what its certificate must be good for; None: its host."""

    host: str
    port: int
    protocol: DnsProtocol = DnsProtocol.UDP
    ip_family: IpFamily = IpFamily.ANY
    tls: TlsOptions = field(default_factory=TlsOptions)
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What the server said, whatever it means: see `dns_message.DnsMessage`.

    `protocol` is the one by which it came: TCP after a UDP answer that was cut short (`was_truncated`).
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
    """No usable message came."""

    kind: FailureKind
    detail: str
    address: str | None
    phases: Mapping[Phase, float]
    duration_s: float


DnsOutcome = DnsAnswer | DnsFailure


@dataclass(slots=True)
class _Exchange:
    """How far it has come; what a failure is told from."""

    server: DnsServer
    number: int
    wire: bytes
    timer: PhaseTimer
    address: str = ""
    strays: int = 0
    was_truncated: bool = False
    tls: TlsFields | None = None

    @property
    def place(self) -> str:
        return host_and_port(self.address, self.server.port) if self.address else self.server.host

    def owns(self, wire: bytes) -> bool:
        """By the header alone: what bears our number, but cannot be read, is the server's failure."""
        if len(wire) < _HEADER.size:
            return False
        number, flags = _HEADER.unpack_from(wire)
        return number == self.number and bool(flags & _RESPONSE)


class DnsClient:
    """Holds nothing between questions."""

    def __init__(self, resolver: Resolver, tls_contexts: TlsContexts) -> None:
        self._resolver = resolver
        self._tls_contexts = tls_contexts

    async def ask(self, question: DnsQuestion, server: DnsServer, *, deadline: float) -> DnsOutcome:
        """One exchange, ended by `deadline` (time.monotonic()). An expected failure is a `DnsFailure`.

        Raises ImportError without dnspython.
        """
        from monitord.net.dns.message import DnsQuery  # noqa: PLC0415 - a library that need not be there

        query = DnsQuery(question.name, question.record_type, wants_recursion=question.wants_recursion)
        exchange = _Exchange(server, query.number, query.wire, PhaseTimer())
        timer = exchange.timer
        try:
            async with Deadline(deadline - time.monotonic()):
                wire, protocol = await self._exchange(exchange)
            timer.pause()
            try:
                said = query.read(wire)
            except ValueError as error:  # an ssl.SSLCertVerificationError is one as well, so: here alone
                raise Ended(FailureKind.PROTOCOL_ERROR, str(error)) from None
        except Ended as end:
            kind, detail = end.kind, end.detail
        except TimeoutError:
            kind, detail = _failure_of_silence(exchange)
        except OSError as error:
            kind, detail = failure_of_error(error, timer.current)
            detail = _placed(kind, detail, exchange)
        else:
            return DnsAnswer(
                rcode=said.rcode,
                answers=said.answers,
                ttl_s=said.ttl_s,
                serial=said.serial,
                is_authoritative=said.is_authoritative,
                is_authenticated=said.is_authenticated,
                protocol=protocol,
                was_truncated=exchange.was_truncated,
                address=exchange.address,
                phases=timer.read(),
                duration_s=timer.elapsed_s(),
                tls=exchange.tls,
            )
        return DnsFailure(kind, detail, exchange.address or None, timer.read(), timer.elapsed_s())

    async def _exchange(self, exchange: _Exchange) -> tuple[bytes, DnsProtocol]:
        """The message that answers, unread but for its header, and how it came."""
        server = exchange.server
        exchange.address = await find_address(self._resolver, server.host, server.ip_family, exchange.timer)
        protocol = server.protocol
        if protocol is DnsProtocol.UDP:
            wire = await _ask_by_datagram(exchange)
            if not _HEADER.unpack_from(wire)[1] & _TRUNCATED:
                return wire, protocol
            exchange.was_truncated = True
            protocol = DnsProtocol.TCP
        return await self._ask_by_stream(exchange, by_tls=protocol is DnsProtocol.TLS), protocol

    async def _ask_by_stream(self, exchange: _Exchange, *, by_tls: bool) -> bytes:
        exchange.timer.enter(Phase.CONNECT)
        reader, writer = await self._open(exchange, by_tls=by_tls)
        try:
            exchange.timer.enter(Phase.PROCESSING)
            writer.write(_LENGTH.pack(len(exchange.wire)) + exchange.wire)
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            wire = await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise Ended(
                FailureKind.RESET, f"{exchange.place}: the server closed the connection without an answer"
            ) from None
        finally:
            writer.transport.abort()
        if not exchange.owns(wire):
            raise Ended(FailureKind.PROTOCOL_ERROR, "the answer does not belong to the question")
        return wire

    async def _open(
        self, exchange: _Exchange, *, by_tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        server = exchange.server
        if not by_tls:
            return await asyncio.open_connection(sock=await connect_socket(exchange.address, server.port))
        try:
            context = self._tls_contexts.get(server.tls)
        except ValueError as error:
            raise Ended(FailureKind.TLS_FAILED, str(error)) from None
        connected = await connect_socket(exchange.address, server.port)
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


async def _ask_by_datagram(exchange: _Exchange) -> bytes:
    loop = asyncio.get_running_loop()
    exchange.timer.enter(Phase.CONNECT)
    family, place = socket_address(exchange.address, exchange.server.port)
    # A connected socket hears only its peer, and hears when its peer's port is closed.
    with closing(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)) as connected:
        connected.connect(place)
        connected.send(exchange.wire)
        exchange.timer.enter(Phase.PROCESSING)
        while exchange.strays < MAX_STRAYS:
            try:
                wire = await loop.sock_recv(connected, MAX_MESSAGE_BYTES)
            except OSError as error:
                # An ICMP message of the host or of a router, as connect(2) of a stream would report it.
                kind, detail = failure_of_error(error, Phase.CONNECT)
                raise Ended(kind, _placed(kind, detail, exchange)) from None
            if exchange.owns(wire):
                return wire
            exchange.strays += 1
    raise Ended(FailureKind.PROTOCOL_ERROR, f"{MAX_STRAYS} answers that do not belong to the question came")


def _failure_of_silence(exchange: _Exchange) -> tuple[FailureKind, str]:
    if exchange.strays:
        return FailureKind.PROTOCOL_ERROR, "nothing but answers that do not belong to the question came"
    kind, detail = failure_of_timeout(exchange.timer)
    return kind, _placed(kind, detail, exchange)


def _placed(kind: FailureKind, detail: str, exchange: _Exchange) -> str:
    phase = exchange.timer.current
    if phase in {Phase.PROCESSING, Phase.TRANSFER}:
        return f"{exchange.place}{' ' if kind is FailureKind.REFUSED else ': '}{detail}"
    return with_place(kind, detail, phase, exchange.place)
