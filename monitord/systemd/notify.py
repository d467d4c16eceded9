"""What the daemon tells the service manager about itself (sd_notify(3)).

A notice never waits and never raises: a manager that is busy or gone must not hold up the work. What changes
the unit's state (ready, reloading, stopping) is owed until it could be sent, and goes out before the next notice;
a status line or a ping that could not be sent is worth nothing later.
"""

import contextlib
import re
import socket
import time
from collections import deque

LONGEST_STATUS = 256  # characters; `systemctl status` shows one line
MOST_OWED = 8

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")


class SdNotify:
    """Every method returns at once; outside a service manager (no address) they do nothing."""

    def __init__(self, address: str | None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._owed: deque[bytes] = deque(maxlen=MOST_OWED)

    @property
    def has_manager(self) -> bool:
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """Start or reload is finished."""
        self._tell("READY=1", status, is_owed=True)

    def reloading(self, status: str = "") -> None:
        """A reload begins. `ready` must follow, whatever comes of it, or the unit reloads for ever."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={microseconds}", status, is_owed=True)

    def stopping(self, status: str = "") -> None:
        self._tell("STOPPING=1", status, is_owed=True)

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows; made one line and cut to LONGEST_STATUS characters."""
        self._tell(_status_line(text), "", is_owed=False)

    def ping_watchdog(self) -> None:
        self._tell("WATCHDOG=1", "", is_owed=False)

    def extend_timeout(self, seconds: float) -> None:
        """Ask for so long from now before the running start, reload or stop counts as hung."""
        self._tell(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}", "", is_owed=False)

    def _tell(self, notice: str, status: str, *, is_owed: bool) -> None:
        if self._address is None:
            return
        if status:
            notice += "\n" + _status_line(status)
        self._owed.append(notice.encode("utf-8", "replace"))
        while self._owed:
            if not self._send(self._owed[0]):
                if not is_owed:
                    self._owed.pop()
                return
            self._owed.popleft()

    def _send(self, datagram: bytes) -> bool:
        # A socket per notice: there is one every few seconds, nothing needs closing, and a manager that was
        # replaced under the same address is simply found again.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        ):
            sender.sendto(datagram, self._address or "")
            return True
        return False


def _status_line(text: str) -> str:
    line = _UNPRINTABLE.sub(" ", text).strip()
    if len(line) > LONGEST_STATUS:
        line = line[: LONGEST_STATUS - 1] + "…"
    return f"STATUS={line}"
