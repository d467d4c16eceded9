"""The way to a peer: a host to an address, an address to what a socket takes.

What goes wrong on it is raised as `Ended`, and becomes a value where the exchange ends.
"""

import asyncio
import errno
import os
import re
import socket
from ipaddress import ip_address
from urllib.parse import unquote

from yarl import URL

from monitord.net.base.errors import Ended, FailureKind
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import IpFamily, ResolveError, Resolver, literal_address

MAX_HOST_CHARACTERS = 253
"""RFC 1035, section 2.3.4, without the dot at the end."""

MAX_LABEL_CHARACTERS = 63

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_NOT_A_HOST = 'is not a host; write a name or an address, such as "192.0.2.1", and nothing else'
_ZONE = re.compile(r"[^\s/%\x00-\x1f\x7f]{1,15}")
"""The name of an interface (IFNAMSIZ), or its number."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def parse_host(text: str) -> str:
    """A name in ASCII or an address, alone. Raises InvalidValueError.

    In brackets an address is written as in a URL, where "%25" begins a zone (RFC 6874, section 2); "%" does as well.
    """
    host = text.strip()
    bare = host
    if host.startswith("[") and host.endswith("]"):
        address, percent, zone = host[1:-1].partition("%")
        bare = address + percent + (unquote(zone[2:]) if zone.startswith("25") else zone)
    version = literal_address(bare)
    _, percent, zone = bare.partition("%")
    is_good_zone = not percent or _ZONE.fullmatch(zone) is not None
    if version is not None and is_good_zone and (bare is host or version == 6):  # noqa: PLR2004 - IPv6
        return bare
    try:
        # The length first: IDNA takes time in the square of it (CVE-2024-3651).
        name = host if host.isascii() else _to_ascii(host[: MAX_HOST_CHARACTERS + 1])
    except ValueError:
        name = ""
    labels = name.rstrip(".").split(".")
    if (
        not _HOST_NAME.fullmatch(name)
        or not all(0 < len(label) <= MAX_LABEL_CHARACTERS for label in labels)
        or len(name.rstrip(".")) > MAX_HOST_CHARACTERS
    ):
        raise ValueError(_NOT_A_HOST)
    return _dotted(name) if _NUMBER.fullmatch(labels[-1]) else name.lower()


def _dotted(name: str) -> str:
    """The address of "127.1" or "0x7f000001" as getaddrinfo(3) and browsers read it; no name ends in a number."""
    try:
        return socket.inet_ntoa(socket.inet_aton(name.rstrip(".")))
    except OSError:
        raise ValueError(_NOT_A_HOST) from None


def _to_ascii(name: str) -> str:
    """By IDNA 2008 and the mapping of UTS 46, as curl and browsers do. Raises ValueError."""
    # Python's codec is of IDNA 2003, which sends "straße.de" to the host of "strasse.de".
    return URL.build(scheme="http", host=name).raw_host or ""


def ip_version(address: str) -> int:
    return 6 if ":" in address else 4


def is_this_host(host: str) -> bool:
    """Whether the way there crosses no network: a loopback address, or "localhost" (RFC 6761, section 6.3)."""
    version = literal_address(host)
    if version is not None:
        return host.startswith("127.") if version == 4 else ip_address(host.partition("%")[0]).is_loopback  # noqa: PLR2004
    return host.rstrip(".").lower().rpartition(".")[2] == "localhost"


def has_family(host: str, family: IpFamily) -> bool:
    """Whether the host can have an address of the family: any name can."""
    version = literal_address(host)
    return version is None or family in {IpFamily.ANY, IpFamily(version)}


def host_and_port(host: str, port: int) -> str:
    """ "192.0.2.1:80", "[2001:db8::1]:80" """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def find_address(resolver: Resolver, host: str, family: IpFamily, timer: PhaseTimer) -> str:
    """The best address of a host; an address is its own. Raises Ended; the caller has the deadline."""
    if literal_address(host) is not None:
        return host
    timer.enter(Phase.RESOLVE)
    try:
        addresses = await resolver.resolve(host.rstrip("."), family, timer)
    except ResolveError as error:
        kind = FailureKind.PROBER_EXHAUSTED if error.is_probe_error else FailureKind.RESOLVE_FAILED
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


async def connect_socket(address: str, port: int) -> socket.socket:
    """A connected socket, which the caller closes. Raises OSError."""
    family, place = socket_address(address, port)
    connected = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if len(place) > 2 and place[3]:  # noqa: PLR2004 - IPv6 with a zone
        # uvloop ignores the number of the interface and reads the zone in the text.
        place = (f"{place[0]}%{place[3]}", *place[1:])
    try:
        await asyncio.get_running_loop().sock_connect(connected, place)
    except BaseException:
        connected.close()
        raise
    return connected
