"""The system variables of ntpd (NTPsec and the reference implementation), as ntpq(1) requests them: RFC 9327.

The default ntp.conf of Debian permits these requests from the loopback interface.
"""

import re
import struct
from datetime import datetime

from monitord.net.clock.datagrams import exchange
from monitord.net.clock.status import NOT_SYNCHRONIZED, ClockError, ClockStatus, ntp_time
from monitord.text import shortened

ADDRESS = ("127.0.0.1", 123)

# Leap indicator, version and mode; flags and opcode; sequence, status, association, offset and size of the data.
_HEAD = struct.Struct("!BBHHHHH")
_VERSION_AND_MODE = 0x16
_MODE_MASK, _CONTROL_MODE = 0x07, 6
_RESPONSE, _ERROR, _MORE, _OPCODE_MASK = 0x80, 0x40, 0x20, 0x1F
_READ_VARIABLES = 2
_SEQUENCE = 1
_VARIABLES = b"leap,stratum,refid,reftime,offset"

_PAIR = re.compile(r'([a-z_]+)=("[^"]*"|[^,\s]+)')
_TIMESTAMP = re.compile(r"0x([0-9a-f]{1,8})\.([0-9a-f]{1,8})", re.IGNORECASE)


async def query(now: datetime, *, timeout_s: float, address: tuple[str, int] = ADDRESS) -> ClockStatus:
    """Return the state that ntpd reports. Raises ClockError."""
    request = _HEAD.pack(_VERSION_AND_MODE, _READ_VARIABLES, _SEQUENCE, 0, 0, 0, len(_VARIABLES))
    request += _VARIABLES + b"\0" * (-len(_VARIABLES) % 4)
    return parse(await exchange(address, request, _is_response, timeout_s=timeout_s), now)


def _is_response(data: bytes) -> bool:
    if len(data) < _HEAD.size:
        return False
    mode, flags, sequence, *_ = _HEAD.unpack_from(data)
    is_control = mode & _MODE_MASK == _CONTROL_MODE and flags & _OPCODE_MASK == _READ_VARIABLES
    return bool(is_control and flags & _RESPONSE and sequence == _SEQUENCE)


def parse(response: bytes, now: datetime) -> ClockStatus:
    """Parse a response. Raises ClockError."""
    _, flags, _, status, _, offset, size = _HEAD.unpack_from(response)
    data = response[_HEAD.size : _HEAD.size + size]
    if flags & _ERROR:
        raise ClockError("ntpd rejected the request")
    if flags & _MORE or offset or len(data) < size:
        raise ClockError("ntpd sent an incomplete response")
    variables = {name: value.strip('"') for name, value in _PAIR.findall(data.decode("ascii", "replace"))}
    leap = status >> 14
    stratum = _integer(variables.get("stratum", ""))
    is_synchronized = leap != NOT_SYNCHRONIZED and stratum is not None and 0 < stratum < 16  # noqa: PLR2004 - RFC 5905
    timestamp = _TIMESTAMP.fullmatch(variables.get("reftime", ""))
    offset_ms = _number(variables.get("offset", ""))
    return ClockStatus(
        "ntpd",
        is_synchronized,
        offset_s=offset_ms / 1000 if is_synchronized and offset_ms is not None else None,
        measured_at=ntp_time(int(timestamp[1], 16), int(timestamp[2].ljust(8, "0"), 16), now)
        if timestamp
        else None,
        server=shortened(variables.get("refid", "")) if is_synchronized else "",
        stratum=stratum if is_synchronized else None,
    )


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else None  # noqa: PLR2004


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?\d{1,12}(?:\.\d{1,12})?", text, re.ASCII) else None
