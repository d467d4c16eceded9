"""The uptime of all monitors over a day and a month, read from the history now and then while somebody looks."""

from collections.abc import Sequence
from datetime import timedelta

from monitord.clock import Clock
from monitord.status.pages.background import BackgroundRead
from monitord.status.pages.past import Past

DAY, MONTH = timedelta(days=1), timedelta(days=30)
READ_EVERY_S = 60.0


class Uptimes:
    """`known`: of each monitor the ratios of both, as they were read last."""

    def __init__(self, past: Past, clock: Clock) -> None:
        self._past = past
        self._clock = clock
        self._reading = BackgroundRead("uptimes for the overview")
        self._read_at = float("-inf")
        self.known: dict[str, tuple[float | None, float | None]] = {}

    async def refresh(self, names: Sequence[str]) -> None:
        """Read anew what is old, and wait a moment for it."""
        if not self._past.is_kept:
            return
        is_old = self._clock.monotonic_s() - self._read_at > READ_EVERY_S
        if is_old or any(name not in self.known for name in names):
            self._reading.begin(lambda: self._read(names))
        await self._reading.wait()

    async def close(self) -> None:
        await self._reading.close()

    async def _read(self, names: Sequence[str]) -> None:
        self._read_at = self._clock.monotonic_s()
        now = self._clock.now()
        found = await self._past.uptimes(names, [(now - DAY, now), (now - MONTH, now)])
        self.known = {name: (day.ratio, month.ratio) for name, (day, month) in found.items()}
