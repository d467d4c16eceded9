"""What a restart finds again: states, what is the daemon's own, and open incidents.

It is read from a damaged database as well, as far as that goes, so that a bad page does not cost what is on the others.
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
    """What a restart finds again. `states` by monitor and `own` by key, as they were saved last."""

    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    daemon_states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    open_incidents: tuple[Incident, ...] = ()


def read_saved_state(connection: sqlite3.Connection) -> SavedState:
    """Rows that cannot be read are left out. Raises sqlite3.Error."""
    return SavedState(
        dict(read_rows(connection.execute(STATES_QUERY), _state, "states of monitors")),
        dict(read_rows(connection.execute(DAEMON_STATES_QUERY), _state, "states of the daemon")),
        tuple(read_rows(connection.execute(OPEN_INCIDENTS_QUERY), incident_of, "open incidents")),
    )


def salvage(connection: sqlite3.Connection) -> SavedState:
    """As much of it as can be read. Never raises."""
    states: list[tuple[str, Mapping[str, Any]]] = []
    own: list[tuple[str, Mapping[str, Any]]] = []
    incidents: list[Incident] = []
    try:
        states = read_rows(_as_far_as_it_goes(connection, STATES_QUERY), _state, "states of monitors")
        own = read_rows(_as_far_as_it_goes(connection, DAEMON_STATES_QUERY), _state, "states of the daemon")
        incidents = read_rows(
            _as_far_as_it_goes(connection, OPEN_INCIDENTS_QUERY), incident_of, "open incidents"
        )
    except sqlite3.Error:  # from the first page on
        pass
    return SavedState(dict(states), dict(own), tuple(incidents))


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
