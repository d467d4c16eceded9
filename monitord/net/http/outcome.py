"""What an exchange comes to, a response or a failure, and how a failure is told from what aiohttp raises.

`Progress` is what an exchange leaves behind as it goes, so that a failure can say where it was met.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from monitord.net.base.errors import FailureKind, failure_of_error, with_place
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.tls import TlsFields, tls_fields
from monitord.net.http.request import HttpRequest
from monitord.net.http.response import Deviation, ResponseParser
from monitord.net.http.url import Target


@dataclass(frozen=True, slots=True)
class Hop:
    """A response that redirected. `tls` is None for plain HTTP."""

    target: Target
    status: int
    tls: TlsFields | None


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """A response that came to its end, or whose head is all that was wanted (`body_bytes` is None then).

    `body` is None unless it was wanted, and decoded if it was compressed. Where it could not be decoded, `body` is
    None and `body_problem` says why. `beginning` is the first of it, wanted or
    not. `body_bytes` counts the body as it was sent. All phases are there, in seconds, 0.0 for one that was not needed.
    `target`, `address` and `tls` are of the last connection; `hops` are the redirects before it.
    `address` is "192.0.2.1" or "2001:db8::1", or the path of a Unix socket; behind a proxy it is the proxy's.
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
    """No usable response. `detail` is for people and holds no secret; `phases` has those that were reached.

    `status` and `headers` are those of the last response if its head has arrived: the failure is in its body then.
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


class Abandoned(Exception):  # noqa: N818 - not an error of its own: the wrapping of one
    """Carries an error of aiohttp's past aiohttp, which would take it as a cause to send the request again."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@dataclass(slots=True)
class Progress:
    """How far an exchange has come; what a failure is told from."""

    timer: PhaseTimer
    request: HttpRequest
    deadline: float
    """time.monotonic()."""
    method: str = "GET"
    redirects: int = 0
    hops: tuple[Hop, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    """Of the redirects."""
    target: Target | None = None
    place: str = ""
    address: str | None = None
    ip_version: int | None = None
    other_family: str | None = (
        None  # an address of the name that was not asked, where this family's does not answer
    )
    is_reused: bool = False
    """The connection served an exchange before."""
    wants_fresh: bool = False
    """No kept connection is to be used."""
    has_raw_bytes: bool = False
    """The head of the request has bytes that are not UTF-8."""
    parser: ResponseParser | None = None
    """Of the response under way."""
    transport: asyncio.Transport | None = None
    tls: ssl.SSLObject | None = None

    @property
    def proves_nothing(self) -> bool:
        """Whether a kept connection is in use on which no byte has come back."""
        return self.is_reused and (self.parser is None or not self.parser.received_bytes)

    @property
    def has_no_head(self) -> bool:
        return self.parser is None or self.parser.head is None

    def adopt(self, other: "Progress") -> None:
        """Go on with the connection of another attempt at the same request."""
        self.timer.enter(other.timer.current)
        self.address, self.ip_version, self.place = other.address, other.ip_version, other.place
        self.other_family, self.is_reused = other.other_family, other.is_reused
        self.parser, self.transport, self.tls = other.parser, other.transport, other.tls
        other.release()

    def tls_fields(self, *, certificate: bool) -> TlsFields | None:
        return None if self.tls is None else tls_fields(self.tls, certificate=certificate)

    def release(self) -> None:
        """Let go of the connection. Its callbacks hold the context that holds this: a circle that only the collector
        would find, with buffers and a TLS state in it.
        """
        self.transport = self.tls = None


def by_head(failure: HttpFailure, progress: Progress) -> HttpExchange | None:
    """The response with the head, or its beginning, that arrived before the failure. None: no status line arrived."""
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


def failure_of(error: Exception, progress: Progress) -> tuple[FailureKind, str]:
    phase = progress.timer.current
    if isinstance(error, aiohttp.ServerDisconnectedError):
        kind, detail = FailureKind.RESET, "the peer closed the connection without an answer"
    elif (cause := _system_error(error)) is not None:
        kind, detail = failure_of_error(cause, phase)
    else:
        kind, detail = FailureKind.PROTOCOL_ERROR, "the exchange is not HTTP as we know it"
    return kind, placed(kind, detail, progress)


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


def placed(kind: FailureKind, detail: str, progress: Progress) -> str:
    phase, other = progress.timer.current, progress.other_family
    if phase is Phase.CONNECT and other:
        detail += f" (its address {other} was not asked: see ip_family, all_addresses)"
    return with_place(kind, detail, phase, progress.place)
