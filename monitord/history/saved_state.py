"""The saved state that a restart continues from: states of monitors and of the daemon, and open incidents.

It is also recovered from the readable pages of a damaged database.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from monitord.history.damage import read_rows
from monitord.history.queries import INCIDENT_COLUMNS, incident_of
from monitord.history.schema import STEPS, migrate
from monitord.model import Incident

STATES_QUERY = "SELECT monitor, body FROM states"
DAEMON_STATES_QUERY = "SELECT key, body FROM daemon_states"
OPEN_INCIDENTS_QUERY = f"SELECT {INCIDENT_COLUMNS} WHERE closed IS NULL ORDER BY opened"

SALVAGED_QUERIES = {
    "monitors": "SELECT * FROM monitors",
    "reasons": "SELECT * FROM reasons",
    "incidents": "SELECT * FROM incidents WHERE closed IS NULL",
    "states": STATES_QUERY,
    "daemon_states": DAEMON_STATES_QUERY,
    "own": "SELECT key, body FROM own",
}
"""By table, of all versions: `daemon_states` was called `own` until version 3."""


@dataclass(frozen=True, slots=True)
class SavedState:
    """The last saved states of monitors, by name, and of the daemon, by key."""

    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    daemon_states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    open_incidents: tuple[Incident, ...] = ()


def read_saved_state(connection: sqlite3.Connection) -> SavedState:
    """Read all of it. Unreadable rows are skipped. Raises sqlite3.Error."""
    return SavedState(
        dict(read_rows(connection.execute(STATES_QUERY), _state, "states of monitors")),
        dict(read_rows(connection.execute(DAEMON_STATES_QUERY), _state, "states of the daemon")),
        tuple(read_rows(connection.execute(OPEN_INCIDENTS_QUERY), incident_of, "open incidents")),
    )


def salvage(connection: sqlite3.Connection) -> SavedState:
    """Read as much of it as possible from a damaged database of any version. Never raises."""
    try:
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            migrate(copy, STEPS[:version])
            tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            for table in SALVAGED_QUERIES.keys() & tables:
                for row in _readable_rows(connection, SALVAGED_QUERIES[table]):
                    values = ", ".join("?" * len(row))
                    with contextlib.suppress(sqlite3.Error):
                        copy.execute(f"INSERT INTO {table} VALUES ({values})", row)  # noqa: S608 - constants
            migrate(copy)
            return read_saved_state(copy)
    except sqlite3.Error:  # damaged from the first page on
        return SavedState()


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
