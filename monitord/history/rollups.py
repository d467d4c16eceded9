"""Minutes, hours and days of results: when they are made of them, and how they get into the database.

A monitor's rollups hold all of its results before `rolled_up_until`, and none after. Sealing moves that moment on: it
adds up the results up to the new one and writes all three levels, in one transaction. What came since is read from the
results themselves. So a crash loses nothing, and in memory is no more than a moment of each monitor. A result that
comes late, for a time that is sealed, is merged into the rows at once.
"""

import sqlite3
from collections.abc import Mapping

from monitord.history.damage import read_rows
from monitord.history.encoding import has_response, unpack_integers, verdict_code_of
from monitord.history.summary import Summary

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
LEVELS_S = (60, 3600, 86_400)

ROLLUP_AFTER_MS = 2 * MINUTE_MS
"""Hours and days are written again with each sealing. More often is more to write, less often more results to read."""

LATE_MS = MINUTE_MS
"""Results bear the time at which their check began; nearly all come within this time after it."""

SPREAD_MS = MINUTE_MS

Minutes = dict[int, Summary]


def add_to(minutes: Minutes, at_ms: int, duration_us: int, outcome: int, phases_us: list[int] | None) -> None:
    minute_ms = at_ms - at_ms % MINUTE_MS
    summary = minutes.get(minute_ms)
    if summary is None:
        summary = minutes[minute_ms] = Summary()
    summary.add(verdict_code_of(outcome), duration_us if has_response(outcome) else None, phases_us)


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
            for stored in read_rows([] if row is None else [row], Summary.decode, "rollups"):
                total.merge(stored)
            connection.execute(
                "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?)",
                (level_s, monitor, at_ms, total.encode()),
            )


def roll_up(connection: sqlite3.Connection, monitor: int, from_ms: int, until_ms: int) -> None:
    """Move `rolled_up_until` from the one to the other. Call it in a transaction."""
    minutes: Minutes = {}
    rows = connection.execute(
        "SELECT at, duration, outcome, phases FROM results WHERE monitor = ? AND at >= ? AND at < ?",
        (monitor, from_ms, until_ms),
    )
    read_rows(
        rows,
        lambda at_ms, duration_us, outcome, phases: add_to(
            minutes, at_ms, duration_us, outcome, unpack_integers(phases) if phases else None
        ),
        "results",
    )
    merge_minutes(connection, monitor, minutes)
    connection.execute("UPDATE monitors SET rolled_up_until = ? WHERE id = ?", (until_ms, monitor))


class PendingRollups:
    """Of each monitor with results that are in no rollup yet, the moment of the oldest."""

    def __init__(self) -> None:
        self._oldest_ms: dict[int, int] = {}

    def find(self, connection: sqlite3.Connection, sealed: Mapping[int, int]) -> None:
        """As the database has it of these monitors, each with its `rolled_up_until`."""
        for monitor, rolled_up_ms in sealed.items():
            (oldest_ms,) = connection.execute(
                "SELECT min(at) FROM results WHERE monitor = ? AND at >= ? AND typeof(at) = 'integer'",
                (monitor, rolled_up_ms),
            ).fetchone()
            self._oldest_ms.pop(monitor, None)
            if oldest_ms is not None:
                self._oldest_ms[monitor] = oldest_ms

    def add(self, monitor: int, at_ms: int) -> None:
        self._oldest_ms[monitor] = min(at_ms, self._oldest_ms.get(monitor, at_ms))

    def due(self, now_ms: int, most: int) -> list[int]:
        """Monitors whose oldest minute is old enough, each at a time of its own; who was sealed last comes last."""
        due = []
        for monitor, oldest_ms in self._oldest_ms.items():
            minute_ms = oldest_ms - oldest_ms % MINUTE_MS
            if now_ms >= minute_ms + ROLLUP_AFTER_MS + monitor * 997 % SPREAD_MS:
                due.append(monitor)
                if len(due) == most:
                    break
        return due


def rollup_until_ms(now_ms: int) -> int:
    return (now_ms - LATE_MS) // MINUTE_MS * MINUTE_MS
