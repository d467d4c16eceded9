"""Clients that wait at the passed sockets of a daemon that does not start: each is told why, and goes.

Left in the backlog they would have the service manager start the daemon again and again, and wait for the next one.
"""

import contextlib
import re
import socket
from collections.abc import Iterable

from monitord.status.access.security import is_local_host
from monitord.systemd.environment import ServiceEnvironment
from monitord.systemd.sockets import listening_sockets

MOST_CLIENTS = 1000
REQUEST_BYTES = 65536
SEND_WITHIN_S = 0.5

_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)
_TO_OTHERS = "monitord did not start: its configuration is refused\n"


def turn_away(service: ServiceEnvironment, why: str) -> int:
    """How many. `why` is for those at a socket in the file system, which has a mode; others hear that it is so."""
    try:
        passed = listening_sockets(service)
    except ValueError:  # told where the daemon starts; nobody waits at what is no socket
        return 0
    count = 0
    for one in (one for group in passed.values() for one in group):
        said = f"{_TO_OTHERS}{why}\n" if one.family == socket.AF_UNIX else _TO_OTHERS
        with one:
            for client in _waiting(one):
                _tell(client, said)
                count += 1
    return count


def _waiting(listening: socket.socket) -> Iterable[socket.socket]:
    for _ in range(MOST_CLIENTS):
        try:
            client, _address = listening.accept()
        except OSError:  # nobody does
            return
        yield client


def _tell(client: socket.socket, said: str) -> None:
    request = b""
    with client, contextlib.suppress(OSError):
        client.setblocking(False)
        # What it has asked is taken, or closing would reset the connection before it has read.
        with contextlib.suppress(BlockingIOError):
            request = client.recv(REQUEST_BYTES)
        host = _HOST.search(request)
        # As `status.security` does: a page of another site may have its name resolve to a forwarded socket.
        is_foreign = host is not None and bool(host[1]) and not is_local_host(host[1].decode("latin-1"), None)
        client.settimeout(SEND_WITHIN_S)
        client.sendall(_answer(_TO_OTHERS if is_foreign else said))
        client.shutdown(socket.SHUT_WR)


def _answer(said: str) -> bytes:
    body = said.encode(errors="replace")
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Monitord-Start: refused\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
