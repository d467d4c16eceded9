"""Reports of this daemon: the monitors of its registry, its history and its clock."""

import asyncio
from collections.abc import Iterable

from monitord.clock import Clock
from monitord.dispatch import Registry
from monitord.reports.build import ReportHistory, Subject, build_report
from monitord.reports.model import Report
from monitord.reports.period import Period

DEFAULT_MONITORS = 100
"""Monitors that a report lists, unless more are requested."""


class Reports:
    """Builds reports one at a time, so that pages and other requests can read the history in between."""

    def __init__(self, history: ReportHistory, registry: Registry, clock: Clock, instance: str) -> None:
        self._history = history
        self._registry = registry
        self._clock = clock
        self._instance = instance
        self._lock = asyncio.Lock()

    async def build(
        self, names: Iterable[str], period: Period, max_monitors: int = DEFAULT_MONITORS
    ) -> Report:
        """Return the report of these monitors; objectives and unknown names are ignored. Raises HistoryError."""
        found = ((name, self._registry.entries.get(name)) for name in names)
        settings = {name: entry.monitor.settings for name, entry in found if entry is not None}
        monitors = {name: each.context.title for name, each in settings.items() if not each.is_objective}
        async with self._lock:
            return await build_report(
                self._history, Subject(self._instance, monitors, max_monitors), period, self._clock.now()
            )
