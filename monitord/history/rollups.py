"""Rollups: summaries of the results of each minute, hour and day.

The rollups of a monitor contain all of its results before `rolled_up_until`, and none after it. A rollup moves that
moment forward: it summarizes the results up to the new moment and writes all three levels, in one transaction. Later
results are read from the table of results. A crash loses nothing, and the memory contains a single moment of each
monitor. A late result, from before `rolled_up_until`, is merged into the stored rollups at once.
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
"""Each rollup rewrites the hour and the day: a shorter delay writes more, a longer one lets queries read more."""

LATE_MS = MINUTE_MS
"""Results have the time at which their check started; nearly all arrive within this time."""

SPREAD_MS = MINUTE_MS
"""Monitors are rolled up at different moments within this time."""

Minutes = dict[int, Summary]


def add_to(minutes: Minutes, at_ms: int, duration_us: int, outcome: int, phases_us: list[int] | None) -> None:
    minute_ms = at_ms - at_ms % MINUTE_MS
    summary = minutes.get(minute_ms)
    if summary is None:
        summary = minutes[minute_ms] = Summary()
    summary.add(verdict_code_of(outcome), duration_us if has_response(outcome) else None, phases_us)


def merge_minutes(connection: sqlite3.Connection, monitor: int, minutes: Mapping[int, Summary]) -> None:
    """Add summaries of minutes to the rows of all levels. To be called in a transaction."""
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
    """Summarize the results of this period, and move `rolled_up_until` to its end. To be called in a transaction."""
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
    """The time of the oldest result of each monitor that is not in a rollup."""

    def __init__(self) -> None:
        self._oldest_ms: dict[int, int] = {}

    def find(self, connection: sqlite3.Connection, rolled_up_until: Mapping[int, int]) -> None:
        """Read the oldest results of these monitors, each with its `rolled_up_until`, from the database."""
        for monitor, rolled_up_ms in rolled_up_until.items():
            (oldest_ms,) = connection.execute(
                "SELECT min(at) FROM results WHERE monitor = ? AND at >= ? AND typeof(at) = 'integer'",
                (monitor, rolled_up_ms),
            ).fetchone()
            self._oldest_ms.pop(monitor, None)
            if oldest_ms is not None:
                self._oldest_ms[monitor] = oldest_ms

    def add(self, monitor: int, at_ms: int) -> None:
        self._oldest_ms[monitor] = min(at_ms, self._oldest_ms.get(monitor, at_ms))

    def due(self, now_ms: int, max_monitors: int) -> list[int]:
        """Monitors that are due for a rollup, those with the longest wait first."""
        due = []
        for monitor, oldest_ms in self._oldest_ms.items():
            minute_ms = oldest_ms - oldest_ms % MINUTE_MS
            if now_ms >= minute_ms + ROLLUP_AFTER_MS + monitor * 997 % SPREAD_MS:
                due.append(monitor)
                if len(due) == max_monitors:
                    break
        return due


def rollup_until_ms(now_ms: int) -> int:
    return (now_ms - LATE_MS) // MINUTE_MS * MINUTE_MS
