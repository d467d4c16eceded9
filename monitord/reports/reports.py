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
        """Return the report of these monitors; names of other monitors are ignored. Raises HistoryError."""
        entries = self._registry.entries
        monitors = {name: entries[name].monitor.settings.context.title for name in names if name in entries}
        async with self._lock:
            return await build_report(
                self._history, Subject(self._instance, monitors, max_monitors), period, self._clock.now()
            )
