"""A monitor for each unit of this host that fails, without configuration: `[auto] units = "failed"`.

It comes when its unit fails, is named for it (`unit:nginx.service`, which no configured monitor can be), and goes when
all has been well for WELL_FOR_S: until then a unit that fails over and over is one monitor with one history. What a
configured monitor of type `unit` watches anyway is left to that one.

Which there are outlives a restart: a unit that recovers meanwhile has its incident closed by a check, as
any other.
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
from monitord.dispatch.sink import Sink
from monitord.dispatch.watched import Watched
from monitord.model import Result, Verdict
from monitord.monitors import Monitor, MonitorSettings
from monitord.monitors.systemd.common import compile_patterns
from monitord.monitors.systemd.unit import UnitMonitor, UnitOptions
from monitord.monitors.systemd.unit_ends import waits_for_restart
from monitord.net.dbus.bus import BusError
from monitord.net.dbus.unit_state import UnitChange
from monitord.net.dbus.units import Following, Units
from monitord.unit_monitors import monitor_name_of

log = logging.getLogger(__name__)

KEPT_AS = "auto_units"
"""The name by which is kept which there are."""

WELL_FOR_S = 600.0
MAX_UNITS = 500
"""A host where more fail has another problem, and each of them is a monitor that somebody looks at."""

ASK_WITHIN_S = 10.0
ASK_AGAIN_AFTER_S = 30.0
"""A service manager that is busy, as at a boot, has not said that nothing has failed."""


class AutoMode(Enum):
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AutoSettings:
    """[auto]. `template`: what a monitor has that it makes; its name and unit are still to be filled in."""

    units: AutoMode | None = None
    ignore: tuple[str, ...] = ()
    template: MonitorSettings | None = None


class UnitRecoveries(Sink):
    """Measures for how long the units of automatic monitors have been up, for `AutoUnits`, which removes them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._up_since_s: dict[str, float | None] = {}
        self._over: set[str] = set()
        self._has_news = asyncio.Event()

    def add(self, unit: str) -> None:
        """Begin to measure."""
        self._up_since_s[unit] = None

    def remove(self, unit: str) -> None:
        """Stop measuring."""
        self._up_since_s.pop(unit, None)

    def is_over(self, unit: str) -> bool:
        """Whether the unit has been up for WELL_FOR_S."""
        since_s = self._up_since_s.get(unit)
        return since_s is not None and self._clock.monotonic_s() - since_s >= WELL_FOR_S

    async def wait(self) -> set[str]:
        """Return units that a check has shown to be over. Not within the check, whose monitor is to be removed."""
        await self._has_news.wait()
        self._has_news.clear()
        over, self._over = self._over, set()
        return over

    def on_result(self, watched: Watched, result: Result) -> None:
        settings = watched.monitor.settings
        if not settings.is_automatic or settings.options.unit not in self._up_since_s:
            return
        unit: str = settings.options.unit
        if result.verdict is Verdict.FAIL:
            self._up_since_s[unit] = None
        elif result.verdict is not Verdict.INCONCLUSIVE:
            if self._up_since_s[unit] is None:
                self._up_since_s[unit] = self._clock.monotonic_s()
            elif self.is_over(unit):
                self._over.add(unit)
                self._has_news.set()


class AutoUnits:
    """Owns the monitors that it made: `apply` at start and with each reload, `close` at the end.

    `keep` stores what is to be known after a restart, and `kept` is what it was given in an earlier run.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        recoveries: UnitRecoveries,
        units: Units,
        build: Callable[[MonitorSettings], Monitor[Any]],
        keep: Callable[[str, Mapping[str, Any]], None] = lambda _, __: None,
        kept: Mapping[str, Mapping[str, Any]] | None = None,
        ask_again_after_s: float = ASK_AGAIN_AFTER_S,
    ) -> None:
        self._dispatcher = dispatcher
        self._recoveries = recoveries
        self._units = units
        self._build = build
        self._keep = keep
        self._ask_again_after_s = ask_again_after_s
        self._template: MonitorSettings | None = None
        self._ignored = compile_patterns(())
        self._configured: Callable[[str], bool] = lambda _: False
        self._following: Following | None = None
        self._asking: asyncio.Task[None] | None = None
        self._removing: asyncio.Task[None] | None = None
        self._is_full = False
        made = (kept or {}).get(KEPT_AS, {}).get("units")
        self._made = (
            {unit for unit in made[:MAX_UNITS] if isinstance(unit, str)} if isinstance(made, list) else set()
        )
        for unit in self._made:
            recoveries.add(unit)

    def apply(self, settings: AutoSettings, monitors: Iterable[MonitorSettings]) -> None:
        """Do as is configured from now on; `monitors` are all that the configuration names."""
        before, self._template = self._template, settings.template if settings.units else None
        self._ignored = compile_patterns(settings.ignore)
        self._configured = _watched_by(monitors)
        for unit in [unit for unit in self._made if not self._is_wanted(unit)]:
            self._remove(unit)
        if self._template is None:
            self._stop()
            return
        for unit in list(self._made):
            if before != self._template or monitor_name_of(unit) not in self._dispatcher.watched:
                self._put(unit)
        if self._removing is None:
            self._removing = asyncio.ensure_future(self._remove_recovered())
        if self._following is None:
            self._following = self._units.follow_all(lambda _: True, self._on_change)
        else:
            self._ask()

    async def close(self) -> None:
        """May be called twice."""
        tasks = [task for task in (self._asking, self._removing) if task is not None]
        self._stop()
        if tasks:
            await asyncio.wait(tasks)

    # -- what fails ---------------------------------------------------------------------------------------

    def _on_change(self, change: UnitChange | None) -> None:
        if change is None:
            self._ask()
        elif change.active_state == "failed" and not waits_for_restart(change.sub_state):
            self._add(change.name)

    def _ask(self) -> None:
        """Look for what failed while nobody listened."""
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.ensure_future(self._add_all_that_failed())

    async def _add_all_that_failed(self) -> None:
        is_told = False
        while True:
            try:
                failed = await self._units.list_failed(deadline=time.monotonic() + ASK_WITHIN_S)
            except BusError as error:
                if not is_told:
                    log.warning('[auto] units = "failed" could not ask which have failed: %s', error.detail)
                is_told = True
                await asyncio.sleep(self._ask_again_after_s)
                continue
            for state in failed:
                self._add(state.name)
            return

    def _add(self, unit: str) -> None:
        if unit in self._made or not self._is_wanted(unit):
            return
        if len(self._made) >= MAX_UNITS:
            if not self._is_full:
                log.warning('[auto] units = "failed" leaves out more than %d units; see ignore', MAX_UNITS)
            self._is_full = True
            return
        log.info('%s has failed, and is a monitor of its own by [auto] units = "failed"', unit)
        self._put(unit)

    def _is_wanted(self, unit: str) -> bool:
        return self._template is not None and not self._ignored.match(unit) and not self._configured(unit)

    def _put(self, unit: str) -> None:
        template = self._template
        if template is None:
            return
        options = replace(template.options, unit=unit)
        settings = replace(template, name=monitor_name_of(unit), options=options, is_automatic=True)
        if unit not in self._made:
            self._made.add(unit)
            self._recoveries.add(unit)
            self._keep_all()
        self._dispatcher.add_automatic(self._build(settings))

    async def _remove_recovered(self) -> None:
        while True:
            for unit in await self._recoveries.wait():
                if unit not in self._made or not self._recoveries.is_over(unit):
                    continue
                log.info(
                    "%s has been well for %d minutes, and is no monitor any more", unit, WELL_FOR_S // 60
                )
                self._remove(unit)

    def _remove(self, unit: str) -> None:
        self._made.remove(unit)
        self._recoveries.remove(unit)
        self._keep_all()
        self._is_full = False
        self._dispatcher.remove_automatic(monitor_name_of(unit))

    def _keep_all(self) -> None:
        self._keep(KEPT_AS, {"units": sorted(self._made)})

    def _stop(self) -> None:
        if self._following is not None:
            self._units.unfollow(self._following)
            self._following = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if self._removing is not None:
            self._removing.cancel()
            self._removing = None


def _watched_by(monitors: Iterable[MonitorSettings]) -> Callable[[str], bool]:
    """Whether one of these monitors watches a unit already."""
    options: list[UnitOptions] = [
        monitor.options for monitor in monitors if monitor.type_name == UnitMonitor.type_name
    ]
    names = {one.unit for one in options}
    patterns: re.Pattern[str] = compile_patterns(
        tuple(pattern for one in options for pattern in one.patterns)
    )
    return lambda unit: unit in names or patterns.match(unit) is not None
