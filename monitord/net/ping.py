"""ICMP echo requests over the kernel's ping sockets, which need no privileges (icmp(7)).

icmplib creates the sockets and the packets. This module waits for the replies: Debian 12's version of icmplib blocks,
and every version measures with the wall clock and ignores the errors of routers. icmplib is optional: it is imported
when a socket is opened.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from monitord.net.base.addressing import NO_SOURCE, SourceAddresses, find_address, ip_version
from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import ExchangeError, FailureKind, failure_of_error, failure_of_timeout
from monitord.net.base.libraries import import_problem
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import IpFamily, Resolver

ALLOW_HINT = (
    'write "net.ipv4.ping_group_range = 0 2147483647" to /etc/sysctl.d/ping.conf, and run: sysctl --system'
)
MAX_COUNT = 100
MAX_PAYLOAD_BYTES = 8972
"""The payload of a jumbo frame."""
MAX_READS = 64
"""Packets read before other tasks run."""

_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence: RFC 792, RFC 4443
_ECHO_REPLY = {4: 0, 6: 129}

# <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>: constants that the socket module lacks.
_RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
_EXTENDED_ERROR = struct.Struct("=I")  # errno, followed by other fields
_ANCILLARY_BYTES = 256


def library_problem() -> str | None:
    """Return why icmplib cannot be used; None if it can."""
    return import_problem("icmplib")


@dataclass(frozen=True, slots=True)
class PingAnswers:
    """The replies to the requests of one check.

    `rtts_s` are the round-trip times of the answered requests. `error` is the last error that a router or this host
    reported for an undelivered request.
    """

    sent: int
    rtts_s: tuple[float, ...]
    error: str | None
    address: str
    resolve_s: float
    duration_s: float

    @property
    def loss_percent(self) -> float:
        return 100.0 * (self.sent - len(self.rtts_s)) / self.sent


@dataclass(frozen=True, slots=True)
class PingFailure:
    """No request could be sent."""

    kind: FailureKind
    detail: str
    address: str | None
    duration_s: float


PingOutcome = PingAnswers | PingFailure


class EchoSocket(Protocol):
    """A non-blocking ping socket for one address. Its methods raise BlockingIOError if there is no data."""

    def fileno(self) -> int: ...

    def bind(self, source: SourceAddresses) -> None:
        """Send from an address of this host. Raises ExchangeError if this host cannot use it."""
        ...

    def send(self, sequence: int, payload: bytes) -> None:
        """Send a request. Raises OSError."""
        ...

    def receive(self) -> int | None:
        """Return the sequence number of a reply; None for another packet. Raises OSError."""
        ...

    def receive_error(self) -> tuple[int | None, int]:
        """Return the sequence number of an undelivered request, if it is known, and the errno."""
        ...

    def close(self) -> None: ...


OpenEchoSocket = Callable[[str], EchoSocket]


def _open_unbound() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()


def are_pings_forbidden(
    *,
    to_everybody: bool,
    open_unbound: Callable[[], None] = _open_unbound,
    range_file: Path = Path("/proc/sys/net/ipv4/ping_group_range"),
) -> bool:
    """Return whether this host forbids ping sockets to this process, or to all groups (icmp(7))."""
    if to_everybody:
        with contextlib.suppress(OSError, ValueError):
            lowest, highest = map(int, range_file.read_text().split())
            return lowest > highest
        return False
    # With PrivateUsers=, the group IDs in the file are not those of the host.
    try:
        open_unbound()
    except PermissionError:
        return True
    except OSError:  # another, possibly temporary error
        return False
    return False


class IcmplibSocket:
    """An EchoSocket with icmplib."""

    def __init__(self, address: str) -> None:
        """Open the socket. Raises OSError, or ImportError without icmplib."""
        import icmplib  # noqa: PLC0415 - an optional library

        self._make_request = icmplib.ICMPRequest
        self._address = address
        version = ip_version(address)
        self._echo_reply = _ECHO_REPLY[version]
        with _system_errors(icmplib.ICMPLibError):
            self._icmp: Any = {4: icmplib.ICMPv4Socket, 6: icmplib.ICMPv6Socket}[version](privileged=False)
        # Before version 3 the socket has no public name.
        self._socket: socket.socket = getattr(self._icmp, "sock", None) or self._icmp._sock  # noqa: SLF001
        self._library_error = icmplib.ICMPLibError
        self._socket.setblocking(False)
        self._socket.setsockopt(*_RECVERR[version], 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def bind(self, source: SourceAddresses) -> None:
        source.bind(self._socket, self._address)

    def send(self, sequence: int, payload: bytes) -> None:
        # The kernel chooses the identifier and passes only replies to it.
        request = self._make_request(
            destination=self._address, id=0, sequence=sequence, payload=payload, payload_size=len(payload)
        )
        with _system_errors(self._library_error):
            self._icmp.send(request)

    def receive(self) -> int | None:
        packet = self._socket.recv(_ECHO.size)
        if len(packet) < _ECHO.size:
            return None
        kind, _, _, _, sequence = _ECHO.unpack(packet)
        return int(sequence) if kind == self._echo_reply else None

    def receive_error(self) -> tuple[int | None, int]:
        request, ancillary, _, _ = self._socket.recvmsg(_ECHO.size, _ANCILLARY_BYTES, socket.MSG_ERRQUEUE)
        number = errno.EHOSTUNREACH
        for level, kind, data in ancillary:
            if (level, kind) in _RECVERR.values() and len(data) >= _EXTENDED_ERROR.size:
                (number,) = _EXTENDED_ERROR.unpack_from(data)
        return (_ECHO.unpack(request)[4] if len(request) == _ECHO.size else None), number

    def close(self) -> None:
        self._icmp.close()


@contextmanager
def _system_errors(library_error: type[Exception]) -> Iterator[None]:
    """Raise the system error behind an error of icmplib, which has at most its text."""
    try:
        yield
    except library_error as error:
        cause = error.__context__
        if isinstance(cause, socket.gaierror):  # the zone is not an interface; the code is not an errno
            cause = OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        raise (cause if isinstance(cause, OSError) else OSError(errno.EIO, str(error))) from None


@dataclass(slots=True)
class _PingRun:
    """The requests of one check and their replies."""

    socket: EchoSocket
    sent_at: dict[int, float] = field(default_factory=dict)
    rtts_s: dict[int, float] = field(default_factory=dict)
    undelivered: set[int] = field(default_factory=set)
    error: str | None = None
    is_moved: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, sequence: int, payload: bytes) -> None:
        self.sent_at[sequence] = time.monotonic()
        try:
            self.socket.send(sequence, payload)
        except OSError as error:
            kind, detail = failure_of_error(error, Phase.CONNECT)
            if kind is FailureKind.PROBER_EXHAUSTED:
                raise ExchangeError(kind, detail) from None
            self._is_undelivered(sequence, error.errno or errno.EHOSTUNREACH)

    def read(self) -> None:
        """Read replies and errors. The event loop calls it when the socket is readable."""
        now = time.monotonic()
        for _ in range(MAX_READS):
            try:
                sequence = self.socket.receive()
            except OSError:  # no more data, or an error whose details are in the error queue
                break
            if sequence in self.sent_at and sequence not in self.rtts_s:
                self.rtts_s[sequence] = now - self.sent_at[sequence]
        for _ in range(MAX_READS):
            try:
                sequence, number = self.socket.receive_error()
            except OSError:
                break
            self._is_undelivered(sequence, number)
        self.is_moved.set()

    def is_complete(self) -> bool:
        return all(sequence in self.rtts_s or sequence in self.undelivered for sequence in self.sent_at)

    def _is_undelivered(self, sequence: int | None, number: int) -> None:
        self.error = os.strerror(number).lower()
        if sequence is not None:
            self.undelivered.add(sequence)


class Pinger:
    """Sends echo requests. Has no state between calls."""

    def __init__(self, resolver: Resolver, open_socket: OpenEchoSocket = IcmplibSocket) -> None:
        self._resolver = resolver
        self._open_socket = open_socket

    async def ping(
        self,
        host: str,
        *,
        ip_family: IpFamily = IpFamily.ANY,
        source: SourceAddresses = NO_SOURCE,
        count: int,
        interval_s: float,
        payload_bytes: int,
        deadline: float,
    ) -> PingOutcome:
        """Send `count` requests every `interval_s`, and wait for all replies or `deadline` (time.monotonic()).

        Raises ImportError without icmplib.
        """
        timer = PhaseTimer()
        address = None
        try:
            async with Deadline(deadline - time.monotonic()):
                address = await find_address(self._resolver, host, source.family(ip_family), timer)
            run = _PingRun(self._open(address, source))
            await _send_requests(run, count, interval_s, os.urandom(payload_bytes), deadline)
        except ExchangeError as error:
            kind, detail = error.kind, error.detail
        except TimeoutError:
            kind, detail = failure_of_timeout(timer)
            detail = f"name resolution of {host}: {detail}"
        else:
            if timer.has_lost_time() and not run.is_complete():
                # The missing replies may have had too little time to arrive.
                kind, detail = failure_of_timeout(timer)
                return PingFailure(kind, f"name resolution of {host}: {detail}", address, timer.elapsed_s())
            return PingAnswers(
                sent=len(run.sent_at),
                rtts_s=tuple(rtt_s for _, rtt_s in sorted(run.rtts_s.items())),
                error=run.error,
                address=address,
                resolve_s=timer.read().get(Phase.RESOLVE, 0.0),
                duration_s=timer.elapsed_s(),
            )
        return PingFailure(kind, detail, address, timer.elapsed_s())

    def _open(self, address: str, source: SourceAddresses) -> EchoSocket:
        try:
            opened = self._open_socket(address)
        except PermissionError:
            raise ExchangeError(
                FailureKind.PROBER_FORBIDDEN,
                f"ping sockets are not permitted for group {os.getegid()}; {ALLOW_HINT}",
            ) from None
        except OSError as error:
            kind, detail = failure_of_error(error, Phase.CONNECT)
            raise ExchangeError(kind, f"{address}: {detail}") from None
        try:
            opened.bind(source)
        except BaseException:
            opened.close()
            raise
        return opened


async def _send_requests(
    run: _PingRun, count: int, interval_s: float, payload: bytes, deadline: float
) -> None:
    """Send the requests, wait for the replies, and close the socket. Raises TimeoutError if nothing was sent."""
    loop = asyncio.get_running_loop()
    descriptor = run.socket.fileno()
    loop.add_reader(descriptor, run.read)
    began_s = time.monotonic()
    try:
        async with Deadline(deadline - began_s):
            for sequence in range(1, count + 1):
                due_s = began_s + (sequence - 1) * interval_s
                await asyncio.sleep(max(due_s - time.monotonic(), 0))
                run.send(sequence, payload)
            while not run.is_complete():
                run.is_moved.clear()
                await run.is_moved.wait()
    except TimeoutError:
        if not run.sent_at:
            raise
        return  # unanswered requests count as lost
    finally:
        loop.remove_reader(descriptor)
        run.socket.close()
