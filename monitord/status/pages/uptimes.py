"""The uptime of all monitors over a day and a month, read from the history once a minute while the overview is open."""

from datetime import timedelta
from math import inf

from monitord.status.model.read_model import ReadModel
from monitord.status.pages.background import BackgroundRead
from monitord.status.pages.past import PageHistory

DAY, MONTH = timedelta(days=1), timedelta(days=30)
READ_EVERY_S = 60.0


class Uptimes:
    """Keeps the uptimes of the read model current."""

    def __init__(self, past: PageHistory, model: ReadModel) -> None:
        self._past = past
        self._model = model
        self._reading = BackgroundRead("uptimes for the overview")
        self._read_at_s = -inf

    async def refresh(self) -> None:
        """Read outdated uptimes again. Waits no longer than `BackgroundRead` does."""
        if not self._past.is_active:
            return
        is_old = self._model.clock.monotonic_s() - self._read_at_s > READ_EVERY_S
        if is_old or any(record.uptimes is None for record in self._model.monitors.values()):
            self._reading.begin(self._read)
        await self._reading.wait()

    async def close(self) -> None:
        await self._reading.close()

    async def _read(self) -> None:
        self._read_at_s = self._model.clock.monotonic_s()
        now = self._model.clock.now()
        uptimes = await self._past.uptimes(list(self._model.monitors), [(now - DAY, now), (now - MONTH, now)])
        self._model.set_uptimes({name: (day.ratio, month.ratio) for name, (day, month) in uptimes.items()})
