"""Who is at the other end of a connection, and whether anybody still is, as the kernel has it."""

import ipaddress
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import Any

_SO_PEERGROUPS = 59  # linux/asm-generic/socket.h; Python has no name for it
_GROUPS_BYTES = 1024  # the most that Python asks for: 256 groups; beyond them none are known


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: an address over TCP, a process over a Unix socket."""

    address: str | None = None
    port: int | None = None
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    groups: frozenset[int] = frozenset()  # supplementary ones

    @property
    def network(self) -> str | None:
        """What counts as one client over TCP: an IPv4 address, or an IPv6 network of 64 bits."""
        return None if self.address is None else client_network(self.address)

    @property
    def is_local(self) -> bool:
        """On this machine, as far as the kernel vouches for it."""
        return self.uid is not None or self.address == "::1" or (self.address or "").startswith("127.")


def peer_of(endpoint: Any) -> Peer:
    """`endpoint` is what the transport calls its socket; uvloop's has no getsockopt, so look through a copy."""
    try:
        with socket.fromfd(endpoint.fileno(), endpoint.family, endpoint.type) as own:
            if own.family == socket.AF_UNIX:
                return _process(own)
            address, port, *_ = own.getpeername()
            return Peer(address=address, port=port)
    except OSError:  # the client is gone already, and perhaps the socket closed
        return Peer()


def _process(own: socket.socket) -> Peer:
    pid, uid, gid = struct.unpack(
        "3i", own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    try:
        groups = own.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        groups = b""
    return Peer(uid=uid, gid=gid, pid=pid, groups=frozenset(struct.unpack(f"{len(groups) // 4}I", groups)))


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which one host can have for itself.

    (RFC 6177.) Other text is returned as it is.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    # A socket for both families shows IPv4 clients as IPv4-mapped addresses.
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))


def is_root_or_self(endpoint: Any) -> bool:
    """Whether the process at the other end of a Unix socket runs as root or as our own user."""
    return peer_of(endpoint).uid in {0, os.geteuid()}


def has_hung_up(descriptor: int) -> bool:
    """Whether it has closed both directions, and not only its own."""
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP is always told
    return bool(poll.poll(0))
