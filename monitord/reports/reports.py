"""Reports of this daemon: the monitors of its registry, its history and its clock."""

import asyncio
from collections.abc import Iterable

from monitord.clock import Clock
from monitord.dispatch import Matcher, Registry
from monitord.monitors.objective import ObjectiveOptions, objective_name
from monitord.reports.build import ReportHistory, Subject, SubjectObjective, build_report
from monitord.reports.model import Report
from monitord.reports.period import Period

DEFAULT_MONITORS = 100
"""Monitors that a report lists, unless more are requested."""


class Reports:
    """Builds reports one at a time, so that pages and other requests can read the history in between.

    `public_url`: the address of the pages, for links; empty: no links.
    """

    def __init__(
        self, history: ReportHistory, registry: Registry, clock: Clock, instance: str, public_url: str = ""
    ) -> None:
        self._history = history
        self._registry = registry
        self._clock = clock
        self._instance = instance
        self._public_url = public_url
        self._lock = asyncio.Lock()

    async def build(
        self, names: Iterable[str], period: Period, max_monitors: int = DEFAULT_MONITORS
    ) -> Report:
        """Return the report of these monitors, with their objectives; unknown names are ignored. Raises HistoryError.

        Among the names can be those of objectives.
        """
        entries = self._registry.entries
        monitors: dict[str, str] = {}
        objectives: dict[str, SubjectObjective] = {}
        for name in names:
            entry = entries.get(name)
            if entry is None:
                continue
            if not entry.monitor.settings.is_objective:
                monitors[name] = entry.monitor.settings.context.title
            evaluating = entries.get(objective_name(name), entry)
            settings, options = evaluating.monitor.settings, evaluating.monitor.options
            if isinstance(options, ObjectiveOptions):
                selected = self._registry.selected(
                    Matcher(patterns=options.monitors, tags=options.monitor_tags)
                )
                title = settings.context.title
                objectives[settings.name] = SubjectObjective(
                    settings.name, title, options.objective, selected
                )
        subject = Subject(
            self._instance, monitors, max_monitors, tuple(objectives.values()), self._public_url
        )
        async with self._lock:
            return await build_report(self._history, subject, period, self._clock.now())
