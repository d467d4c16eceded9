"""Watchdog pings to the service manager while all components make progress.

The pings are sent from the event loop, so that a blocked loop stops them. A component is a function that returns None
while it makes progress, otherwise a description of the stall for the log. A stalled component stops the pings, and the
service manager restarts the service.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from .log import NOTICE
from .notify import SdNotify

PINGS_PER_INTERVAL = 3  # sd_watchdog_enabled(3) recommends two; with three, one can be late
CHECK_EVERY_S = 10.0  # without a watchdog of the service manager, stalls are only logged

HealthCheck = Callable[[], str | None]

_logger = logging.getLogger(__name__)


class Watchdog:
    """Pings while no component is stalled. The message IDs are those of the log messages in the catalog."""

    def __init__(
        self,
        sd_notify: SdNotify,
        interval_s: float | None,
        components: Mapping[str, HealthCheck],
        *,
        lost_message_id: str = "",
        resumed_message_id: str = "",
    ) -> None:
        self._sd_notify = sd_notify
        self._has_manager_watchdog = interval_s is not None
        self.every_s = CHECK_EVERY_S if interval_s is None else interval_s / PINGS_PER_INTERVAL
        self._components = dict(components)
        self._stalled: dict[str, str] = {}
        self._lost_message_id = lost_message_id
        self._resumed_message_id = resumed_message_id

    async def run(self) -> None:
        """Check periodically until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(self.every_s)

    def check(self) -> bool:
        """Ping if no component is stalled. The beginning and the end of a stall are logged."""
        for name, health_check in self._components.items():
            stall = health_check()
            if stall is not None and name not in self._stalled:
                self._stalled[name] = stall
                consequence = (
                    "no watchdog pings until it resumes"
                    if self._has_manager_watchdog
                    else "the service has no watchdog"
                )
                _logger.error(
                    "%s is stalled: %s; %s",
                    name,
                    stall,
                    consequence,
                    extra={
                        "message_id": self._lost_message_id,
                        "fields": {"WATCHDOG_COMPONENT": name, "WATCHDOG_STALL": stall},
                    },
                )
            elif stall is None and name in self._stalled:
                del self._stalled[name]
                _logger.log(
                    NOTICE,
                    "%s has resumed",
                    name,
                    extra={"message_id": self._resumed_message_id, "fields": {"WATCHDOG_COMPONENT": name}},
                )
        if self._stalled:
            return False
        if self._has_manager_watchdog:
            self._sd_notify.ping_watchdog()
        return True
