"""The connection of objectives with the registry, which selects their monitors, and the history of these monitors."""

from collections.abc import Sequence
from datetime import datetime

from monitord.dispatch.registry import Registry
from monitord.dispatch.silences import Matcher
from monitord.errors import HistoryError
from monitord.health import CoveredTime
from monitord.history import History, Uptime, total_uptime
from monitord.monitors.objective import covered_time

MONITORS_AT_ONCE = 500
"""Monitors in one query, so that no query of many monitors reaches its time limit."""


class HistoryTimes:
    """The time during which monitors were covered and down. Time in maintenance is neither, as in reports."""

    def __init__(self, registry: Registry, history: History) -> None:
        self._registry = registry
        self._history = history

    def select(self, patterns: tuple[str, ...], tags: tuple[str, ...]) -> Sequence[str]:
        return self._registry.selected(Matcher(patterns=patterns, tags=tags))

    async def covered(
        self, monitors: Sequence[str], ranges: Sequence[tuple[datetime, datetime]]
    ) -> Sequence[CoveredTime]:
        """Return the time of all monitors in each range. Raises HistoryError."""
        if not self._history.is_active:
            raise HistoryError("the history is disabled")
        totals = [Uptime({}) for _ in ranges]
        for start in range(0, len(monitors), MONITORS_AT_ONCE):
            read = await self._history.total_uptimes(monitors[start : start + MONITORS_AT_ONCE], ranges)
            totals = [total_uptime(pair) for pair in zip(totals, read, strict=True)]
        return [covered_time(total) for total in totals]
