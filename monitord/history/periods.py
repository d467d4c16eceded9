"""Queries of reports: maintenance and incidents of all monitors in a period. Arguments are in milliseconds."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord.history import spans
from monitord.history.damage import read_rows
from monitord.history.encoding import IN_MAINTENANCE, from_ms
from monitord.history.queries import INCIDENT_COLUMNS, incident_of
from monitord.model import Incident

INCIDENTS_AT_ONCE = 500
"""Limit for the parameters of a statement."""


@dataclass(frozen=True, slots=True)
class IncidentTime:
    """An incident without its cause. `closed_at` None: it is open."""

    id: str
    monitor: str
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class MaintenanceTime:
    """A period in which a monitor was in maintenance, limited to the period of the query."""

    monitor: str
    start: datetime
    end: datetime


def maintenance(
    connection: sqlite3.Connection, monitors: Sequence[str], start_ms: int, end_ms: int
) -> list[MaintenanceTime]:
    """Adjacent spans of one monitor are a single period: its state may have changed during maintenance."""
    numbers = dict(connection.execute("SELECT name, id FROM monitors").fetchall())
    seen_ms = spans.read_seen(connection)
    times: list[MaintenanceTime] = []
    for name in monitors:
        if name not in numbers:
            continue
        merged: list[tuple[int, int]] = []
        for begins_ms, ends_ms, state in spans.between(connection, numbers[name], start_ms, end_ms, seen_ms):
            code: Any = state  # that of a damaged row may have any type
            if not isinstance(code, int) or not code & IN_MAINTENANCE or ends_ms <= begins_ms:
                continue
            if merged and merged[-1][1] == begins_ms:
                merged[-1] = (merged[-1][0], ends_ms)
            else:
                merged.append((begins_ms, ends_ms))
        times += [MaintenanceTime(name, from_ms(begins), from_ms(ends)) for begins, ends in merged]
    return times


def incident_times(connection: sqlite3.Connection, start_ms: int, end_ms: int) -> list[IncidentTime]:
    """All incidents that were open during the period, in the order in which they opened."""
    rows = connection.execute(
        """
        SELECT incidents.id, monitors.name, opened, closed
        FROM incidents JOIN monitors ON monitors.id = incidents.monitor
        WHERE opened < ?2 AND (closed IS NULL OR closed > ?1) ORDER BY opened
        """,
        (start_ms, end_ms),
    )
    return read_rows(
        rows,
        lambda number, monitor, opened, closed: IncidentTime(
            str(number), str(monitor), from_ms(opened), None if closed is None else from_ms(closed)
        ),
        "incidents",
    )


def incidents_by_id(connection: sqlite3.Connection, ids: Sequence[str]) -> list[Incident]:
    """The oldest first. Incidents that have been deleted are omitted."""
    incidents: list[Incident] = []
    for first in range(0, len(ids), INCIDENTS_AT_ONCE):
        some = ids[first : first + INCIDENTS_AT_ONCE]
        rows = connection.execute(
            f"SELECT {INCIDENT_COLUMNS} WHERE incidents.id IN ({', '.join('?' * len(some))})", tuple(some)
        )
        incidents += read_rows(rows, incident_of, "incidents")
    return sorted(incidents, key=lambda incident: incident.opened_at)
