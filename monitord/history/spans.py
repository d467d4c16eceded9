"""Spans: the periods in which a monitor was in one state, which never overlap. Functions over a connection.

An open span ends at the time when the daemon last ran (`seen`), so time in which it did not run belongs to no state. A
new span replaces spans of the hour after its start, because a change may be recorded late. Spans beyond that hour stay:
a temporarily wrong clock cannot delete a year. The new span then starts where the old span ends.

If the clock was ahead, there may be spans after the start of the open span, which are subtracted from it. If the clock
is soon set back into the skipped time, they are deleted (`resume`).
"""

import sqlite3
from collections.abc import Iterator

REPLACED_MS = 3_600_000

_SEEN = "seen"


def read_seen(connection: sqlite3.Connection) -> int:
    """Return the time when the daemon last ran, 0 if never."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_SEEN,)).fetchone()
    return int(row[0]) if row else 0


def write_seen(connection: sqlite3.Connection, at_ms: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_SEEN, at_ms))


def start(connection: sqlite3.Connection, monitor: int, at_ms: int, state: int | None) -> None:
    """End the open span and start one with this state; None: only end it."""
    _end(connection, monitor, at_ms)
    connection.execute(
        "DELETE FROM spans WHERE monitor = ? AND start >= ? AND start < ?",
        (monitor, at_ms, at_ms + REPLACED_MS),
    )
    before = connection.execute(
        "SELECT start, until FROM spans WHERE monitor = ? AND start < ? ORDER BY start DESC LIMIT 1",
        (monitor, at_ms),
    ).fetchone()
    start_ms = at_ms
    if before is not None and before[1] > at_ms:
        if before[1] <= at_ms + REPLACED_MS:
            connection.execute(
                "UPDATE spans SET until = ? WHERE monitor = ? AND start = ?", (at_ms, monitor, before[0])
            )
        else:
            start_ms = before[1]
    if state is not None:
        connection.execute(
            "INSERT OR REPLACE INTO spans (monitor, start, until, state) VALUES (?, ?, NULL, ?)",
            (monitor, start_ms, state),
        )


def _end(connection: sqlite3.Connection, monitor: int, at_ms: int) -> None:
    connection.execute(
        "DELETE FROM spans WHERE monitor = ? AND until IS NULL AND start >= ?", (monitor, at_ms)
    )
    row = connection.execute(
        "SELECT start, state FROM spans WHERE monitor = ? AND until IS NULL", (monitor,)
    ).fetchone()
    if row is None:
        return
    start_ms, state = row
    first, *others = list(_outside(start_ms, at_ms, _later(connection, monitor, start_ms, at_ms))) or [
        (start_ms, start_ms)
    ]
    connection.execute(
        "UPDATE spans SET until = ? WHERE monitor = ? AND start = ?", (first[1], monitor, start_ms)
    )
    connection.executemany(
        "INSERT INTO spans (monitor, start, until, state) VALUES (?, ?, ?, ?)",
        [(monitor, begins_ms, ends_ms, state) for begins_ms, ends_ms in others],
    )


def _later(connection: sqlite3.Connection, monitor: int, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Spans after the start of the open span, written when the clock was ahead."""
    return connection.execute(
        "SELECT start, until FROM spans WHERE monitor = ? AND start > ? AND start < ? ORDER BY start",
        (monitor, start_ms, end_ms),
    ).fetchall()


def _outside(start_ms: int, end_ms: int, taken: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a period outside of `taken`, which is in order."""
    for begins_ms, ends_ms in taken:
        if begins_ms > start_ms:
            yield start_ms, min(begins_ms, end_ms)
        start_ms = max(start_ms, ends_ms)
    if start_ms < end_ms:
        yield start_ms, end_ms


def end_all(connection: sqlite3.Connection) -> None:
    """End the open spans of an earlier run at the time when it last ran."""
    seen_ms = read_seen(connection)
    connection.execute("DELETE FROM spans WHERE until IS NULL AND start >= ?", (seen_ms,))
    connection.execute("UPDATE spans SET until = ? WHERE until IS NULL", (seen_ms,))


def resume(connection: sqlite3.Connection, resumed_ms: int, wrong_since_ms: int | None = None) -> None:
    """End the open spans when the daemon last ran, and start them again: it did not run, or the clock was set.

    `wrong_since_ms`: the clock was ahead; spans that start at this time or later are deleted.
    """
    seen_ms = read_seen(connection)
    rows = connection.execute("SELECT monitor, start, state FROM spans WHERE until IS NULL").fetchall()
    if wrong_since_ms is not None:
        connection.execute("DELETE FROM spans WHERE start >= ?", (wrong_since_ms,))
        connection.execute("UPDATE spans SET until = ?1 WHERE until > ?1", (wrong_since_ms,))
    for monitor, start_ms, state in rows:
        if wrong_since_ms is None:
            _end(connection, monitor, max(start_ms, seen_ms))
        start(connection, monitor, resumed_ms, state)


def seconds_by_state(
    connection: sqlite3.Connection, monitor: int, start_ms: int, end_ms: int, seen_ms: int
) -> list[tuple[int, float]]:
    """Seconds by number of state, with or without `IN_MAINTENANCE`."""
    if _is_overtaken(connection, monitor, seen_ms):
        seconds: dict[int, float] = {}
        for begins_ms, ends_ms, state in between(connection, monitor, start_ms, end_ms, seen_ms):
            seconds[state] = seconds.get(state, 0.0) + (ends_ms - begins_ms) / 1000.0
        return list(seconds.items())
    rows = connection.execute(
        _OVERLAPPING.format(
            columns="state, sum(min(coalesce(until, max(start, :seen)), :end) - max(start, :start)) / 1000.0 AS spent",
            clause="GROUP BY state HAVING spent > 0",
        ),
        {"monitor": monitor, "start": start_ms, "end": end_ms, "seen": seen_ms},
    )
    return rows.fetchall()


def between(
    connection: sqlite3.Connection, monitor: int, start_ms: int, end_ms: int, seen_ms: int
) -> list[tuple[int, int, int]]:
    """Start, end and state of each span, limited to the period, in order."""
    if _is_overtaken(connection, monitor, seen_ms):
        closed = connection.execute(
            "SELECT start, until, state FROM spans WHERE monitor = ? AND until IS NOT NULL", (monitor,)
        ).fetchall()
        (opened_ms, state) = connection.execute(
            "SELECT start, state FROM spans WHERE monitor = ? AND until IS NULL", (monitor,)
        ).fetchone()
        taken = _later(connection, monitor, opened_ms, seen_ms)
        closed += [(begins_ms, ends_ms, state) for begins_ms, ends_ms in _outside(opened_ms, seen_ms, taken)]
        cut = ((max(begins, start_ms), min(ends, end_ms), state) for begins, ends, state in sorted(closed))
        return [(begins, ends, state) for begins, ends, state in cut if begins < ends]
    rows = connection.execute(
        _OVERLAPPING.format(
            columns="max(start, :start), min(coalesce(until, max(start, :seen)), :end), state",
            clause="ORDER BY start",
        ),
        {"monitor": monitor, "start": start_ms, "end": end_ms, "seen": seen_ms},
    )
    return rows.fetchall()


def _is_overtaken(connection: sqlite3.Connection, monitor: int, seen_ms: int) -> bool:
    """Whether there are spans after the start of the open span and before its current end."""
    # Not a join: SQLite would compare each span with each.
    (is_overtaken,) = connection.execute(
        """
        SELECT EXISTS(
            SELECT 1 FROM spans WHERE monitor = ?1 AND start < ?2
            AND start > (SELECT start FROM spans WHERE monitor = ?1 AND until IS NULL)
        )
        """,
        (monitor, seen_ms),
    ).fetchone()
    return bool(is_overtaken)


_OVERLAPPING = """
    SELECT {columns} FROM spans
    WHERE monitor = :monitor AND start < :end
    AND start >= coalesce(
        (SELECT max(start) FROM spans WHERE monitor = :monitor AND start <= :start), :start
    )
    AND coalesce(until, max(start, :seen)) > :start
    {clause}
"""
