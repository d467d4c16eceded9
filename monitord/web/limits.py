"""Every bound and deadline of a server in one frozen value, with defaults for a service that faces the network."""

from dataclasses import dataclass

BODY_BYTES = 1024 * 1024
READ_AHEAD_BYTES = 64 * 1024
WRITE_AHEAD_BYTES = 64 * 1024
DRAIN_BYTES = 64 * 1024
LINGER_BYTES = 4 * 1024 * 1024
TURN_REQUESTS = 16  # pipelined ones, answered before other connections get their turn
TURN_ANSWERS = 64  # to as many connections; then they leave, before more are made in this turn of the loop
BODY_RATE_BYTES_PER_S = 1024
WRITE_RATE_BYTES_PER_S = 1024
FIRST_REQUEST_S = 0.5  # from a connection to its first request, when the server stops meanwhile


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost.

    `head_s` runs from the first byte of a head to its end. `body_s` is how long a reader may wait for
    body bytes; it grows by a second for each KiB received, so a drip does not renew it. Within `write_s` a client
    must take what is left of the answer, or a KiB for each second. After an answer given early, the rest of the
    request is read and dropped for `linger_s`, so that the answer is not lost to a reset (RFC 9112 section 9.6).
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
    # Parts of `connections`: TCP clients leave the first one free for Unix sockets, and all clients but root and
    # the server's own user the second one.
    reserved_for_unix: int = 0
    reserved_for_root: int = 0
