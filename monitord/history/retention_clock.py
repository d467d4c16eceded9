"""By which time it is judged what is too old: the wall clock's, once it has proved itself.

A machine whose clock stands years ahead after a start without battery or network must not lose all its history in
the minutes before the clock is set. So a leap ahead is followed only when the daemon has run for a day since, and until
then ages grow as the clock ticks. A leap back is followed at once: it makes everything younger. A long stop, or a
long sleep of the machine, looks the same; after it what is too old goes a day later than it could have.
"""

import logging
import sqlite3

from monitord.units import format_duration

log = logging.getLogger(__name__)

CLOCK_JUMP_MS = 3_600_000
"""No kind of history can be kept for less (`settings`)."""

TRUST_AFTER_MS = 24 * 3_600_000

_TIME, _PROVED = "aged_until", "leap_proved"


class RetentionClock:
    """Owned by the writer's thread."""

    def __init__(self, connection: sqlite3.Connection, seen_ms: int) -> None:
        """`seen_ms`: when the daemon was last seen to run, or 0; it counts in a database that knows no better."""
        kept = dict(connection.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (_TIME, _PROVED)))
        self._time_ms: int | None = kept.get(_TIME, seen_ms) or None
        self._trusted_ms: int = kept.get(_PROVED, 0)
        self._wall_ms: int | None = None
        self._has_logged = False

    def advance(self, wall_ms: int) -> int:
        """The time that ages are to be counted from now."""
        ticked_ms = 0 if self._wall_ms is None else wall_ms - self._wall_ms
        self._wall_ms = wall_ms
        if self._time_ms is None or wall_ms - self._time_ms <= CLOCK_JUMP_MS:
            self._follow(wall_ms)
        elif 0 <= ticked_ms <= CLOCK_JUMP_MS:
            self._time_ms += ticked_ms
            self._trusted_ms += ticked_ms
            if self._trusted_ms >= TRUST_AFTER_MS:
                log.info("history follows the clock, which has run for a day since it leapt ahead")
                self._follow(wall_ms)
        else:
            self._trusted_ms = 0
        if self._time_ms is not None and wall_ms - self._time_ms > CLOCK_JUMP_MS and not self._has_logged:
            self._has_logged = True
            log.info(
                "the clock is %s ahead of what history has last seen: what is too old by it is kept for a day more, "
                "as the clock may be wrong",
                format_duration(round((wall_ms - self._time_ms) / 1000)),
            )
        return wall_ms if self._time_ms is None else self._time_ms

    def _follow(self, wall_ms: int) -> None:
        self._time_ms, self._trusted_ms, self._has_logged = wall_ms, 0, False

    def save(self, connection: sqlite3.Connection) -> None:
        """For the next start, in a transaction."""
        rows = ((_TIME, self._time_ms or 0), (_PROVED, self._trusted_ms))
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
