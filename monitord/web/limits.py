"""Every bound and deadline of a server in one frozen value, with defaults for a service that faces the network."""

from dataclasses import dataclass

REQUEST_LINE_BYTES = 8 * 1024
HEAD_BYTES = 32 * 1024  # Debian's httptools refuses heads over 64 KiB, so stay well below
FIELDS = 100
BODY_BYTES = 1024 * 1024

HEAD_S = 10.0
BODY_S = 30.0
KEEP_ALIVE_S = 60.0
WRITE_S = 30.0
LINGER_S = 2.0

CONNECTIONS = 10_000
READ_AHEAD_BYTES = 64 * 1024
WRITE_AHEAD_BYTES = 64 * 1024
DRAIN_BYTES = 64 * 1024
LINGER_BYTES = 4 * 1024 * 1024
BODY_RATE_BYTES_PER_S = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost.

    `head_s` runs from the first byte of a head to its end. `body_s` is how long a reader may wait for
    body bytes; it grows by a second for each KiB received, so a drip does not renew it. `write_s` is how long
    a client may take no byte of the answer. After an answer given early, the rest of the request is read and
    dropped for `linger_s`, so that the answer is not lost to a reset (RFC 9112 section 9.6).
    """

    request_line_bytes: int = REQUEST_LINE_BYTES  # 414 beyond
    head_bytes: int = HEAD_BYTES  # 431 beyond
    fields: int = FIELDS  # 431 beyond
    head_s: float = HEAD_S  # 408 beyond
    body_s: float = BODY_S  # 408 beyond
    keep_alive_s: float = KEEP_ALIVE_S
    write_s: float = WRITE_S
    linger_s: float = LINGER_S
    connections: int = CONNECTIONS  # 503 beyond
