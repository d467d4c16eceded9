"""Answers clients that wait at the passed sockets of a daemon that does not start.

Clients in the backlog of a socket make the service manager start the daemon repeatedly.
"""

import contextlib
import re
import socket

from monitord.status.access.security import is_local_host
from monitord.systemd.environment import ServiceEnvironment
from monitord.systemd.sockets import listening_sockets

MAX_CLIENTS = 1000
MAX_REQUEST_BYTES = 65536
SEND_TIMEOUT_S = 0.5

_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*?)[ \t]*\r\n", re.IGNORECASE)
_REJECTED = "monitord did not start: its configuration is rejected\n"


def answer_waiting_clients(service: ServiceEnvironment, errors: str) -> int:
    """Respond to all waiting clients that the configuration is rejected, and return their number.

    Only clients at Unix sockets, which have permissions, receive the errors.
    """
    try:
        passed = listening_sockets(service)
    except ValueError:  # not a socket; the start of the daemon reports it
        return 0
    count = 0
    for listening in (listening for group in passed.values() for listening in group):
        text = f"{_REJECTED}{errors}\n" if listening.family == socket.AF_UNIX else _REJECTED
        with listening:
            for _ in range(MAX_CLIENTS):
                try:
                    client, _address = listening.accept()
                except OSError:  # BlockingIOError: no more clients are waiting
                    break
                _answer(client, text)
                count += 1
    return count


def _answer(client: socket.socket, text: str) -> None:
    request = b""
    with client, contextlib.suppress(OSError):
        client.setblocking(False)
        # Unread data would reset the connection when it is closed, before the client has read the response.
        with contextlib.suppress(BlockingIOError):
            request = client.recv(MAX_REQUEST_BYTES)
        host = _HOST.search(request)
        # DNS rebinding, as in `status.access.security`: the page of another site can reach a forwarded socket under
        # its own name. It must not read the errors.
        is_foreign = host is not None and bool(host[1]) and not is_local_host(host[1].decode("latin-1"), None)
        body = (_REJECTED if is_foreign else text).encode(errors="replace")
        head = (
            "HTTP/1.1 503 Service Unavailable\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\n"
            "Monitord-Start: rejected\r\n"
            "Connection: close\r\n\r\n"
        )
        client.settimeout(SEND_TIMEOUT_S)
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
