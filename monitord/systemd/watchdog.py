"""Pings the service manager's watchdog for as long as every pulse of the program moves.

The pings come from the event loop that does the work, so that a blocked loop stops them by itself. A pulse is a
question to a part of the program: None while it gets on, else what stands still, in words for the log. One pulse
that stands still stops the pings, and the manager ends and restarts the service.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from .log import NOTICE
from .notify import SdNotify

PINGS_PER_INTERVAL = 3  # sd_watchdog_enabled(3) asks for two; with three one may come late
CHECK_EVERY_S = 10.0  # without a manager's watchdog nobody is pinged, but the log still tells

Pulse = Callable[[], str | None]

_logger = logging.getLogger(__name__)


class Watchdog:
    """`pulses` go by the name that the log shows. Message ids mark the two log lines for the journal's catalog."""

    def __init__(
        self,
        sd_notify: SdNotify,
        interval_s: float | None,
        pulses: Mapping[str, Pulse],
        *,
        lost_message_id: str = "",
        moves_again_message_id: str = "",
    ) -> None:
        self._sd_notify = sd_notify
        self._is_asked_for = interval_s is not None
        self.every_s = CHECK_EVERY_S if interval_s is None else interval_s / PINGS_PER_INTERVAL
        self._pulses = dict(pulses)
        self._standing: dict[str, str] = {}
        self._lost_message_id = lost_message_id
        self._moves_again_message_id = moves_again_message_id

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(self.every_s)

    def check(self) -> bool:
        """One round: ping if all pulses move. Logs a pulse when it stops and when it moves again, not in between."""
        for name, pulse in self._pulses.items():
            standstill = pulse()
            if standstill is not None and name not in self._standing:
                self._tell_lost(name, standstill)
            elif standstill is None and name in self._standing:
                self._tell_moves_again(name)
        if self._standing:
            return False
        if self._is_asked_for:
            self._sd_notify.ping_watchdog()
        return True

    def _tell_lost(self, name: str, standstill: str) -> None:
        self._standing[name] = standstill
        consequence = "no watchdog pings until it moves" if self._is_asked_for else "no watchdog is set"
        _logger.error(
            "%s stands still: %s; %s",
            name,
            standstill,
            consequence,
            extra={
                "message_id": self._lost_message_id,
                "fields": {"WATCHDOG_COMPONENT": name, "WATCHDOG_STALL": standstill},
            },
        )

    def _tell_moves_again(self, name: str) -> None:
        del self._standing[name]
        _logger.log(
            NOTICE,
            "%s moves again",
            name,
            extra={"message_id": self._moves_again_message_id, "fields": {"WATCHDOG_COMPONENT": name}},
        )
