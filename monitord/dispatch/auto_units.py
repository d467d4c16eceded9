"""Automatic monitors of the failed units of this host: `[auto] units = "failed"`.

A monitor is added when its unit fails, is named after it (`unit:nginx.service`, which no configured monitor can be),
and is removed when its unit has been up for RECOVERED_AFTER_S: until then, a unit that fails repeatedly has one monitor
with one history. Units that configured monitors of type `unit` watch are ignored.

The set of monitors is stored: if a unit recovers during a restart, a check closes its incident as usual.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from monitord.clock import Clock
from monitord.dispatch.dispatcher import Dispatcher
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.sink import Sink
from monitord.model import Result, Verdict
from monitord.monitors import Monitor, MonitorSettings
from monitord.monitors.systemd.common import compile_patterns
from monitord.monitors.systemd.unit import UnitMonitor, UnitOptions
from monitord.monitors.systemd.unit_ends import waits_for_restart
from monitord.net.dbus.bus import BusError
from monitord.net.dbus.unit_state import UnitChange
from monitord.net.dbus.units import Units, UnitSubscription
from monitord.unit_monitors import monitor_name_of

log = logging.getLogger(__name__)

STORED_AS = "auto_units"
"""The key of the stored set of units."""

RECOVERED_AFTER_S = 600.0
MAX_UNITS = 500
"""The limit of automatic monitors; with more failed units, the host as a whole has failed."""

QUERY_TIMEOUT_S = 10.0
QUERY_RETRY_S = 30.0
"""A busy service manager, as during a boot, does not respond to the first query."""


class AutoMode(Enum):
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AutoSettings:
    """[auto]. `template`: the settings of its monitors, without name and unit."""

    units: AutoMode | None = None
    ignore: tuple[str, ...] = ()
    template: MonitorSettings | None = None


class UnitRecoveries(Sink):
    """Measures for how long the units of automatic monitors have been up, for `AutoUnits`, which removes them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._up_since_s: dict[str, float | None] = {}
        self._recovered: set[str] = set()
        self._has_recovered = asyncio.Event()

    def add(self, unit: str) -> None:
        """Start measuring a unit."""
        self._up_since_s[unit] = None

    def remove(self, unit: str) -> None:
        """Stop measuring a unit."""
        self._up_since_s.pop(unit, None)

    def has_recovered(self, unit: str) -> bool:
        """Whether the unit has been up for RECOVERED_AFTER_S."""
        since_s = self._up_since_s.get(unit)
        return since_s is not None and self._clock.monotonic_s() - since_s >= RECOVERED_AFTER_S

    async def wait(self) -> set[str]:
        """Wait for units that have recovered, and return them. Runs outside checks, because the monitor is removed."""
        await self._has_recovered.wait()
        self._has_recovered.clear()
        recovered, self._recovered = self._recovered, set()
        return recovered

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        settings = entry.monitor.settings
        if not settings.is_automatic or settings.options.unit not in self._up_since_s:
            return
        unit: str = settings.options.unit
        if result.verdict is Verdict.FAIL:
            self._up_since_s[unit] = None
        elif result.verdict is not Verdict.INCONCLUSIVE:
            if self._up_since_s[unit] is None:
                self._up_since_s[unit] = self._clock.monotonic_s()
            elif self.has_recovered(unit):
                self._recovered.add(unit)
                self._has_recovered.set()


class AutoUnits:
    """Adds and removes automatic monitors: `apply` at start and with each reload, then `close`.

    `store` stores the set of units; `stored` is what an earlier run has stored, by key.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        recoveries: UnitRecoveries,
        units: Units,
        build: Callable[[MonitorSettings], Monitor[Any]],
        store: Callable[[str, Mapping[str, Any]], None] = lambda _, __: None,
        stored: Mapping[str, Mapping[str, Any]] | None = None,
        query_retry_s: float = QUERY_RETRY_S,
    ) -> None:
        self._dispatcher = dispatcher
        self._recoveries = recoveries
        self._units = units
        self._build = build
        self._store = store
        self._query_retry_s = query_retry_s
        self._template: MonitorSettings | None = None
        self._ignored = compile_patterns(())
        self._is_configured: Callable[[str], bool] = lambda _: False
        self._following: UnitSubscription | None = None
        self._querying: asyncio.Task[None] | None = None
        self._removing: asyncio.Task[None] | None = None
        self._is_full = False
        names = (stored or {}).get(STORED_AS, {}).get("units")
        self._monitored = (
            {name for name in names[:MAX_UNITS] if isinstance(name, str)}
            if isinstance(names, list)
            else set()
        )
        for unit in self._monitored:
            recoveries.add(unit)

    def apply(self, settings: AutoSettings, monitors: Iterable[MonitorSettings]) -> None:
        """Apply these settings; `monitors`: the settings of all configured monitors."""
        before, self._template = self._template, settings.template if settings.units else None
        self._ignored = compile_patterns(settings.ignore)
        self._is_configured = _watches_unit(monitors)
        for unit in [unit for unit in self._monitored if not self._is_to_be_monitored(unit)]:
            self._remove(unit)
        if self._template is None:
            self._stop()
            return
        for unit in list(self._monitored):
            if before != self._template or monitor_name_of(unit) not in self._dispatcher.entries:
                self._add_monitor(unit)
        if self._removing is None:
            self._removing = asyncio.ensure_future(self._remove_recovered())
        if self._following is None:
            self._following = self._units.follow_all(lambda _: True, self._on_change)
        else:
            self._query()

    async def close(self) -> None:
        """May be called twice."""
        tasks = [task for task in (self._querying, self._removing) if task is not None]
        self._stop()
        if tasks:
            await asyncio.wait(tasks)

    # -- failed units -------------------------------------------------------------------------------------

    def _on_change(self, change: UnitChange | None) -> None:
        if change is None:
            self._query()
        elif change.active_state == "failed" and not waits_for_restart(change.sub_state):
            self._add(change.name)

    def _query(self) -> None:
        """Query the failed units, whose signals may have been missed."""
        if self._querying is not None:
            self._querying.cancel()
        self._querying = asyncio.ensure_future(self._add_failed_units())

    async def _add_failed_units(self) -> None:
        is_logged = False
        while True:
            try:
                failed = await self._units.list_failed(deadline=time.monotonic() + QUERY_TIMEOUT_S)
            except BusError as error:
                if not is_logged:
                    log.warning(
                        '[auto] units = "failed": the failed units cannot be queried: %s', error.detail
                    )
                is_logged = True
                await asyncio.sleep(self._query_retry_s)
                continue
            for state in failed:
                self._add(state.name)
            return

    def _add(self, unit: str) -> None:
        if unit in self._monitored or not self._is_to_be_monitored(unit):
            return
        if len(self._monitored) >= MAX_UNITS:
            if not self._is_full:
                log.warning(
                    '[auto] units = "failed": only the first %d units are monitored; see ignore', MAX_UNITS
                )
            self._is_full = True
            return
        log.info('%s has failed, and is monitored because of [auto] units = "failed"', unit)
        self._add_monitor(unit)

    def _is_to_be_monitored(self, unit: str) -> bool:
        return self._template is not None and not self._ignored.match(unit) and not self._is_configured(unit)

    def _add_monitor(self, unit: str) -> None:
        template = self._template
        if template is None:
            return
        options = replace(template.options, unit=unit)
        settings = replace(template, name=monitor_name_of(unit), options=options, is_automatic=True)
        if unit not in self._monitored:
            self._monitored.add(unit)
            self._recoveries.add(unit)
            self._store_units()
        self._dispatcher.add_automatic(self._build(settings))

    async def _remove_recovered(self) -> None:
        while True:
            for unit in await self._recoveries.wait():
                if unit not in self._monitored or not self._recoveries.has_recovered(unit):
                    continue
                log.info(
                    "%s has been up for %d minutes, and is no longer monitored", unit, RECOVERED_AFTER_S // 60
                )
                self._remove(unit)

    def _remove(self, unit: str) -> None:
        self._monitored.remove(unit)
        self._recoveries.remove(unit)
        self._store_units()
        self._is_full = False
        self._dispatcher.remove_automatic(monitor_name_of(unit))

    def _store_units(self) -> None:
        self._store(STORED_AS, {"units": sorted(self._monitored)})

    def _stop(self) -> None:
        if self._following is not None:
            self._units.unfollow(self._following)
            self._following = None
        if self._querying is not None:
            self._querying.cancel()
            self._querying = None
        if self._removing is not None:
            self._removing.cancel()
            self._removing = None


def _watches_unit(monitors: Iterable[MonitorSettings]) -> Callable[[str], bool]:
    """A function that returns whether one of these monitors watches a unit."""
    options: list[UnitOptions] = [
        monitor.options for monitor in monitors if monitor.type_name == UnitMonitor.type_name
    ]
    names = {option.unit for option in options}
    patterns: re.Pattern[str] = compile_patterns(
        tuple(pattern for option in options for pattern in option.patterns)
    )
    return lambda unit: unit in names or patterns.match(unit) is not None
