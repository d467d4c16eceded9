"""How long a monitor stood how: spans that never overlap, written as functions over a connection in a transaction.

An open span ends when the daemon was last seen to run (`seen`), so time in which it did not run belongs to no
state. What is told of a moment replaces what was told of the hour after it, as a change may be told late. Beyond
that hour what is written stays: a clock that was wrong for a while cannot erase a year, and the new span begins
where the old one ends.
"""

import sqlite3

REPLACED_MS = 3_600_000

_SEEN = "seen"


def read_seen(connection: sqlite3.Connection) -> int:
    """When the daemon was last seen to run; 0 for never."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_SEEN,)).fetchone()
    return int(row[0]) if row else 0


def write_seen(connection: sqlite3.Connection, at_ms: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_SEEN, at_ms))


def begin(connection: sqlite3.Connection, monitor: int, at_ms: int, state: int | None) -> None:
    """The span that is open ends, and one of `state` begins; None: none does."""
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
    # What lies behind it was written by a clock that was ahead.
    connection.execute(
        """
        UPDATE spans SET until = min(?1, coalesce(
            (SELECT min(next.start) FROM spans AS next WHERE next.monitor = ?2 AND next.start > spans.start), ?1
        )) WHERE monitor = ?2 AND until IS NULL
        """,
        (at_ms, monitor),
    )


def end_all(connection: sqlite3.Connection) -> None:
    """The daemon that began them is gone: they end when it was last seen."""
    seen_ms = read_seen(connection)
    connection.execute("DELETE FROM spans WHERE until IS NULL AND start >= ?", (seen_ms,))
    connection.execute("UPDATE spans SET until = ? WHERE until IS NULL", (seen_ms,))


def resume(connection: sqlite3.Connection, from_ms: int) -> None:
    """The daemon did not run, or its clock was set: what is open ends when last seen, and goes on at `from_ms`."""
    seen_ms = read_seen(connection)
    rows = connection.execute("SELECT monitor, start, state FROM spans WHERE until IS NULL").fetchall()
    for monitor, start_ms, state in rows:
        _end(connection, monitor, max(start_ms, seen_ms))
        begin(connection, monitor, from_ms, state)


def seconds_by_state(
    connection: sqlite3.Connection, monitor: int, start_ms: int, end_ms: int, seen_ms: int
) -> list[tuple[int, float]]:
    """Seconds by the number of a state, with `IN_MAINTENANCE` or without."""
    rows = connection.execute(
        _OVERLAPPING.format(
            what="state, sum(min(coalesce(until, max(start, :seen)), :end) - max(start, :start)) / 1000.0 AS spent",
            then="GROUP BY state HAVING spent > 0",
        ),
        {"monitor": monitor, "start": start_ms, "end": end_ms, "seen": seen_ms},
    )
    return rows.fetchall()


def between(
    connection: sqlite3.Connection, monitor: int, start_ms: int, end_ms: int, seen_ms: int
) -> list[tuple[int, int, int]]:
    """Beginning, end and state of each, cut to the range, in order."""
    rows = connection.execute(
        _OVERLAPPING.format(
            what="max(start, :start), min(coalesce(until, max(start, :seen)), :end), state",
            then="ORDER BY start",
        ),
        {"monitor": monitor, "start": start_ms, "end": end_ms, "seen": seen_ms},
    )
    return rows.fetchall()


_OVERLAPPING = """
    SELECT {what} FROM spans
    WHERE monitor = :monitor AND start < :end
    AND start >= coalesce(
        (SELECT max(start) FROM spans WHERE monitor = :monitor AND start <= :start), :start
    )
    AND coalesce(until, max(start, :seen)) > :start
    {then}
"""
