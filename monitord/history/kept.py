"""What a restart finds again: states, what is the daemon's own, and open incidents.

It is read from a damaged database as well, as far as that goes, so that a bad page does not cost what is on the others.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from monitord.history.codes import from_ms
from monitord.history.damage import read_rows
from monitord.history.values import Kept
from monitord.model import Incident, Reason

INCIDENT_COLUMNS = """
    incidents.id, monitors.name, opened, closed, reasons.name, detail, acknowledged_by, acknowledged, comment
    FROM incidents JOIN monitors ON monitors.id = incidents.monitor LEFT JOIN reasons ON reasons.id = incidents.reason
"""


STATES = "SELECT monitor, body FROM states"
OWN = "SELECT key, body FROM own"
OPEN_INCIDENTS = f"SELECT {INCIDENT_COLUMNS} WHERE closed IS NULL ORDER BY opened"


def read_kept(connection: sqlite3.Connection) -> Kept:
    """Rows that cannot be read are left out. Raises sqlite3.Error."""
    return Kept(
        dict(read_rows(connection.execute(STATES), _state, "states of monitors")),
        dict(read_rows(connection.execute(OWN), _state, "states of the daemon")),
        tuple(read_rows(connection.execute(OPEN_INCIDENTS), incident_of, "open incidents")),
    )


def salvage(connection: sqlite3.Connection) -> Kept:
    """As much of it as can be read. Never raises."""
    states: list[tuple[str, Mapping[str, Any]]] = []
    own: list[tuple[str, Mapping[str, Any]]] = []
    incidents: list[Incident] = []
    try:
        states = read_rows(_as_far_as_it_goes(connection, STATES), _state, "states of monitors")
        own = read_rows(_as_far_as_it_goes(connection, OWN), _state, "states of the daemon")
        incidents = read_rows(_as_far_as_it_goes(connection, OPEN_INCIDENTS), incident_of, "open incidents")
    except sqlite3.Error:  # from the first page on
        pass
    return Kept(dict(states), dict(own), tuple(incidents))


def _as_far_as_it_goes(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows before the first damaged page."""
    try:
        yield from connection.execute(query)
    except sqlite3.Error:
        return


def _state(key: object, body: str) -> tuple[str, Mapping[str, Any]]:
    state = json.loads(body)
    if not isinstance(key, str) or not isinstance(state, dict):
        raise TypeError("a state is not an object under a name")
    return key, state


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
    """From INCIDENT_COLUMNS. Raises TypeError, ValueError or OverflowError for what this program does not write."""
    texts = (number, monitor, detail, acknowledged_by or "", comment or "")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a column of text holds something else")
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
