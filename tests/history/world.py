"""Results, incidents and clocks for the tests of the history."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.history import History, HistorySettings
from monitord.history.encoding import to_ms
from monitord.model import Incident, Observation, Reason, Result, Verdict

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
START_MS = to_ms(START)


class SetClock:
    """A wall clock that is set by hand."""

    def __init__(self, now: datetime = START) -> None:
        self.at = now

    def monotonic_s(self) -> float:
        return self.at.timestamp()

    def now(self) -> datetime:
        return self.at

    def suspended_s(self) -> float:
        return 0.0


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def result(
    at: datetime = START,
    verdict: Verdict = Verdict.PASS,
    *,
    reason: Reason | None = None,
    duration_s: float = 0.2,
    detail: str = "GET / 200",
    **fields: float,
) -> Result:
    """`phase_tls=0.1` is the field `phase.tls`."""
    why = reason or {Verdict.PASS: Reason.OK, Verdict.WARN: Reason.OK}.get(verdict, Reason.REFUSED)
    named = {name.replace("phase_", "phase."): value for name, value in fields.items()}
    return Result(Observation(at, duration_s, why, detail, named), verdict)


def incident(monitor: str = "a", *, number: str = "i1", opened_at: datetime = START) -> Incident:
    return Incident(number, monitor, opened_at, Reason.REFUSED, "no answer")


class Life:
    """A history in a file, to be opened and closed several times."""

    def __init__(
        self, path: Path, settings: HistorySettings | None = None, clock: SetClock | None = None
    ) -> None:
        self.path = path
        self.settings = settings or HistorySettings()
        self.clock = clock or SetClock()

    def new(self) -> History:
        return History(self.path, self.settings, self.clock)

    def begin(self) -> History:
        """Return a history that is open and started."""
        history = self.new()
        history.open()
        history.start()
        return history


async def written(history: History) -> None:
    """Wait until all previous writes are in the database."""
    await until(lambda: history.stats().queued == 0, "all is written")


async def until(is_so: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    """Wait for the thread of the writer, which uses real time."""
    try:
        async with asyncio.timeout(within_s):
            while not is_so():  # noqa: ASYNC110 - no event reports when the thread gets there
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within_s} s") from None


def spoil_table(path: Path, table: str) -> None:
    """Overwrite all pages of a table."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = [
            number
            for (number,) in connection.execute(
                "SELECT pageno FROM dbstat WHERE name = ?", (table,)
            ).fetchall()
        ]
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        for number in pages:
            file.seek((number - 1) * page_bytes)
            file.write(b"\xa5" * page_bytes)
