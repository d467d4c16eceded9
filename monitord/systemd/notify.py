"""Notifications to the service manager (sd_notify(3)).

They never wait and never raise, so that an unavailable service manager does not delay the daemon. A change of the
unit's state (ready, reloading, stopping) that cannot be sent is retried before the next notification; a status line or
a ping is not.
"""

import contextlib
import re
import socket
import time
from collections import deque

MAX_STATUS_CHARACTERS = 256  # `systemctl status` shows one line
MAX_PENDING = 8

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\s]+")


class SdNotify:
    """Sends notifications without waiting. Without a service manager (no address), the methods have no effect."""

    def __init__(self, address: str | None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._pending: deque[bytes] = deque(maxlen=MAX_PENDING)

    @property
    def has_manager(self) -> bool:
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """Report the end of a start or reload."""
        self._notify("READY=1", status, is_retried=True)

    def reloading(self, status: str = "") -> None:
        """Report the beginning of a reload. `ready` must follow even if the reload fails."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={microseconds}", status, is_retried=True)

    def stopping(self, status: str = "") -> None:
        self._notify("STOPPING=1", status, is_retried=True)

    def status(self, text: str) -> None:
        """Set the line of `systemctl status`, as a single line of at most MAX_STATUS_CHARACTERS."""
        self._notify(_status_line(text), "", is_retried=False)

    def ping_watchdog(self) -> None:
        self._notify("WATCHDOG=1", "", is_retried=False)

    def _notify(self, message: str, status: str, *, is_retried: bool) -> None:
        if self._address is None:
            return
        if status:
            message += "\n" + _status_line(status)
        self._pending.append(message.encode("utf-8", "replace"))
        while self._pending:
            if not self._send(self._pending[0]):
                if not is_retried:
                    self._pending.pop()
                return
            self._pending.popleft()

    def _send(self, datagram: bytes) -> bool:
        # A new socket for each notification, so no reconnection is needed when the service manager is replaced.
        # Notifications are rare.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        ):
            sender.sendto(datagram, self._address or "")
            return True
        return False


def _status_line(text: str) -> str:
    line = _UNPRINTABLE.sub(" ", text).strip()
    if len(line) > MAX_STATUS_CHARACTERS:
        line = line[: MAX_STATUS_CHARACTERS - 1] + "…"
    return f"STATUS={line}"
