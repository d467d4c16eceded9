"""What a restart finds again: states, what is the daemon's own, and open incidents.

It is read from a damaged database as well, as far as that goes, so that a bad page does not cost what is on the others.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from monitord.history.codes import from_ms
from monitord.history.values import Kept
from monitord.model import Incident, Reason

INCIDENT_COLUMNS = """
    incidents.id, monitors.name, opened, closed, reasons.name, detail, acknowledged_by, acknowledged, comment
    FROM incidents JOIN monitors ON monitors.id = incidents.monitor JOIN reasons ON reasons.id = incidents.reason
"""


def read_kept(connection: sqlite3.Connection) -> Kept:
    """Raises sqlite3.Error, and ValueError or OverflowError for what only damage can have written."""
    return Kept(
        dict(_states(connection, "SELECT monitor, body FROM states")),
        dict(_states(connection, "SELECT key, body FROM own")),
        tuple(_open_incidents(connection)),
    )


def salvage(connection: sqlite3.Connection) -> Kept:
    """As much of it as can be read. Never raises."""
    states: dict[str, Mapping[str, Any]] = {}
    own: dict[str, Mapping[str, Any]] = {}
    incidents: list[Incident] = []
    for found, rows in (
        (states, _states(connection, "SELECT monitor, body FROM states")),
        (own, _states(connection, "SELECT key, body FROM own")),
    ):
        try:
            for key, state in rows:
                found[key] = state
        except (sqlite3.Error, ValueError, OverflowError, RecursionError):
            continue
    with contextlib.suppress(sqlite3.Error, ValueError, OverflowError):
        incidents.extend(_open_incidents(connection))
    return Kept(states, own, tuple(incidents))


def _states(connection: sqlite3.Connection, query: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, body in connection.execute(query):
        state = json.loads(body)
        if isinstance(state, dict):
            yield key, state


def _open_incidents(connection: sqlite3.Connection) -> Iterator[Incident]:
    for row in connection.execute(f"SELECT {INCIDENT_COLUMNS} WHERE closed IS NULL ORDER BY opened"):
        yield incident_of(row)


def incident_of(row: tuple[Any, ...]) -> Incident:
    """From INCIDENT_COLUMNS."""
    number, monitor, opened, closed, reason, detail, acknowledged_by, acknowledged, comment = row
    return Incident(
        id=number,
        monitor=monitor,
        opened_at=from_ms(opened),
        reason=Reason(reason),
        detail=detail,
        closed_at=None if closed is None else from_ms(closed),
        acknowledged_by=acknowledged_by,
        acknowledged_at=None if acknowledged is None else from_ms(acknowledged),
        comment=comment,
    )


def check_reasons(connection: sqlite3.Connection) -> None:
    """Raises ValueError for one that this version does not know: a later one wrote it."""
    for (name,) in connection.execute("SELECT name FROM reasons"):
        Reason(name)
