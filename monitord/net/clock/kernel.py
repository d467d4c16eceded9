"""The kernel's view of the clock: adjtimex(2), read only.

The sandbox of the service forbids the call (ProtectClock=, as it can also set the clock); then the state is unknown.
"""

import ctypes
from typing import ClassVar

from monitord.net.clock.status import ClockStatus

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>. The last fields are reserved."""

    _fields_: ClassVar = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("pps", ctypes.c_long * 8),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 64),
    ]


def query() -> ClockStatus | None:
    """Return whether the kernel considers the clock synchronized; None if adjtimex(2) is not permitted or fails."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex(modes=0)  # changes nothing
    state = adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    return ClockStatus("kernel", state != _TIME_ERROR and not timex.status & _STA_UNSYNC)
