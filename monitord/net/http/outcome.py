"""Outcomes of an exchange, and the classification of aiohttp's exceptions.

`ExchangeProgress` is updated during an exchange, so that a failure names the phase and the address.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from monitord.net.base.errors import FailureKind, failure_of_error, with_peer
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.tls import TlsFields, tls_fields
from monitord.net.http.request import HttpRequest
from monitord.net.http.response import Deviation, ResponseParser
from monitord.net.http.url import Target


@dataclass(frozen=True, slots=True)
class Hop:
    """A redirect response. `tls` is None for plain HTTP."""

    target: Target
    status: int
    tls: TlsFields | None


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """A received response.

    - `body`: the decoded body; None if the request does not read it, or if it could not be decoded: `body_problem`
      is the reason then.
    - `beginning`: the decoded beginning of the body, up to BEGINNING_BYTES.
    - `body_bytes`: the size of the body before decoding; None if only the head was received.
    - `phases`: all phases, in seconds; 0.0 for phases that were not needed.
    - `target`, `address`, `tls`: those of the last connection. `hops` are the redirects before it.
    - `address`: "192.0.2.1" or "2001:db8::1", or the path of a Unix socket; with a proxy, the address of the proxy.
    """

    status: int
    reason_phrase: str
    headers: Mapping[str, str]
    http_version: str
    body: bytes | None
    beginning: bytes
    body_bytes: int | None
    redirects: int
    address: str
    ip_version: int | None
    phases: Mapping[Phase, float]
    duration_s: float
    tls: TlsFields | None
    target: Target | None = None
    hops: tuple[Hop, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    body_problem: str = ""


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """A failed exchange. `detail` is a message without secrets; `phases` contains the phases that were reached.

    `status` and `headers` are those of the last response if its head was received and its body failed.
    """

    kind: FailureKind
    detail: str
    phases: Mapping[Phase, float]
    duration_s: float
    redirects: int
    address: str | None
    ip_version: int | None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


HttpOutcome = HttpExchange | HttpFailure


class Abandoned(Exception):  # noqa: N818 - a wrapper around an error
    """Wraps an error of aiohttp's, so that aiohttp does not send the request again because of it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@dataclass(slots=True)
class ExchangeProgress:
    """State of a running exchange, from which a failure is described."""

    timer: PhaseTimer
    request: HttpRequest
    deadline: float
    """In the time of time.monotonic()."""
    method: str = "GET"
    redirects: int = 0
    hops: tuple[Hop, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    """Deviations in the responses of the redirects."""
    target: Target | None = None
    peer: str = ""
    address: str | None = None
    ip_version: int | None = None
    untried_address: str | None = None
    """An address of the name that is not tried, of the other address family."""
    is_reused: bool = False
    """Whether the connection was used for an earlier exchange."""
    wants_fresh: bool = False
    """Whether a new connection must be used."""
    has_raw_bytes: bool = False
    """Whether the head of the request contains bytes that are not UTF-8."""
    is_stream: bool = False
    """Whether the body is passed on in pieces, so that its size has no limit."""
    parser: ResponseParser | None = None
    """The parser of the current response."""
    transport: asyncio.Transport | None = None
    tls: ssl.SSLObject | None = None

    @property
    def is_reused_and_silent(self) -> bool:
        """Whether a persistent connection is in use on which no byte of the response has been received."""
        return self.is_reused and (self.parser is None or not self.parser.received_bytes)

    @property
    def has_no_head(self) -> bool:
        return self.parser is None or self.parser.head is None

    def adopt(self, other: "ExchangeProgress") -> None:
        """Continue with the connection of another attempt at the same request."""
        self.timer.enter(other.timer.current)
        self.address, self.ip_version, self.peer = other.address, other.ip_version, other.peer
        self.untried_address, self.is_reused = other.untried_address, other.is_reused
        self.parser, self.transport, self.tls = other.parser, other.transport, other.tls
        other.release()

    def tls_fields(self, *, certificate: bool) -> TlsFields | None:
        return None if self.tls is None else tls_fields(self.tls, certificate=certificate)

    def release(self) -> None:
        """Drop the references to the connection."""
        # The callbacks of the connection refer to the context, and the context to this object: a reference cycle with
        # buffers and a TLS state, which only the garbage collector would free.
        self.transport = self.tls = None


def by_head(failure: HttpFailure, progress: ExchangeProgress) -> HttpExchange | None:
    """Return the response with the part of its head received before the failure; None without a status line."""
    head = None if progress.parser is None else progress.parser.head_so_far()
    if head is None:
        return None
    return HttpExchange(
        status=head.status,
        reason_phrase=head.reason,
        headers=head.headers,
        http_version=".".join(map(str, head.version)),
        body=None,
        beginning=b"",
        body_bytes=None,
        redirects=failure.redirects,
        address=failure.address or "",
        ip_version=failure.ip_version,
        phases=dict.fromkeys(Phase, 0.0) | dict(failure.phases),
        duration_s=failure.duration_s,
        tls=None,
        target=progress.target,
        hops=progress.hops,
    )


def failure_of(error: Exception, progress: ExchangeProgress) -> tuple[FailureKind, str]:
    phase = progress.timer.current
    if isinstance(error, aiohttp.ServerDisconnectedError):
        kind, detail = FailureKind.RESET, "the peer closed the connection without a response"
    elif (cause := _system_error(error)) is not None:
        kind, detail = failure_of_error(cause, phase)
    else:
        kind, detail = FailureKind.PROTOCOL_ERROR, "the response is not valid HTTP"
    return kind, described(kind, detail, progress)


def _system_error(error: BaseException) -> OSError | None:
    """Return the error of the socket or of OpenSSL inside an exception of aiohttp's."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause
    if not isinstance(error, OSError):
        return None
    # aiohttp builds a ClientOSError from the arguments of an SSLError, whose number is not an errno.
    if alert := re.match(r"\[SSL: (\w+)\]", str(error.strerror or "")):
        original = ssl.SSLError(*error.args)
        original.reason = alert[1]
        return original
    return error


def described(kind: FailureKind, detail: str, progress: ExchangeProgress) -> str:
    phase, other = progress.timer.current, progress.untried_address
    if phase is Phase.CONNECT and other:
        detail += f" (its address {other} was not tried: see ip_family, all_addresses)"
    return with_peer(kind, detail, phase, progress.peer)
