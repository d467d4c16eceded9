"""The tables, and the steps that bring a database of an earlier version up to date.

Each step is a script or a function for the version of its index, beginning with an empty file (0). A step that has been
released is never changed: add another step, and a database of the version before to tests/history/schemas.

Monitors and reasons are stored by number, so that a result takes about 40 bytes. The rows of a monitor are stored
together, in the order of time. `results.outcome` is packed (`encoding.pack_outcome`). `records` contains the last
results of each monitor with all their fields and, separately, its last failures. `rollups` contains the minutes, hours
and days (`level`: their length in seconds) of all results before `monitors.rolled_up_until`, and of none after it.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence

from monitord.history.migrations import (
    rename_reasons,
    rename_reasons_of_version_7,
    rename_terms,
    rename_terms_of_states,
    rename_terms_of_types,
)

APPLICATION_ID = 0x6D6F6E64
""" "mond", for file(1)."""

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
    """
    ALTER TABLE monitors RENAME COLUMN sealed_until TO rolled_up_until;
    ALTER TABLE results RENAME COLUMN took TO duration;
    ALTER TABLE results RENAME COLUMN what TO outcome;
    ALTER TABLE own RENAME TO daemon_states;
    """,
    rename_terms_of_states,
    rename_reasons,
    rename_terms_of_types,
    rename_reasons_of_version_7,
)

TABLES = frozenset(
    re.findall(r"CREATE TABLE (\w+)", "".join(step for step in STEPS if isinstance(step, str)))
) - {"own"} | {"daemon_states"}


class DamageError(Exception):
    """The database contains something that no version has written."""


class NewerVersionError(Exception):
    """The database was written by a later version of monitord. It is not changed."""


class ForeignDatabaseError(Exception):
    """The database belongs to another program."""


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Run the missing steps in one transaction. Raises sqlite3.Error, and the errors of `check_version`."""
    version = check_version(connection, steps)
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


def check_version(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> int:
    """Return the version. Raises NewerVersionError, and the errors of `version_of`."""
    version = version_of(connection)
    if version > len(steps):
        raise NewerVersionError(
            f"its version is {version}, and this monitord supports versions up to {len(steps)}"
        )
    return version


def check_tables(connection: sqlite3.Connection) -> None:
    """Check the version and the tables. Raises DamageError if one is missing, and the errors of `check_version`."""
    check_version(connection)
    present = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    missing = sorted(TABLES - present)
    if missing:
        raise DamageError(f"tables are missing: {', '.join(missing)}")


def version_of(connection: sqlite3.Connection) -> int:
    """Return 0 for a new file. Raises ForeignDatabaseError, and sqlite3.DatabaseError if it is not a database."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise ForeignDatabaseError
    return int(version)
