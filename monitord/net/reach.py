"""The way to a peer: a host to an address, an address to what a socket takes.

What goes wrong on it is raised as `Ended`, and becomes a value where the exchange ends.
"""

import errno
import os
import re
import socket
from ipaddress import ip_address

from monitord.net.faults import FaultKind
from monitord.net.phases import Phase, PhaseTimer
from monitord.net.resolver import IpFamily, ResolveError, Resolver, literal_address

MAX_HOST_CHARACTERS = 253
"""RFC 1035, section 2.3.4, without the dot at the end."""

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?", re.ASCII)

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


class Ended(Exception):  # noqa: N818 - not an error: an end found by ourselves
    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def parse_host(text: str) -> str:
    """A name or an address, alone. Raises ValueError("problem; hint")."""
    host = text.strip()
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if literal_address(bare) is not None:
        return bare
    try:
        name = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        name = ""
    if not _HOST_NAME.fullmatch(name) or ".." in name or len(name.rstrip(".")) > MAX_HOST_CHARACTERS:
        raise ValueError('is not a host; write a name or an address, such as "192.0.2.1", and nothing else')
    return name.lower()


def ip_version(address: str) -> int:
    return 6 if ":" in address else 4


def is_this_host(host: str) -> bool:
    """Whether the way there crosses no network: a loopback address, or "localhost" (RFC 6761, section 6.3)."""
    if literal_address(host) is not None:
        return ip_address(host.partition("%")[0]).is_loopback
    return host.rstrip(".").lower().rpartition(".")[2] == "localhost"


def has_family(host: str, family: IpFamily) -> bool:
    """Whether the host can have an address of the family: any name can."""
    version = literal_address(host)
    return version is None or family in {IpFamily.ANY, IpFamily(version)}


async def find_address(resolver: Resolver, host: str, family: IpFamily, timer: PhaseTimer) -> str:
    """The best address of a host; an address is its own. Raises Ended; the caller has the deadline."""
    if literal_address(host) is not None:
        return host
    timer.enter(Phase.RESOLVE)
    try:
        addresses = await resolver.resolve(host.rstrip("."), family, timer)
    except ResolveError as error:
        kind = FaultKind.PROBER_EXHAUSTED if error.is_ours else FaultKind.RESOLVE_FAILED
        raise Ended(kind, f"resolve {host}: {error.problem}") from None
    timer.pause()
    return addresses[0]


def socket_address(address: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """For connect(2). A zone ("fe80::1%eth0") becomes a number; OSError when there is no such interface."""
    family = socket.AF_INET6 if ip_version(address) == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
    # AI_NUMERICHOST: nothing is looked up, so nothing blocks.
    try:
        found = socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # its number is no errno
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
    place: SocketAddress = found[0][4]  # type: ignore[assignment]
    return family, place
