"""Echo requests to one host over the kernel's ping sockets, which need no privilege (icmp(7)).

icmplib makes the sockets and the packets. The waiting is ours: Debian 12's version only knows how to block, and
every version measures by the wall clock and drops what routers say. icmplib need not be installed: it is imported
where a socket is opened.
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

from monitord.net.base.addressing import find_address, ip_version
from monitord.net.base.deadline import Deadline
from monitord.net.base.errors import Ended, FailureKind, failure_of_error, failure_of_timeout
from monitord.net.base.libraries import import_problem
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import IpFamily, Resolver

ALLOW_HINT = 'write "net.ipv4.ping_group_range = 0 2147483647" to a file in /etc/sysctl.d'
MAX_COUNT = 100
MAX_PAYLOAD_BYTES = 8972
"""What a jumbo frame holds."""
MAX_READS = 64
"""Packets taken at a time, until others get their turn on the loop."""

_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence: RFC 792, RFC 4443
_ECHO_REPLY = {4: 0, 6: 129}

# <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>: what the socket module has no names for.
_RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
_EXTENDED_ERROR = struct.Struct("=I")  # errno, and more behind it
_ANCILLARY_BYTES = 256


def library_problem() -> str | None:
    """Why icmplib cannot be used; None: it can."""
    return import_problem("icmplib")


@dataclass(frozen=True, slots=True)
class PingAnswers:
    """`rtts_s`: the round trips of the requests that were answered.

    `error`: the last thing that a router or this host itself said of a request that could not be delivered.
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
    """Nothing could be sent."""

    kind: FailureKind
    detail: str
    address: str | None
    duration_s: float


PingOutcome = PingAnswers | PingFailure


class EchoSocket(Protocol):
    """A ping socket for one address; asked when it has nothing, it raises BlockingIOError."""

    def fileno(self) -> int: ...

    def send(self, sequence: int, payload: bytes) -> None:
        """Raises OSError."""
        ...

    def receive(self) -> int | None:
        """The number of an answer; None for what is none. Raises OSError."""
        ...

    def receive_error(self) -> tuple[int | None, int]:
        """The number of a request that was not delivered, if that is known, and the errno that says why."""
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
    """Whether the host allows ping sockets to no group of this process, or to no group at all (icmp(7))."""
    if to_everybody:
        with contextlib.suppress(OSError, ValueError):
            lowest, highest = map(int, range_file.read_text().split())
            return lowest > highest
        return False
    # Where PrivateUsers= is set, the numbers in the file are not those of the host.
    try:
        open_unbound()
    except PermissionError:
        return True
    except OSError:  # something else, which may be over when a check needs it
        return False
    return False


class IcmplibSocket:
    """An EchoSocket."""

    def __init__(self, address: str) -> None:
        """Raises OSError, or ImportError without icmplib."""
        import icmplib  # noqa: PLC0415 - a library that need not be there

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

    def send(self, sequence: int, payload: bytes) -> None:
        # The kernel chooses the identifier, and lets in answers to it alone.
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
    """The error of the system for icmplib's, which keeps its text at most."""
    try:
        yield
    except library_error as error:
        cause = error.__context__
        if isinstance(cause, socket.gaierror):  # of a zone that is no interface; its number is no errno
            cause = OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        raise (cause if isinstance(cause, OSError) else OSError(errno.EIO, str(error))) from None


@dataclass(slots=True)
class _Salvo:
    """The requests of one check, and what became of them."""

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
                raise Ended(kind, detail) from None
            self._is_undelivered(sequence, error.errno or errno.EHOSTUNREACH)

    def take(self) -> None:
        """Called by the loop whenever there is something to read, be it an error."""
        now = time.monotonic()
        for _ in range(MAX_READS):
            try:
                sequence = self.socket.receive()
            except OSError:  # nothing more, or an error whose whole story is in the other queue
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
    """Holds nothing between rounds."""

    def __init__(self, resolver: Resolver, open_socket: OpenEchoSocket = IcmplibSocket) -> None:
        self._resolver = resolver
        self._open_socket = open_socket

    async def ping(
        self,
        host: str,
        *,
        ip_family: IpFamily = IpFamily.ANY,
        count: int,
        interval_s: float,
        payload_bytes: int,
        deadline: float,
    ) -> PingOutcome:
        """`count` requests, `interval_s` apart, until all are answered or `deadline` (time.monotonic()).

        Raises ImportError without icmplib.
        """
        timer = PhaseTimer()
        address = None
        try:
            async with Deadline(deadline - time.monotonic()):
                address = await find_address(self._resolver, host, ip_family, timer)
            salvo = _Salvo(self._open(address))
            await _play(salvo, count, interval_s, os.urandom(payload_bytes), deadline)
        except Ended as end:
            kind, detail = end.kind, end.detail
        except TimeoutError:
            kind, detail = failure_of_timeout(timer)
            detail = f"resolve {host}: {detail}"
        else:
            if timer.has_lost_time() and not salvo.is_complete():
                # Missing answers may have had no time to arrive.
                kind, detail = failure_of_timeout(timer)
                return PingFailure(kind, f"resolve {host}: {detail}", address, timer.elapsed_s())
            return PingAnswers(
                sent=len(salvo.sent_at),
                rtts_s=tuple(rtt_s for _, rtt_s in sorted(salvo.rtts_s.items())),
                error=salvo.error,
                address=address,
                resolve_s=timer.read().get(Phase.RESOLVE, 0.0),
                duration_s=timer.elapsed_s(),
            )
        return PingFailure(kind, detail, address, timer.elapsed_s())

    def _open(self, address: str) -> EchoSocket:
        try:
            return self._open_socket(address)
        except PermissionError:
            raise Ended(
                FailureKind.PROBER_FORBIDDEN,
                f"this host forbids ping sockets to group {os.getegid()}; {ALLOW_HINT}",
            ) from None
        except OSError as error:
            kind, detail = failure_of_error(error, Phase.CONNECT)
            raise Ended(kind, f"{address}: {detail}") from None


async def _play(salvo: _Salvo, count: int, interval_s: float, payload: bytes, deadline: float) -> None:
    """Sends, and waits for what comes back. Closes the socket. Raises TimeoutError where there was no time to send."""
    loop = asyncio.get_running_loop()
    descriptor = salvo.socket.fileno()
    loop.add_reader(descriptor, salvo.take)
    began_s = time.monotonic()
    try:
        async with Deadline(deadline - began_s):
            for sequence in range(1, count + 1):
                due_s = began_s + (sequence - 1) * interval_s
                await asyncio.sleep(max(due_s - time.monotonic(), 0))
                salvo.send(sequence, payload)
            while not salvo.is_complete():
                salvo.is_moved.clear()
                await salvo.is_moved.wait()
    except TimeoutError:
        if not salvo.sent_at:
            raise
        return  # what was not answered is lost
    finally:
        loop.remove_reader(descriptor)
        salvo.socket.close()
