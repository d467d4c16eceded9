"""The tables, and how a database of an older version becomes one of this version.

Each step is a script or a function that takes a database from its own number to the next, beginning with an empty
file at 0. A
step that was released is never changed: a new one is added, and tests/history/schemas gets the tables of the
version before.

Names of monitors and reasons are interned, so that a result takes some 40 bytes. Rows of a monitor lie together and in
order of time. `records` holds the last results whole, and apart from them the last failures. `rollups` holds minutes,
hours and days (`level`: their length in seconds) of all results before the monitor's `sealed_until`, and none of
those after.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence

from monitord.history.migrations import rename_terms

APPLICATION_ID = 0x6D6F6E64
""" "mond", where file(1) looks."""

Step = str | Callable[[sqlite3.Connection], None]

STEPS: tuple[Step, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE monitors (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, sealed_until INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE reasons (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE results (
        monitor INTEGER NOT NULL, at INTEGER NOT NULL, took INTEGER NOT NULL, what INTEGER NOT NULL,
        reason INTEGER NOT NULL, phases BLOB, detail TEXT,
        PRIMARY KEY (monitor, at)
    ) WITHOUT ROWID;
    CREATE TABLE rollups (
        level INTEGER NOT NULL, monitor INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (level, monitor, at)
    ) WITHOUT ROWID;
    CREATE TABLE spans (
        monitor INTEGER NOT NULL, start INTEGER NOT NULL, until INTEGER, state INTEGER NOT NULL,
        PRIMARY KEY (monitor, start)
    ) WITHOUT ROWID;
    CREATE INDEX spans_open ON spans (monitor) WHERE until IS NULL;
    CREATE TABLE transitions (
        monitor INTEGER NOT NULL, at INTEGER NOT NULL, before INTEGER NOT NULL, after INTEGER NOT NULL,
        since INTEGER NOT NULL, reason INTEGER NOT NULL, detail TEXT NOT NULL,
        PRIMARY KEY (monitor, at, after)
    ) WITHOUT ROWID;
    CREATE TABLE incidents (
        id TEXT PRIMARY KEY, monitor INTEGER NOT NULL, opened INTEGER NOT NULL, closed INTEGER, reason INTEGER NOT NULL,
        detail TEXT NOT NULL, acknowledged_by TEXT, acknowledged INTEGER, comment TEXT
    );
    CREATE INDEX incidents_by_monitor ON incidents (monitor, opened);
    CREATE INDEX incidents_by_time ON incidents (opened);
    CREATE INDEX incidents_open ON incidents (opened) WHERE closed IS NULL;
    CREATE TABLE states (monitor TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE own (key TEXT PRIMARY KEY, body TEXT NOT NULL);
    """,
    """
    CREATE TABLE records (
        monitor INTEGER NOT NULL, is_failure INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (monitor, is_failure, at)
    ) WITHOUT ROWID;
    """,
    rename_terms,
)


TABLES = frozenset(
    re.findall(r"CREATE TABLE (\w+)", "".join(step for step in STEPS if isinstance(step, str)))
)


class DamageError(Exception):
    """Something in the database that no version has written."""


class NewerVersionError(Exception):
    """The database was written by a later monitord, and is best left as it is."""


class ForeignDatabaseError(Exception):
    """A database, but of another program."""


def bring_up_to_date(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """In one transaction: after a failure the database is what it was. Raises sqlite3.Error as well."""
    version = check_is_known(connection, steps)
    if version == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            if callable(step):
                step(connection)
                continue
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_is_known(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> int:
    """The version. Raises NewerVersionError, and what `version_of` does."""
    version = version_of(connection)
    if version > len(steps):
        raise NewerVersionError(
            f"its version is {version}, and this monitord knows versions up to {len(steps)}"
        )
    return version


def check_tables(connection: sqlite3.Connection) -> None:
    """Raises DamageError where a table is missing that this version has made, and what `check_is_known` does."""
    check_is_known(connection)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    missing = sorted(TABLES - found)
    if missing:
        raise DamageError(f"tables are missing: {', '.join(missing)}")


def version_of(connection: sqlite3.Connection) -> int:
    """0 for a new file. Raises ForeignDatabaseError, and sqlite3.DatabaseError for what is no database at all."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise ForeignDatabaseError
    return int(version)
