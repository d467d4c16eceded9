"""Queries of the API, pages and commands: functions over a read-only connection.

Each runs in one transaction, so that rollups and later results are consistent. Arguments are in milliseconds.
"""

import json
import sqlite3
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.history import spans
from monitord.history.damage import read_rows
from monitord.history.encoding import (
    FAIL_CODE,
    IN_MAINTENANCE,
    STATES,
    from_ms,
    has_response,
    state_of,
    unpack_integers,
    verdict_code_of,
    verdict_of,
)
from monitord.history.retention_clock import CLOCK_JUMP_MS
from monitord.history.rollups import DAY_MS, LEVELS_S
from monitord.history.store import MAX_RECORDS
from monitord.history.summary import Summary
from monitord.history.values import (
    Bucket,
    DaySummary,
    StoredResult,
    Uptime,
    bucket_of,
    phases_s,
    total_uptime,
)
from monitord.model import Incident, Reason, State, Transition

MAX_POINTS = 300
"""Limit for a chart without a requested step."""

MAX_BUCKETS = 1500
"""A day of minutes. A step that would return more is increased."""

MAX_ROWS = 1000
"""Results, incidents or transitions in one response."""

MAX_DAYS = 1000

FAR_FUTURE_MS = 1 << 50


INCIDENT_COLUMNS = """
    incidents.id, monitors.name, opened, closed, reasons.name, detail, acknowledged_by, acknowledged, comment
    FROM incidents JOIN monitors ON monitors.id = incidents.monitor LEFT JOIN reasons ON reasons.id = incidents.reason
"""


@dataclass(frozen=True, slots=True)
class Horizons:
    """The times of the oldest minutes and hours. Days begin with the oldest data."""

    minutes_s: float
    hours_s: float


def results(
    connection: sqlite3.Connection, monitor: str, limit: int, before_ms: int | None, *, failed: bool
) -> list[StoredResult]:
    """The newest first."""
    failing = f"AND outcome & 3 = {FAIL_CODE}" if failed else ""
    return _results(
        connection,
        f"AND at < ? {failing} ORDER BY at DESC LIMIT ?",
        (monitor, FAR_FUTURE_MS if before_ms is None else before_ms, min(limit, MAX_ROWS)),
    )


def records(
    connection: sqlite3.Connection, monitor: str, limit: int, now_ms: int, *, is_failure: bool
) -> list[Mapping[str, Any]]:
    """The newest first; those with a time in the future, of a clock that was ahead, come last."""
    rows = connection.execute(
        """
        SELECT body FROM records
        WHERE monitor = (SELECT id FROM monitors WHERE name = ?) AND is_failure = ?
        ORDER BY at > ?, at DESC LIMIT ?
        """,
        (monitor, is_failure, now_ms + CLOCK_JUMP_MS, min(limit, MAX_RECORDS)),
    )
    return read_rows(rows, lambda body: json.loads(zlib.decompress(body)), "records of results")


def results_after(
    connection: sqlite3.Connection, monitor: str, after_ms: int, limit: int
) -> list[StoredResult]:
    """The oldest first."""
    return _results(connection, "AND at > ? ORDER BY at LIMIT ?", (monitor, after_ms, limit))


def _results(connection: sqlite3.Connection, which: str, values: tuple[object, ...]) -> list[StoredResult]:
    rows = connection.execute(
        f"""
        SELECT at, duration, outcome, reasons.name, phases, detail
        FROM results LEFT JOIN reasons ON reasons.id = results.reason
        WHERE monitor = (SELECT id FROM monitors WHERE name = ?) {which}
        """,  # noqa: S608 - one of the texts above
        values,
    )
    return read_rows(rows, _stored_result, "results")


def _stored_result(
    at_ms: int, duration_us: int, outcome: int, reason: str | None, phases: bytes | None, detail: str | None
) -> StoredResult:
    if detail is not None and not isinstance(detail, str):
        raise TypeError("the detail is not a string")
    return StoredResult(
        at=from_ms(at_ms),
        verdict=verdict_of(outcome),
        state=state_of(outcome),
        reason=Reason.of_code(reason),
        duration_s=duration_us / 1e6,
        phases_s=phases_s(unpack_integers(phases)) if phases else {},
        detail=detail,
    )


def choose_step(
    start_ms: int, end_ms: int, step_s: float | None, now_ms: int, horizons: Horizons
) -> tuple[int, int]:
    """Return the level to read and the step, in seconds: the requested step, or the next that is available."""
    span_s = max(1, (end_ms - start_ms) / 1000)
    age_s = (now_ms - start_ms) / 1000
    least_s = span_s / (MAX_POINTS if step_s is None else MAX_BUCKETS)
    least_s = max(least_s, step_s or 0)
    if age_s > horizons.hours_s + 3600:
        finest_s = 86_400
    elif age_s > horizons.minutes_s + 60:
        finest_s = 3600
    else:
        finest_s = 60
    for level_s in reversed(LEVELS_S):
        # The coarsest level of which the requested step is a multiple; without one, the coarsest that is fine enough.
        if level_s <= finest_s or (level_s <= least_s and (step_s is None or least_s % level_s == 0)):
            unit_s = max(level_s, finest_s)
            return unit_s, max(1, -int(-least_s // unit_s)) * unit_s
    raise AssertionError("the finest level always matches")


def choose_level(start_ms: int, end_ms: int, now_ms: int, horizons: Horizons) -> int:
    """Return the level for the summary of a period: fine enough for its ends, with few enough rows."""
    age_s, span_s = (now_ms - start_ms) / 1000, (end_ms - start_ms) / 1000
    if age_s <= horizons.minutes_s + 60 and span_s <= MAX_BUCKETS * 60:
        return 60
    if age_s <= horizons.hours_s + 3600 and span_s <= MAX_BUCKETS * 3600:
        return 3600
    return 86_400


def buckets(
    connection: sqlite3.Connection, monitor: str, start_ms: int, end_ms: int, level_s: int, step_s: int
) -> list[Bucket]:
    """All buckets of the period, including those without results. The first and last are complete."""
    step_ms = step_s * 1000
    return _buckets(
        connection, monitor, start_ms - start_ms % step_ms, end_ms + -end_ms % step_ms, level_s, step_s
    )


def total(connection: sqlite3.Connection, monitor: str, start_ms: int, span_s: int, level_s: int) -> Bucket:
    """Return one bucket of `span_s`, from `start_ms` rounded down to the level."""
    first_ms = start_ms - start_ms % (level_s * 1000)
    (bucket,) = _buckets(connection, monitor, first_ms, first_ms + span_s * 1000, level_s, span_s)
    return bucket


def _buckets(
    connection: sqlite3.Connection, monitor: str, first_ms: int, end_ms: int, level_s: int, step_s: int
) -> list[Bucket]:
    """Buckets from `first_ms` on. A step is a multiple of the level."""
    step_ms = step_s * 1000
    summaries = {at: Summary() for at in range(first_ms, end_ms, step_ms)}
    uptimes: dict[int, dict[int, float]] = {at: {} for at in summaries}
    known = _monitor_row(connection, monitor)
    if known is not None:
        number, rolled_up_ms = known
        rows = connection.execute(
            "SELECT at, body FROM rollups WHERE level = ? AND monitor = ? AND at >= ? AND at < ?",
            (level_s, number, first_ms, end_ms),
        ).fetchall()
        for at_ms, summary in read_rows(rows, lambda at, body: (at, Summary.decode(body)), "rollups"):
            summaries[at_ms - (at_ms - first_ms) % step_ms].merge(summary)
        fresh = connection.execute(
            "SELECT at, duration, outcome, phases FROM results WHERE monitor = ? AND at >= ? AND at < ?",
            (number, max(first_ms, rolled_up_ms), end_ms),
        ).fetchall()
        read_rows(
            fresh,
            lambda at, duration_us, outcome, phases: summaries[at - (at - first_ms) % step_ms].add(
                verdict_code_of(outcome),
                duration_us if has_response(outcome) else None,
                unpack_integers(phases) if phases else None,
            ),
            "results",
        )
        _add_spans(connection, number, end_ms, step_ms, uptimes)
    return [
        bucket_of(from_ms(at), float(step_s), summary, _uptime(uptimes[at].items()))
        for at, summary in summaries.items()
    ]


def _add_spans(
    connection: sqlite3.Connection,
    number: int,
    end_ms: int,
    step_ms: int,
    seconds: dict[int, dict[int, float]],
) -> None:
    """Add the spans of the period to `seconds`, whose keys are the starts of the steps."""
    first_ms = next(iter(seconds))
    seen_ms = spans.read_seen(connection)
    for begins_ms, ends_ms, state in spans.between(connection, number, first_ms, end_ms, seen_ms):
        at_ms = begins_ms - (begins_ms - first_ms) % step_ms
        while at_ms < ends_ms:
            inside_ms = min(ends_ms, at_ms + step_ms) - max(begins_ms, at_ms)
            seconds[at_ms][state] = seconds[at_ms].get(state, 0.0) + inside_ms / 1000
            at_ms += step_ms


def uptime(connection: sqlite3.Connection, monitor: str, start_ms: int, end_ms: int) -> Uptime:
    known = _monitor_row(connection, monitor)
    if known is None:
        return Uptime({})
    seen_ms = spans.read_seen(connection)
    return _uptime(spans.seconds_by_state(connection, known[0], start_ms, end_ms, seen_ms))


def uptimes(
    connection: sqlite3.Connection, monitors: Sequence[str], windows: Sequence[tuple[int, int]]
) -> dict[str, tuple[Uptime, ...]]:
    numbers = _numbers(connection, monitors)
    seen_ms = spans.read_seen(connection)
    return {
        name: tuple(
            _uptime(spans.seconds_by_state(connection, numbers[name], start_ms, end_ms, seen_ms))
            if name in numbers
            else Uptime({})
            for start_ms, end_ms in windows
        )
        for name in monitors
    }


def _numbers(connection: sqlite3.Connection, monitors: Iterable[str]) -> dict[str, int]:
    """The numbers of monitors by name; unknown names are omitted."""
    # By the index, not all rows: the objectives of thousands of monitors read one monitor each, every minute.
    rows = (
        (name, connection.execute("SELECT id FROM monitors WHERE name = ?", (name,)).fetchone())
        for name in monitors
    )
    return {name: row[0] for name, row in rows if row is not None}


def total_uptimes(
    connection: sqlite3.Connection, monitors: Sequence[str], windows: Sequence[tuple[int, int]]
) -> tuple[Uptime, ...]:
    """The uptime of all monitors together in each window."""
    by_monitor = uptimes(connection, monitors, windows)
    return tuple(
        total_uptime(uptime[index] for uptime in by_monitor.values()) for index in range(len(windows))
    )


def _uptime(seconds: Iterable[tuple[Any, float]]) -> Uptime:
    by_state: dict[State, float] = {}
    maintenance_s = 0.0
    for state, spent_s in seconds:
        if not isinstance(state, int):  # a damaged row
            continue
        if state & IN_MAINTENANCE:
            maintenance_s += spent_s
        else:
            known_state = STATES[state] if 0 <= state < len(STATES) else State.UNKNOWN
            by_state[known_state] = by_state.get(known_state, 0.0) + spent_s
    return Uptime(by_state, maintenance_s)


def incidents(
    connection: sqlite3.Connection,
    monitor: str | None,
    limit: int,
    before_ms: int | None,
    *,
    is_open: bool | None,
) -> list[Incident]:
    """The newest first."""
    where, values = ["opened < ?"], [FAR_FUTURE_MS if before_ms is None else before_ms]
    named: list[str] = []
    if monitor is not None:
        where.append("incidents.monitor = (SELECT id FROM monitors WHERE name = ?)")
        named = [monitor]
    if is_open is not None:
        where.append(f"closed IS {'' if is_open else 'NOT '}NULL")
    rows = connection.execute(
        f"SELECT {INCIDENT_COLUMNS} WHERE {' AND '.join(where)} ORDER BY opened DESC LIMIT ?",
        (*values, *named, min(limit, MAX_ROWS)),
    )
    return read_rows(rows, incident_of, "incidents")


def incident_of(
    number: str,
    monitor: str,
    opened: int,
    closed: int | None,
    reason: str | None,
    detail: str,
    acknowledged_by: str | None,
    acknowledged: int | None,
    comment: str | None,
) -> Incident:
    """Return the incident of a row with INCIDENT_COLUMNS.

    Raises TypeError, ValueError or OverflowError if the row is damaged.
    """
    texts = (number, monitor, detail, acknowledged_by or "", comment or "")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a column of text contains another type")
    return Incident(
        id=number,
        monitor=monitor,
        opened_at=from_ms(opened),
        reason=Reason.of_code(reason),
        detail=detail,
        closed_at=None if closed is None else from_ms(closed),
        acknowledged_by=acknowledged_by,
        acknowledged_at=None if acknowledged is None else from_ms(acknowledged),
        comment=comment,
    )


def transitions(
    connection: sqlite3.Connection, monitor: str, limit: int, before_ms: int | None
) -> list[Transition]:
    """The newest first."""
    rows = connection.execute(
        """
        SELECT before, after, at, since, reasons.name, detail
        FROM transitions LEFT JOIN reasons ON reasons.id = transitions.reason
        WHERE monitor = (SELECT id FROM monitors WHERE name = ?) AND at < ? ORDER BY at DESC LIMIT ?
        """,
        (monitor, FAR_FUTURE_MS if before_ms is None else before_ms, min(limit, MAX_ROWS)),
    )
    return read_rows(
        rows,
        lambda before, after, at_ms, since_ms, reason, detail: Transition(
            monitor,
            STATES[before],
            STATES[after],
            from_ms(at_ms),
            from_ms(since_ms),
            Reason.of_code(reason),
            str(detail),
        ),
        "transitions",
    )


def days(connection: sqlite3.Connection, monitor: str, count: int, now_ms: int) -> list[DaySummary]:
    """The oldest first, today the last."""
    end_ms = now_ms - now_ms % DAY_MS + DAY_MS
    start_ms = end_ms - min(max(count, 1), MAX_DAYS) * DAY_MS
    seconds: dict[int, dict[int, float]] = {at: {} for at in range(start_ms, end_ms, DAY_MS)}
    opened = dict.fromkeys(seconds, 0)
    known = _monitor_row(connection, monitor)
    if known is not None:
        _add_spans(connection, known[0], end_ms, DAY_MS, seconds)
        rows = connection.execute(
            "SELECT opened, coalesce(closed, ?1) FROM incidents WHERE monitor = ?2 AND opened < ?1 "
            "AND coalesce(closed, ?1) >= ?3",
            (end_ms, known[0], start_ms),
        )
        for opened_ms, closed_ms in rows:
            first_ms = max(opened_ms - opened_ms % DAY_MS, start_ms)
            for at in range(first_ms, min(closed_ms + 1, end_ms), DAY_MS):
                opened[at] += 1
    return [DaySummary(from_ms(at), _uptime(seconds[at].items()), opened[at]) for at in seconds]


def uptimes_between(
    connection: sqlite3.Connection, monitors: Sequence[str], bounds_ms: Sequence[int]
) -> dict[str, tuple[Uptime, ...]]:
    """The uptime of each monitor between each two adjacent bounds, which are in order."""
    numbers = _numbers(connection, monitors)
    seen_ms = spans.read_seen(connection)
    by_monitor: dict[str, tuple[Uptime, ...]] = {}
    for name in monitors:
        seconds: list[dict[int, float]] = [{} for _ in bounds_ms[1:]]
        if name in numbers:
            first_ms, last_ms = bounds_ms[0], bounds_ms[-1]
            for begins_ms, ends_ms, state in spans.between(
                connection, numbers[name], first_ms, last_ms, seen_ms
            ):
                place = bisect_right(bounds_ms, begins_ms) - 1
                while place < len(seconds) and bounds_ms[place] < ends_ms:
                    inside_ms = min(ends_ms, bounds_ms[place + 1]) - max(begins_ms, bounds_ms[place])
                    seconds[place][state] = seconds[place].get(state, 0.0) + inside_ms / 1000
                    place += 1
        by_monitor[name] = tuple(_uptime(spent.items()) for spent in seconds)
    return by_monitor


def _monitor_row(connection: sqlite3.Connection, monitor: str) -> tuple[int, int] | None:
    """Return the number of the monitor and `rolled_up_until`."""
    row = connection.execute("SELECT id, rolled_up_until FROM monitors WHERE name = ?", (monitor,)).fetchone()
    return None if row is None else (row[0], row[1])


def first_rollup(connection: sqlite3.Connection, monitor: str, level_s: int) -> int:
    """Return the start of the oldest rollup of a level or of the oldest later result, or FAR_FUTURE_MS."""
    known = _monitor_row(connection, monitor)
    if known is None:
        return FAR_FUTURE_MS
    number, rolled_up_ms = known
    (rolled_ms,) = connection.execute(
        "SELECT min(at) FROM rollups WHERE level = ? AND monitor = ?", (level_s, number)
    ).fetchone()
    (fresh_ms,) = connection.execute(
        "SELECT min(at) FROM results WHERE monitor = ? AND at >= ?", (number, rolled_up_ms)
    ).fetchone()
    first_ms = min(FAR_FUTURE_MS if at is None else int(at) for at in (rolled_ms, fresh_ms))
    return first_ms - first_ms % (level_s * 1000)
