"""All limits and deadlines of a server, with defaults for a service that is reachable from the network."""

from dataclasses import dataclass

BODY_BYTES = 1024 * 1024
READ_AHEAD_BYTES = 64 * 1024
WRITE_AHEAD_BYTES = 64 * 1024
DRAIN_BYTES = 64 * 1024
LINGER_BYTES = 4 * 1024 * 1024
TURN_REQUESTS = 16  # pipelined requests that are answered before other connections are served
TURN_RESPONSES = 64  # responses that are collected in one iteration of the event loop before they are sent
BODY_RATE_BYTES_PER_S = 1024
WRITE_RATE_BYTES_PER_S = 1024
READ_S = 0.05  # for the event loop to read bytes that the kernel has received
FIRST_REQUEST_S = 1.0  # from the connection to the first request, when the server stops


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server and its connections.

    `head_s` runs from the first byte of a head to its end. `body_s` is the time that a reader waits for body bytes in
    total, plus a second for each received KiB, so that single bytes do not renew it. Within `write_s` a client must
    receive the rest of the response, or a KiB for each second. After an early response the rest of the
    request is read and discarded for `linger_s`, so that the response is not lost by a reset (RFC 9112 section 9.6).
    """

    request_line_bytes: int = 8 * 1024  # 414 beyond
    head_bytes: int = 32 * 1024  # 431 beyond
    fields: int = 100  # 431 beyond
    head_s: float = 10.0  # 408 beyond
    body_s: float = 30.0  # 408 beyond
    keep_alive_s: float = 60.0
    write_s: float = 30.0
    linger_s: float = 2.0
    connections: int = 10_000  # 503 beyond, as for the next three
    connections_per_address: int = 10_000  # over TCP; an IPv4 address, or an IPv6 network of 64 bits
    # Parts of `connections`: the first is not available to TCP clients, the second only to root and the server's own
    # user on a Unix socket.
    reserved_for_unix: int = 0
    reserved_for_root: int = 0
