"""Addresses on which the daemon listens, TCP addresses and Unix sockets, and its host names."""

import contextlib
import os
import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path

from monitord.config import Table, value_text
from monitord.errors import InvalidValueError

LARGEST_PORT = 65535

LONGEST_SOCKET_PATH = 107
"""Bytes; sun_path has 108 with the terminating null byte (unix(7))."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address of this machine and a port."""

    address: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        shown = f"[{self.address}]" if isinstance(self.address, IPv6Address) else str(self.address)
        return f"{shown}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Parse "127.0.0.1:9120" or "[::1]:9120". Raises InvalidValueError."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:([0-9]{1,5})|([0-9.]+):([0-9]{1,5})", text)
    listen_address = None
    if match is not None:
        with contextlib.suppress(AddressValueError):
            address = IPv6Address(match[1]) if match[1] else IPv4Address(match[3])
            listen_address = ListenAddress(address, int(match[2] or match[4]))
    if listen_address is None or not 0 < listen_address.port <= LARGEST_PORT:
        raise InvalidValueError("is not an address and a port", 'write "127.0.0.1:9120" or "[::1]:9120"')
    return listen_address


def read_socket_path(table: Table, key: str, example: str) -> Path | None:
    """Read the path of a Unix socket to listen on; None if the key is missing."""
    path = table.text(key, default=None)
    if path is None:
        return None
    if not path.startswith("/"):
        table.error(
            key, f"{value_text(path)} is not an absolute path", f"write a path such as {value_text(example)}"
        )
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        table.error(key, f"is longer than {LONGEST_SOCKET_PATH} bytes", "choose a shorter path (unix(7))")
    return Path(path)


def parse_host_name(text: str) -> str:
    """Parse a host name or an address without a port; in lower case. Raises InvalidValueError."""
    name = text.lower().removesuffix(".")
    if not re.fullmatch(
        r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|[0-9a-f:.]*:[0-9a-f:.]*", name
    ):
        raise InvalidValueError(
            "is not a host name", 'write it without scheme and port: "monitor.example.org"'
        )
    return name


def host_name(host: str) -> str:
    """The name in a Host field, in lower case, without port and trailing dot."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")
