"""The clock of retention: the wall clock, after it has proved reliable.

A machine that boots without a battery or network may have a clock that is years ahead. It must not lose its history in
the minutes before the clock is set. Therefore a jump ahead is followed only after the daemon has run for another day;
until then ages grow at the rate of the clock. A jump back is followed at once, because it only makes data younger. A
long stop of the daemon and a suspended machine look the same: data is then deleted up to a day later than necessary.
"""

import logging
import sqlite3

from monitord.units import format_duration

log = logging.getLogger(__name__)

CLOCK_JUMP_MS = 3_600_000
"""The shortest retention that can be configured (`settings`)."""

TRUST_AFTER_MS = 24 * 3_600_000

_TIME, _PROVED = "aged_until", "leap_proved"


class RetentionClock:
    """Owned by the writer's thread."""

    def __init__(self, connection: sqlite3.Connection, seen_ms: int) -> None:
        """`seen_ms`: when the daemon last ran, or 0; used if the database has no time of this clock."""
        stored = dict(connection.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (_TIME, _PROVED)))
        self._time_ms: int | None = stored.get(_TIME, seen_ms) or None
        self._trusted_ms: int = stored.get(_PROVED, 0)
        self._wall_ms: int | None = None
        self._has_logged = False

    def advance(self, wall_ms: int) -> int:
        """Return the time that ages are to be counted from."""
        ticked_ms = 0 if self._wall_ms is None else wall_ms - self._wall_ms
        self._wall_ms = wall_ms
        if self._time_ms is None or wall_ms - self._time_ms <= CLOCK_JUMP_MS:
            self._follow(wall_ms)
        elif 0 <= ticked_ms <= CLOCK_JUMP_MS:
            self._time_ms += ticked_ms
            self._trusted_ms += ticked_ms
            if self._trusted_ms >= TRUST_AFTER_MS:
                log.info(
                    "history: the clock has run for a day since it jumped ahead, and is used again to delete old data"
                )
                self._follow(wall_ms)
        else:
            self._trusted_ms = 0
        if self._time_ms is not None and wall_ms - self._time_ms > CLOCK_JUMP_MS and not self._has_logged:
            self._has_logged = True
            log.info(
                "history: the clock is %s ahead of the last time that the daemon ran. It may be wrong, so old data is "
                "deleted a day later",
                format_duration(round((wall_ms - self._time_ms) / 1000)),
            )
        return wall_ms if self._time_ms is None else self._time_ms

    def _follow(self, wall_ms: int) -> None:
        self._time_ms, self._trusted_ms, self._has_logged = wall_ms, 0, False

    def save(self, connection: sqlite3.Connection) -> None:
        """Store the time for the next start. To be called in a transaction."""
        rows = ((_TIME, self._time_ms or 0), (_PROVED, self._trusted_ms))
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
