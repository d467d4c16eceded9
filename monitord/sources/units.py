"""The source of monitors of failed units of this host: `[auto] units = "failed"`.

A monitor is added when its unit fails, and removed when its unit has been up for RECOVERED_AFTER_S: until then, a unit
that fails repeatedly has one monitor with one history. Units that configured monitors watch are excluded, as are those
of Podman's health checks: a unit that fails there is a single probe, and Podman decides the health of the container.
The targets are the names of the units, without data: if a unit recovers during a restart, a check closes its incident.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from monitord.automatic_names import UNITS
from monitord.monitors import MonitorSettings
from monitord.monitors.systemd.common import compile_patterns
from monitord.monitors.systemd.unit import UnitMonitor, UnitOptions
from monitord.monitors.systemd.unit_ends import waits_for_restart
from monitord.net.dbus.bus import BusError
from monitord.net.dbus.unit_state import UnitChange
from monitord.sources.base import Feed, MonitorSource, SourceTools
from monitord.sources.recoveries import RECOVERED_AFTER_S

log = logging.getLogger(__name__)

MAX_UNITS = 500
"""The limit of automatic monitors; with more failed units, the host as a whole has failed."""

QUERY_TIMEOUT_S = 10.0
QUERY_RETRY_S = 30.0
"""A busy service manager, as during a boot, does not respond to the first query."""

_HEALTH_CHECK = re.compile(r"[0-9a-f]{64}(?:-startup)?(?:-[0-9a-f]+)?\.(?:service|timer)")
"""The transient units of Podman that run the health check of a container, named after its id."""

KEYS: Mapping[str, Any] = {"type": UnitMonitor.type_name, "expect": "not_failed", "on_crash": "ignore"}
"""The keys of each monitor, without its unit."""


class AutoMode(Enum):
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FailedUnits:
    """Settings of the source. `ignore`: patterns of names of automatic monitors that are excluded.

    `watched_units` and `watched_patterns`: the units that configured monitors watch, which are excluded as well.
    """

    ignore: tuple[str, ...] = ()
    watched_units: frozenset[str] = frozenset()
    watched_patterns: tuple[str, ...] = ()
    query_retry_s: float = QUERY_RETRY_S

    name: ClassVar[str] = UNITS
    type_name: ClassVar[str] = "units"
    max_targets: ClassVar[int] = MAX_UNITS
    samples: ClassVar[Sequence[Mapping[str, Any]]] = ({**KEYS, "unit": "sample.service"},)

    def construct(self, tools: SourceTools) -> "UnitSource":
        return UnitSource(self, tools)


def failed_units(ignore: tuple[str, ...], monitors: Iterable[MonitorSettings]) -> FailedUnits:
    """Return the settings of the source together with these configured monitors."""
    options: list[UnitOptions] = [
        monitor.options for monitor in monitors if monitor.type_name == UnitMonitor.type_name
    ]
    return FailedUnits(
        ignore,
        frozenset(option.unit for option in options if option.unit),
        tuple(pattern for option in options for pattern in option.patterns),
    )


class UnitSource(MonitorSource):
    checks_at_once = True

    def __init__(self, settings: FailedUnits, tools: SourceTools) -> None:
        self._settings = settings
        self._units = tools.units
        self._recoveries = tools.recoveries
        self._ignored = compile_patterns(settings.ignore)
        self._watched = compile_patterns(settings.watched_patterns)
        self._failed: dict[str, None] = {}
        """The units that have failed and have not recovered, in the order of their failures."""
        self._is_outdated = asyncio.Event()
        self._feed: Feed | None = None

    def keys_of(self, target: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        del data
        return {**KEYS, "unit": target}

    async def run(self, feed: Feed) -> None:
        self._feed = feed
        self._failed = dict.fromkeys(unit for unit in feed.targets if self._is_to_be_monitored(unit))
        for unit in self._failed:
            self._recoveries.add(unit)
        if len(self._failed) < len(feed.targets):
            self._provide()
        self._is_outdated.set()
        following = self._units.follow_all(lambda _: True, self._on_change)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._query_failed_units(feed))
                tasks.create_task(self._remove_recovered())
        finally:
            self._units.unfollow(following)
            for unit in self._failed:
                self._recoveries.remove(unit)

    def _on_change(self, change: UnitChange | None) -> None:
        if change is None:
            self._is_outdated.set()
        elif change.active_state == "failed" and not waits_for_restart(change.sub_state):
            self._add([change.name])

    async def _query_failed_units(self, feed: Feed) -> None:
        """Query the failed units at the start, and when signals may have been missed.

        A single failure is usual while dbus is restarted: it is reported when a second query has failed as well.
        """
        has_failed = False
        while True:
            await self._is_outdated.wait()
            self._is_outdated.clear()
            try:
                failed = await self._units.list_failed(deadline=time.monotonic() + QUERY_TIMEOUT_S)
            except BusError as error:
                if has_failed:
                    feed.fail(f"the failed units cannot be queried: {error.detail}")
                has_failed = True
                # Wait for a new connection to the service manager, but not for longer than the interval of retries.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.query_retry_s):
                        await self._is_outdated.wait()
                self._is_outdated.set()
            else:
                has_failed = False
                self._add(state.name for state in failed if not waits_for_restart(state.sub_state))
                self._provide()

    def _add(self, units: Iterable[str]) -> None:
        new = [unit for unit in units if unit not in self._failed and self._is_to_be_monitored(unit)]
        for unit in new:
            self._failed[unit] = None
            self._recoveries.add(unit)
        if new:
            self._provide()

    def _is_to_be_monitored(self, unit: str) -> bool:
        return (
            unit not in self._settings.watched_units
            and not self._watched.match(unit)
            and not self._ignored.match(f"{UNITS}:{unit}")
            and not _HEALTH_CHECK.fullmatch(unit)
        )

    async def _remove_recovered(self) -> None:
        while True:
            for unit in await self._recoveries.wait():
                if unit not in self._failed or not self._recoveries.has_recovered(unit):
                    continue
                log.info(
                    "%s has been up for %d minutes, and is no longer monitored", unit, RECOVERED_AFTER_S // 60
                )
                del self._failed[unit]
                self._recoveries.remove(unit)
            self._provide()

    def _provide(self) -> None:
        if self._feed is not None:
            self._feed.provide({unit: {} for unit in self._failed})
