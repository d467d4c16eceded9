"""Minutes, hours and days of results: what is added up in memory, and how it gets into the database.

A monitor's rollups hold all of its results before `sealed_until`, and none after. Sealing moves that moment on,
some minutes at a time, and writes all three levels in one transaction; what came since is read from the results
themselves. So a crash loses nothing: the sums in memory are made again from the results. A result that comes late,
for a time that is sealed, is merged into the rows at once.
"""

import sqlite3
from collections.abc import Iterable, Mapping

from monitord.history.codes import is_answered, verdict_code_of
from monitord.history.summary import Summary
from monitord.history.varint import unpack

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
LEVELS_S = (60, 3600, 86_400)

SEAL_AFTER_MS = 2 * MINUTE_MS
"""Hours and days are written again with each sealing: more often is more to write, and less to hold in memory."""

LATE_MS = MINUTE_MS
"""Results bear the time at which their check began; nearly all come within this time after it."""

SPREAD_MS = MINUTE_MS

Minutes = dict[int, Summary]


def add_to(minutes: Minutes, at_ms: int, took_us: int, what: int, phases_us: list[int] | None) -> None:
    minute_ms = at_ms - at_ms % MINUTE_MS
    summary = minutes.get(minute_ms)
    if summary is None:
        summary = minutes[minute_ms] = Summary()
    summary.add(verdict_code_of(what), took_us if is_answered(what) else None, phases_us)


def merge_minutes(connection: sqlite3.Connection, monitor: int, minutes: Mapping[int, Summary]) -> None:
    """Add to the rows of all levels. Call it in a transaction."""
    for level_s in LEVELS_S:
        step_ms = level_s * 1000
        sums: Minutes = {}
        for at_ms, summary in minutes.items():
            sums.setdefault(at_ms - at_ms % step_ms, Summary()).merge(summary)
        for at_ms, total in sums.items():
            row = connection.execute(
                "SELECT body FROM rollups WHERE level = ? AND monitor = ? AND at = ?",
                (level_s, monitor, at_ms),
            ).fetchone()
            if row is not None:
                total.merge(Summary.decode(row[0]))
            connection.execute(
                "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?)",
                (level_s, monitor, at_ms, total.encode()),
            )


class Unsealed:
    """The minutes of each monitor that are in no rollup yet."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minutes] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Add up again what the database has."""
        self._minutes = {}
        rows = connection.execute(
            """
            SELECT results.monitor, results.at, results.took, results.what, results.phases
            FROM monitors JOIN results ON results.monitor = monitors.id AND results.at >= monitors.sealed_until
            """
        )
        for monitor, at_ms, took_us, what, phases in rows:
            self.add(monitor, at_ms, took_us, what, unpack(phases) if phases else None)

    def add(self, monitor: int, at_ms: int, took_us: int, what: int, phases_us: list[int] | None) -> None:
        minutes = self._minutes.get(monitor)
        if minutes is None:
            minutes = self._minutes[monitor] = {}
        add_to(minutes, at_ms, took_us, what, phases_us)

    def due(self, now_ms: int, most: int) -> list[int]:
        """Monitors whose oldest minute is old enough, each at a time of its own."""
        due = []
        for monitor, minutes in self._minutes.items():
            if minutes and now_ms >= min(minutes) + SEAL_AFTER_MS + monitor * 997 % SPREAD_MS:
                due.append(monitor)
                if len(due) == most:
                    break
        return due

    def before(self, monitor: int, until_ms: int) -> Minutes:
        return {at: summary for at, summary in self._minutes[monitor].items() if at < until_ms}

    def forget(self, monitor: int, minutes: Iterable[int]) -> None:
        """They are in the database."""
        left = self._minutes[monitor]
        for at_ms in minutes:
            del left[at_ms]
        if not left:
            del self._minutes[monitor]


def seal_until_ms(now_ms: int) -> int:
    return (now_ms - LATE_MS) // MINUTE_MS * MINUTE_MS
