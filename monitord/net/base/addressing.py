"""Parse hosts, resolve them to addresses, and connect sockets.

Parsers raise ValueError. `find_address` raises ExchangeError, `connect_socket` ExchangeError or OSError; the clients
turn both into outcomes.
"""

import asyncio
import contextlib
import errno
import os
import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote

from yarl import URL

from monitord.errors import InvalidValueError
from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.base.phases import Phase, PhaseTimer
from monitord.net.base.resolver import IpFamily, ResolveError, Resolver, literal_address

MAX_HOST_CHARACTERS = 253
"""RFC 1035, section 2.3.4, without the trailing dot."""

MAX_LABEL_CHARACTERS = 63
MAX_SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 bytes, one of them the terminating NUL."""

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_NOT_A_HOST = 'is not a host; write only a host name or an IP address, such as "192.0.2.1"'
_ZONE = re.compile(r"[^\s/%\x00-\x1f\x7f]{1,15}")
"""The name of a network interface (IFNAMSIZ), or its index."""

_IP_BIND_ADDRESS_NO_PORT = 24
"""<linux/in.h>. bind(2) otherwise reserves a port for each address, even for addresses of IPv6."""

SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def parse_host(text: str) -> str:
    """Return the host name in ASCII, or the address without brackets. Raises ValueError.

    An address in brackets has the syntax of URLs: "%25" begins a zone (RFC 6874, section 2), and "%" is accepted too.
    """
    host = text.strip()
    bare = host
    if host.startswith("[") and host.endswith("]"):
        address, percent, zone = host[1:-1].partition("%")
        bare = address + percent + (unquote(zone[2:]) if zone.startswith("25") else zone)
    version = literal_address(bare)
    _, percent, zone = bare.partition("%")
    is_valid_zone = not percent or _ZONE.fullmatch(zone) is not None
    if version is not None and is_valid_zone and (bare is host or version == 6):  # noqa: PLR2004 - IPv6
        return bare
    try:
        # Limit the length first: the time of IDNA encoding is quadratic in it (CVE-2024-3651).
        # IDNA 2008 and the mapping of UTS 46, as in curl and browsers: Python's codec implements IDNA 2003, which maps
        # "straße.de" to "strasse.de", another host.
        name = (
            host
            if host.isascii()
            else URL.build(scheme="http", host=host[: MAX_HOST_CHARACTERS + 1]).raw_host or ""
        )
    except ValueError:
        name = ""
    labels = name.rstrip(".").split(".")
    if (
        not _HOST_NAME.fullmatch(name)
        or not all(0 < len(label) <= MAX_LABEL_CHARACTERS for label in labels)
        or len(name.rstrip(".")) > MAX_HOST_CHARACTERS
    ):
        raise ValueError(_NOT_A_HOST)
    if not _NUMBER.fullmatch(labels[-1]):
        return name.lower()
    # "127.1" or "0x7f000001", as in getaddrinfo(3) and browsers. No host name ends in a number.
    try:
        return socket.inet_ntoa(socket.inet_aton(name.rstrip(".")))
    except OSError:
        raise ValueError(_NOT_A_HOST) from None


def parse_socket_path(text: str) -> str:
    """Return the path in "unix:/path". Raises InvalidValueError."""
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path:
        raise InvalidValueError("is not the path of a socket", 'write "unix:/run/name.sock"')
    if len(path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise InvalidValueError(
            f"is longer than {MAX_SOCKET_PATH_BYTES} bytes", "choose a shorter path (unix(7))"
        )
    return path


def ip_version(address: str) -> int:
    return 6 if ":" in address else 4


def is_loopback(host: str) -> bool:
    """Return whether the host is a loopback address or "localhost" (RFC 6761, section 6.3)."""
    version = literal_address(host)
    if version is not None:
        return host.startswith("127.") if version == 4 else ip_address(host.partition("%")[0]).is_loopback  # noqa: PLR2004
    return host.rstrip(".").lower().rpartition(".")[2] == "localhost"


def has_family(host: str, family: IpFamily) -> bool:
    """Return whether the host can have an address of the family. Always true for names."""
    version = literal_address(host)
    return version is None or family in {IpFamily.ANY, IpFamily(version)}


def family_mismatch(address: str) -> tuple[str, str]:
    """Return problem and hint for an `ip_family` that does not match the address."""
    version = literal_address(address)
    return f"the address {address} is an IPv{version} address", f"write ip_family = {version}, or remove it"


def host_and_port(host: str, port: int) -> str:
    """ "192.0.2.1:80", "[2001:db8::1]:80" """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def find_address(resolver: Resolver, host: str, family: IpFamily, timer: PhaseTimer) -> str:
    """Return the preferred address of a host, or the host if it is an address. Raises ExchangeError.

    Has no timeout: the caller sets the deadline.
    """
    if literal_address(host) is not None:
        return host
    timer.enter(Phase.RESOLVE)
    try:
        addresses = await resolver.resolve(host.rstrip("."), family, timer)
    except ResolveError as error:
        kind = FailureKind.PROBER_EXHAUSTED if error.is_probe_error else FailureKind.RESOLVE_FAILED
        raise ExchangeError(kind, f"name resolution of {host}: {error.problem}") from None
    timer.pause()
    return addresses[0]


def socket_address(address: str, port: int) -> tuple[socket.AddressFamily, SocketAddress]:
    """Return family and address for connect(2). A zone ("fe80::1%eth0") becomes an interface index.

    Raises OSError if the interface does not exist.
    """
    family = socket.AF_INET6 if ip_version(address) == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
    # AI_NUMERICHOST: there is no name resolution, so the call does not block.
    try:
        infos = socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # its code is not an errno
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
    resolved: SocketAddress = infos[0][4]  # type: ignore[assignment]
    return family, resolved


@dataclass(frozen=True, slots=True)
class SourceAddresses:
    """Addresses of this host for outgoing connections, at most one of each family. None: the kernel chooses."""

    ipv4: str | None = None
    ipv6: str | None = None

    def __bool__(self) -> bool:
        return self.ipv4 is not None or self.ipv6 is not None

    def family(self, requested: IpFamily) -> IpFamily:
        """Return the family to which names are resolved: that of the only source address."""
        if requested is not IpFamily.ANY or (self.ipv4 is None) is (self.ipv6 is None):
            return requested
        return IpFamily.IPV6 if self.ipv4 is None else IpFamily.IPV4

    def bind(self, unbound: socket.socket, peer: str) -> None:
        """Bind a socket that will be connected to the peer. Raises ExchangeError if that is not possible."""
        if not self:
            return
        source = self.ipv4 if ip_version(peer) == 4 else self.ipv6  # noqa: PLR2004 - IPv4
        if source is None:
            raise ExchangeError(
                FailureKind.PROBER_SOURCE_ADDRESS,
                f"source_address has no IPv{ip_version(peer)} address for {peer}",
            )
        with contextlib.suppress(OSError):  # not every sandbox has it
            unbound.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            unbound.bind(socket_address(source, 0)[1])
        except OSError as error:
            if error.errno in {errno.EADDRNOTAVAIL, errno.ENODEV}:
                problem = f"source_address {source} is not an address of this host"
                raise ExchangeError(FailureKind.PROBER_SOURCE_ADDRESS, problem) from None
            problem = f"source_address {source}: {os.strerror(error.errno or 0)}"
            raise ExchangeError(FailureKind.PROBER_EXHAUSTED, problem) from None

    def failure_of_connect(self, error: OSError, peer: str) -> OSError | ExchangeError:
        """Return the failure of a connection from these addresses."""
        if self and error.errno == errno.EINVAL:  # such as from 127.0.0.1 to another host
            source = self.ipv4 if ip_version(peer) == 4 else self.ipv6  # noqa: PLR2004 - IPv4
            return ExchangeError(
                FailureKind.PROBER_SOURCE_ADDRESS,
                f"source_address {source} cannot be used to connect to {peer}",
            )
        return error


NO_SOURCE = SourceAddresses()


async def connect_socket(address: str, port: int, source: SourceAddresses = NO_SOURCE) -> socket.socket:
    """Return a connected socket. The caller closes it. Raises OSError, or ExchangeError because of `source`."""
    family, peer = socket_address(address, port)
    connected = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if len(peer) > 2 and peer[3]:  # noqa: PLR2004 - IPv6 with a zone
        # uvloop ignores the interface index and reads the zone from the text.
        peer = (f"{peer[0]}%{peer[3]}", *peer[1:])
    try:
        source.bind(connected, address)
        await asyncio.get_running_loop().sock_connect(connected, peer)
    except OSError as error:
        connected.close()
        raise source.failure_of_connect(error, address) from None
    except BaseException:
        connected.close()
        raise
    return connected
