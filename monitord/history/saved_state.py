"""The saved state that a restart continues from: states of monitors and of the daemon, and open incidents.

It is also salvaged from a damaged database, as far as its pages are readable.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from monitord.history.damage import read_rows
from monitord.history.queries import INCIDENT_COLUMNS, incident_of
from monitord.model import Incident

STATES_QUERY = "SELECT monitor, body FROM states"
DAEMON_STATES_QUERY = "SELECT key, body FROM daemon_states"
OPEN_INCIDENTS_QUERY = f"SELECT {INCIDENT_COLUMNS} WHERE closed IS NULL ORDER BY opened"


@dataclass(frozen=True, slots=True)
class SavedState:
    """The last saved states of monitors, by name, and of the daemon, by key."""

    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    daemon_states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    open_incidents: tuple[Incident, ...] = ()


def read_saved_state(connection: sqlite3.Connection) -> SavedState:
    """Read all of it. Unreadable rows are left out. Raises sqlite3.Error."""
    return SavedState(
        dict(read_rows(connection.execute(STATES_QUERY), _state, "states of monitors")),
        dict(read_rows(connection.execute(DAEMON_STATES_QUERY), _state, "states of the daemon")),
        tuple(read_rows(connection.execute(OPEN_INCIDENTS_QUERY), incident_of, "open incidents")),
    )


def salvage(connection: sqlite3.Connection) -> SavedState:
    """Read as much of it as possible. Never raises."""
    states: list[tuple[str, Mapping[str, Any]]] = []
    daemon_states: list[tuple[str, Mapping[str, Any]]] = []
    incidents: list[Incident] = []
    try:
        states = read_rows(_readable_rows(connection, STATES_QUERY), _state, "states of monitors")
        daemon_states = read_rows(
            _readable_rows(connection, DAEMON_STATES_QUERY), _state, "states of the daemon"
        )
        incidents = read_rows(_readable_rows(connection, OPEN_INCIDENTS_QUERY), incident_of, "open incidents")
    except sqlite3.Error:  # damaged from the first page on
        pass
    return SavedState(dict(states), dict(daemon_states), tuple(incidents))


def _readable_rows(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows before the first damaged page."""
    try:
        yield from connection.execute(query)
    except sqlite3.Error:
        return


def _state(key: object, body: str) -> tuple[str, Mapping[str, Any]]:
    state = json.loads(body)
    if not isinstance(key, str) or not isinstance(state, dict):
        raise TypeError("a state is not a JSON object with a name")
    return key, state
