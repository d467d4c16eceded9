"""Retention: old rows are deleted, a few monitors at a time.

The settings give a retention for each kind of row; ages are measured by the `retention_clock`. While the database
exceeds `max_size`, the retention of the finest kind is shortened, then that of the next: results down to an hour, then
minutes, hours and days. It is lengthened again when there is space. A result is not deleted before it is in a rollup.
Each step deletes a limited number of rows, so that it does not delay a commit.
"""

import logging
import math
import sqlite3

from monitord.history.retention_clock import RetentionClock
from monitord.history.settings import HistorySettings
from monitord.units import format_duration, format_size

log = logging.getLogger(__name__)

STEP_EVERY_MS = 1000
CYCLE_STEPS = 300
"""Each monitor is processed once in five minutes, and every twenty seconds while the database is too large."""
HURRIED_CYCLE_STEPS = 20

MAX_ROWS = 2000
"""Rows of one monitor and kind that one step deletes."""

MAX_PAGES = 500
"""Pages that one step returns to the file system."""

SHORTEN_FACTOR = 0.85
LENGTHEN_FACTOR = 1.1
LENGTHEN_BELOW_RATIO = 0.85
"""The ratio of the size to `max_size` below which retention is lengthened again."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

RESULTS = 0
_LEVELS = (60, 3600, 86_400)


class Retention:
    """Owned by the thread of the writer. `step` is to be called in a transaction."""

    def __init__(self, settings: HistorySettings, clock: RetentionClock) -> None:
        self._clock = clock
        self._max_bytes = settings.max_size_bytes
        self._configured_ms = {
            RESULTS: round(settings.results_s * 1000),
            60: round(settings.minutes_s * 1000),
            3600: round(settings.hours_s * 1000),
            86_400: round(settings.days_s * 1000),
        }
        self._retention_ms = dict(self._configured_ms)
        self._minimum_ms = {RESULTS: _HOUR_MS, 60: _HOUR_MS, 3600: _DAY_MS, 86_400: 7 * _DAY_MS}
        self._cycle: list[int] = []
        self._per_step = 1
        self._stepped_ms: int | None = None
        self._has_logged_full = False

    def is_due(self, now_ms: int) -> bool:
        return self._stepped_ms is None or abs(now_ms - self._stepped_ms) >= STEP_EVERY_MS

    def step(self, connection: sqlite3.Connection, now_ms: int) -> list[int]:
        """Delete old rows of the next monitors. Returns the monitors without any rows."""
        self._stepped_ms = now_ms
        aged_ms = self._clock.advance(now_ms)
        if not self._cycle:
            pages, free, page_bytes = _pages(connection)
            used_bytes = (pages - free) * page_bytes
            is_too_large = used_bytes > self._max_bytes
            if is_too_large:
                self._shorten()
            elif used_bytes < LENGTHEN_BELOW_RATIO * self._max_bytes:
                for kind, configured_ms in reversed(self._configured_ms.items()):
                    retention_ms = self._retention_ms[kind]
                    if retention_ms < configured_ms:
                        self._retention_ms[kind] = min(configured_ms, round(retention_ms * LENGTHEN_FACTOR))
                        break
            self._cycle = [row[0] for row in connection.execute("SELECT id FROM monitors ORDER BY id DESC")]
            self._per_step = math.ceil(
                len(self._cycle) / (HURRIED_CYCLE_STEPS if is_too_large else CYCLE_STEPS)
            )
            self._clock.save(connection)
        gone = []
        for _ in range(min(self._per_step, len(self._cycle))):
            monitor = self._cycle.pop()
            self._delete_expired(connection, monitor, aged_ms)
            if aged_ms < now_ms:
                # Results after the jump of the clock are most of the rows; their ages relative to each other are right.
                self._delete_expired_results(connection, monitor, aged_ms, now_ms)
            (is_used,) = connection.execute(
                """
                SELECT EXISTS (SELECT 1 FROM results WHERE monitor = ?1)
                    OR EXISTS (SELECT 1 FROM rollups WHERE level = 60 AND monitor = ?1)
                    OR EXISTS (SELECT 1 FROM rollups WHERE level = 3600 AND monitor = ?1)
                    OR EXISTS (SELECT 1 FROM rollups WHERE level = 86400 AND monitor = ?1)
                    OR EXISTS (SELECT 1 FROM spans WHERE monitor = ?1)
                    OR EXISTS (SELECT 1 FROM records WHERE monitor = ?1)
                    OR EXISTS (SELECT 1 FROM transitions WHERE monitor = ?1)
                    OR EXISTS (SELECT 1 FROM incidents WHERE monitor = ?1)
                """,
                (monitor,),
            ).fetchone()
            if not is_used:
                gone.append(monitor)
        return gone

    def vacuum(self, connection: sqlite3.Connection) -> None:
        """Return some free pages to the file system if there are many. To be called outside a transaction."""
        pages, free, page_bytes = _pages(connection)
        if free > max(pages // 4, MAX_PAGES) or (free and pages * page_bytes > self._max_bytes):
            # The statement frees a page per step and returns no row: `execute` would make only one step.
            connection.executescript(f"PRAGMA incremental_vacuum({MAX_PAGES})")

    def _shorten(self) -> None:
        for kind, retention_ms in self._retention_ms.items():
            minimum_ms = min(self._minimum_ms[kind], self._configured_ms[kind])
            if retention_ms > minimum_ms:
                self._retention_ms[kind] = max(minimum_ms, round(retention_ms * SHORTEN_FACTOR))
                if retention_ms == self._configured_ms[kind]:
                    log.warning(
                        "history has reached max_size (%s): the retention of %s is now shorter than %s",
                        format_size(self._max_bytes),
                        _NAMES[kind],
                        format_duration(retention_ms / 1000),
                    )
                return
        if not self._has_logged_full:
            self._has_logged_full = True
            log.warning(
                "history exceeds max_size (%s) although every retention is at its minimum; increase max_size",
                format_size(self._max_bytes),
            )

    def _delete_expired_results(
        self, connection: sqlite3.Connection, monitor: int, from_ms: int, now_ms: int
    ) -> None:
        connection.execute(
            """
            DELETE FROM results WHERE monitor = ?1 AND at >= ?2 AND at < min(
                ?3,
                (SELECT rolled_up_until FROM monitors WHERE id = ?1),
                coalesce((SELECT at FROM results WHERE monitor = ?1 AND at >= ?2 ORDER BY at LIMIT 1 OFFSET ?4), ?3)
            )
            """,
            (monitor, from_ms, now_ms - self._retention_ms[RESULTS], MAX_ROWS),
        )

    def _delete_expired(self, connection: sqlite3.Connection, monitor: int, now_ms: int) -> None:
        self._delete_expired_results(connection, monitor, 0, now_ms)
        for level in _LEVELS:
            connection.execute(
                """
                DELETE FROM rollups WHERE level = ?1 AND monitor = ?2 AND at < min(?3, coalesce(
                    (SELECT at FROM rollups WHERE level = ?1 AND monitor = ?2 ORDER BY at LIMIT 1 OFFSET ?4), ?3
                ))
                """,
                (level, monitor, now_ms - self._retention_ms[level] - level * 1000, MAX_ROWS),
            )
        oldest_ms = now_ms - self._retention_ms[86_400]
        connection.execute(
            """
            DELETE FROM spans WHERE monitor = ?1 AND until < ?2 AND start < min(?2, coalesce(
                (SELECT start FROM spans WHERE monitor = ?1 ORDER BY start LIMIT 1 OFFSET ?3), ?2
            ))
            """,
            (monitor, oldest_ms, MAX_ROWS),
        )
        connection.execute("DELETE FROM records WHERE monitor = ? AND at < ?", (monitor, oldest_ms))
        connection.execute("DELETE FROM transitions WHERE monitor = ? AND at < ?", (monitor, oldest_ms))
        connection.execute(
            "DELETE FROM incidents WHERE monitor = ? AND opened < ? AND closed < ?",
            (monitor, oldest_ms, oldest_ms),
        )


_NAMES = {RESULTS: "results", 60: "minutes", 3600: "hours", 86_400: "days"}


def size_bytes(connection: sqlite3.Connection) -> int:
    pages, _, page_bytes = _pages(connection)
    return pages * page_bytes


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """The number of pages, that of free pages, and the size of a page in bytes."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages), int(free), int(page_bytes)
