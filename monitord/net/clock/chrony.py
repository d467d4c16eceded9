"""The tracking report of chronyd, as `chronyc tracking` requests it over UDP (candm.h of chrony, version 6).

Every user on this host can request it: cmdport 323 on the loopback interface, unless chrony.conf disables it.
"""

import ipaddress
import os
import struct
from contextlib import suppress
from datetime import UTC, datetime

from monitord.net.clock.datagrams import exchange
from monitord.net.clock.status import NOT_SYNCHRONIZED, ClockError, ClockStatus

ADDRESS = ("127.0.0.1", 323)

_VERSION, _REQUEST, _REPLY = 6, 1, 2
_TRACKING, _TRACKING_REPLY, _SUCCESS = 33, 5, 0

# Version, type, 2 reserved, command, attempt, sequence, 8 of padding; and the same for the reply with its status.
_REQUEST_HEAD = struct.Struct("!BBxxHHI8x")
_REPLY_HEAD = struct.Struct("!BBxxHHH6xI8x")
# Reference id, address and its family, stratum, leap status, time of the reference, and the numbers.
_BODY = struct.Struct("!I16sHxxHHIIIiiiiiiiii")
_SIZE = _REPLY_HEAD.size + _BODY.size
"""The request must be as long as its reply: chronyd does not amplify."""

_INET4, _INET6 = 1, 2
_LOCAL_CLOCK = 0x7F7F0101
"""127.127.1.1: the directive `local` of chrony.conf."""
_NO_HIGH_SECONDS = 0x7FFFFFFF
_COEFFICIENT_BITS = 25
_EXPONENT_BITS = 7


async def query(*, timeout_s: float, address: tuple[str, int] = ADDRESS) -> ClockStatus:
    """Return the state that chronyd reports. Raises ClockError."""
    sequence = int.from_bytes(os.urandom(4), "big")
    request = _REQUEST_HEAD.pack(_VERSION, _REQUEST, _TRACKING, 0, sequence).ljust(_SIZE, b"\0")

    def is_reply(data: bytes) -> bool:
        return len(data) >= _REPLY_HEAD.size and _REPLY_HEAD.unpack_from(data)[5] == sequence

    return parse(await exchange(address, request, is_reply, timeout_s=timeout_s))


def parse(reply: bytes) -> ClockStatus:
    """Parse a reply. Raises ClockError."""
    if len(reply) < _REPLY_HEAD.size:
        raise ClockError("chronyd sent an incomplete reply")
    version, kind, _, reply_type, status, _ = _REPLY_HEAD.unpack_from(reply)
    if (version, kind) != (_VERSION, _REPLY):
        raise ClockError("chronyd uses another version of its protocol")
    if (reply_type, status) != (_TRACKING_REPLY, _SUCCESS) or len(reply) < _SIZE:
        raise ClockError(f"chronyd rejected the request (status {status})")
    reference, address, family, stratum, leap, high, low, nanoseconds, correction, *_ = _BODY.unpack_from(
        reply, _REPLY_HEAD.size
    )
    is_synchronized = leap != NOT_SYNCHRONIZED and reference != 0
    # Some versions send no upper half, which is then 0x7fffffff.
    seconds = low if high == _NO_HIGH_SECONDS else high << 32 | low
    measured_at = None
    if seconds:
        with suppress(OverflowError, ValueError, OSError):
            measured_at = datetime.fromtimestamp(seconds + nanoseconds / 1e9, UTC)
    return ClockStatus(
        "chrony",
        is_synchronized,
        offset_s=float_of(correction) if is_synchronized else None,
        measured_at=measured_at,
        server=_server(reference, address, family) if is_synchronized else "",
        stratum=stratum if is_synchronized else None,
    )


def float_of(number: int) -> float:
    """Return the value of chrony's own float: an exponent of 7 bits, and a coefficient of 25 bits, both signed."""
    exponent = (number >> _COEFFICIENT_BITS) & (2**_EXPONENT_BITS - 1)
    if exponent >= 2 ** (_EXPONENT_BITS - 1):
        exponent -= 2**_EXPONENT_BITS
    coefficient = number & (2**_COEFFICIENT_BITS - 1)
    if coefficient >= 2 ** (_COEFFICIENT_BITS - 1):
        coefficient -= 2**_COEFFICIENT_BITS
    return float(coefficient * 2.0 ** (exponent - _COEFFICIENT_BITS))


def _server(reference: int, address: bytes, family: int) -> str:
    if family == _INET4:
        return str(ipaddress.IPv4Address(address[:4]))
    if family == _INET6:
        return str(ipaddress.IPv6Address(address))
    if reference == _LOCAL_CLOCK:
        return "local clock"
    # A reference clock has a name of up to four characters, such as "PHC0" or "GPS".
    name = reference.to_bytes(4, "big").rstrip(b"\0")
    return name.decode("ascii") if name and name.isalnum() else f"{reference:08X}"
