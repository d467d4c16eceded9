"""Measures for how long the units of automatic monitors have been up."""

import asyncio

from monitord.automatic_names import UNITS
from monitord.clock import Clock
from monitord.dispatch import MonitorEntry, Sink
from monitord.model import Result, Verdict

RECOVERED_AFTER_S = 600.0


class UnitRecoveries(Sink):
    """Measures for how long the units of automatic monitors have been up, for `UnitSource`, which removes them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._up_since_s: dict[str, float | None] = {}
        self._recovered: set[str] = set()
        self._has_recovered = asyncio.Event()

    def add(self, unit: str) -> None:
        """Start measuring a unit."""
        self._up_since_s.setdefault(unit, None)

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
        if settings.source != UNITS:
            return
        unit = settings.name.removeprefix(f"{UNITS}:")
        if unit not in self._up_since_s:
            return
        if result.verdict is Verdict.FAIL:
            self._up_since_s[unit] = None
        elif result.verdict is not Verdict.INCONCLUSIVE:
            if self._up_since_s[unit] is None:
                self._up_since_s[unit] = self._clock.monotonic_s()
            elif self.has_recovered(unit):
                self._recovered.add(unit)
                self._has_recovered.set()
