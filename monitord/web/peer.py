"""The client of a connection and its state, as reported by the kernel."""

import ipaddress
import os
import select
import socket
import struct
from dataclasses import dataclass
from typing import Any

_SO_PEERGROUPS = 59  # linux/asm-generic/socket.h; not in the socket module
_GROUPS_BYTES = 1024
"""The maximum of socket.getsockopt: 256 groups. If a process has more, `Peer.groups` is empty."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The client of a connection: an address over TCP, a process over a Unix socket."""

    address: str | None = None
    port: int | None = None
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    groups: frozenset[int] = frozenset()  # supplementary groups

    @property
    def network(self) -> str | None:
        """The network of a TCP client; see `client_network`."""
        return None if self.address is None else client_network(self.address)

    @property
    def is_local(self) -> bool:
        """Whether the client is on this machine: on a Unix socket or a loopback address."""
        return self.uid is not None or self.address == "::1" or (self.address or "").startswith("127.")


def get_peer(endpoint: Any) -> Peer:
    """Return the peer of a transport's socket. The socket of uvloop has no getsockopt, so a duplicate is used."""
    try:
        with socket.fromfd(endpoint.fileno(), endpoint.family, endpoint.type) as duplicate:
            if duplicate.family == socket.AF_UNIX:
                pid, uid, gid = struct.unpack(
                    "3i", duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                )
                try:
                    groups = duplicate.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
                except OSError:
                    groups = b""
                return Peer(
                    uid=uid, gid=gid, pid=pid, groups=frozenset(struct.unpack(f"{len(groups) // 4}I", groups))
                )
            address, port, *_ = duplicate.getpeername()
            return Peer(address=address, port=port)
    except OSError:  # the client has disconnected, or the socket is closed
        return Peer()


def client_network(address: str) -> str:
    """Return the network that counts as a single client: an IPv4 address, or an IPv6 network of 64 bits (RFC 6177).

    Other text is returned unchanged.
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
    """Return whether the client on a Unix socket runs as root or as the user of this process."""
    return get_peer(endpoint).uid in {0, os.geteuid()}


def has_hung_up(descriptor: int) -> bool:
    """Return whether the client has closed both directions of the connection."""
    poll = select.poll()
    poll.register(descriptor, 0)  # POLLHUP is always reported
    return bool(poll.poll(0))


def has_unread_bytes(descriptor: int) -> bool:
    """Return whether there is unread data from the client, or an unread end of file."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
