"""The tables of the cluster, in the schema `monitord` of the database, with versioned migrations.

| table            | row                                                                                         |
|------------------|---------------------------------------------------------------------------------------------|
| `schema_version` | one: the version of the tables, and the oldest version that can use them                    |
| `node`           | a node, as its last heartbeat has described it; `run`: which of several daemons this was    |
|                  | `number`: of the last report of an agent                                                    |
| `configuration`  | the digest of each section of a node's configuration, by its key; `digest`: that of all     |
| `node_shard`     | the shared monitors that a node has in a shard, with a hash of the settings of each         |
| `vote`           | the state of a monitor at one location                                                      |
| `decision`       | the state that follows from the votes, with alert and flapping; version 0: none yet         |
| `transition`     | each change of a decision                                                                   |
| `incident`       | the time in which a decision was down, or has not been up or degraded since                 |
| `notification`   | a notification, its node, and the result                                                    |
| `heartbeat`      | the signals of jobs that nodes have received, by heartbeat monitor                          |
| `host_monitor`   | a monitor of the host of a node, which no other node checks; without a state it was removed |
| `intervention`   | a pause, an acknowledgement or a silence; without a record it has ended; used action links  |
| `secret`         | the key of action links, created by `initialize`                                            |

All times are those of the database, except `since`, `checked_at` and the times in JSON, which are those of nodes and
are not compared.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg

from monitord.alerts.action_links import KEY_BYTES
from monitord.clock import Clock
from monitord.cluster.database.connection import (
    UNVERIFIED,
    VERIFY_HINT,
    Connection,
    ConnectionString,
    Session,
)
from monitord.cluster.database.statements import HAS_LIVE_NODE
from monitord.errors import ClusterError, NotMemberError
from monitord.net.base.resolver import Resolver

SCHEMA_VERSION = 1
OLDEST_SERVER = 13
"""The major version of PostgreSQL, the oldest with support by its developers when Debian 12 was released."""

_LIMIT_OF_MIGRATION_S = 60.0

# Nearly all votes agree with the decisions. The partial indexes find the others: those on rows that are not up are
# empty while everything is up, and `vote_up` is empty while everything is down.
_VERSION_1 = (
    """
    CREATE TABLE node (
        name text PRIMARY KEY,
        location text NOT NULL,
        is_ready boolean NOT NULL,
        version text NOT NULL,
        configuration text NOT NULL,
        lateness_s double precision NOT NULL,
        checked_monitors integer NOT NULL,
        time_offset_s double precision NOT NULL,
        decision_lag_s double precision NOT NULL DEFAULT 0,
        is_isolated boolean NOT NULL DEFAULT false,
        run text NOT NULL,
        seen_at timestamptz NOT NULL,
        role text NOT NULL,
        shares_checks boolean NOT NULL,
        number bigint NOT NULL,
        absent_from timestamptz,
        back_at timestamptz
    )
    """,
    """
    CREATE TABLE configuration (
        node text PRIMARY KEY,
        digest text NOT NULL,
        sections jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE node_shard (
        node text NOT NULL,
        shard integer NOT NULL,
        monitors jsonb NOT NULL,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (node, shard)
    )
    """,
    "CREATE INDEX node_shard_changed_at ON node_shard (changed_at, node, shard)",
    """
    CREATE TABLE vote (
        monitor text NOT NULL,
        location text NOT NULL,
        shard integer NOT NULL,
        state text NOT NULL,
        since timestamptz NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL,
        excerpt text NOT NULL,
        node text NOT NULL,
        checked_at timestamptz NOT NULL,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (monitor, location)
    )
    """,
    "CREATE INDEX vote_changed_at ON vote (changed_at, monitor, location)",
    "CREATE INDEX vote_not_up ON vote (monitor, location, state, shard) WHERE state <> 'up'",
    "CREATE INDEX vote_up ON vote (monitor, location) WHERE state = 'up'",
    """
    CREATE TABLE decision (
        monitor text PRIMARY KEY,
        shard integer NOT NULL,
        state text NOT NULL,
        since timestamptz NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL,
        version bigint NOT NULL,
        alert jsonb,
        flapping jsonb,
        changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX decision_changed_at ON decision (changed_at, monitor)",
    "CREATE INDEX decision_not_up ON decision (monitor, state, shard) WHERE state <> 'up'",
    """
    CREATE TABLE transition (
        monitor text NOT NULL,
        version bigint NOT NULL,
        old_state text,
        state text NOT NULL,
        since timestamptz NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL,
        node text NOT NULL,
        decided_at timestamptz NOT NULL,
        PRIMARY KEY (monitor, version)
    )
    """,
    "CREATE INDEX transition_decided_at ON transition (decided_at)",
    """
    CREATE TABLE incident (
        monitor text NOT NULL,
        version bigint NOT NULL,
        started_at timestamptz NOT NULL,
        ended_at timestamptz,
        reason text NOT NULL,
        detail text NOT NULL,
        PRIMARY KEY (monitor, version)
    )
    """,
    "CREATE INDEX incident_open ON incident (monitor) WHERE ended_at IS NULL",
    """
    CREATE TABLE notification (
        id text PRIMARY KEY,
        notifier text NOT NULL,
        monitor text NOT NULL,
        body jsonb NOT NULL,
        copy_to text,
        created_at timestamptz NOT NULL,
        claimed_by text,
        claimed_until timestamptz,
        attempts integer NOT NULL,
        finished_at timestamptz,
        status text NOT NULL,
        response text NOT NULL,
        delivered_by text NOT NULL,
        message_key text,
        message_at timestamptz
    )
    """,
    "CREATE INDEX notification_open ON notification (created_at, id) WHERE finished_at IS NULL",
    "CREATE INDEX notification_of_monitor ON notification (monitor, notifier) WHERE finished_at IS NULL",
    "CREATE INDEX notification_finished_at ON notification (finished_at) WHERE finished_at IS NOT NULL",
    """
    CREATE TABLE intervention (
        kind text NOT NULL,
        key text NOT NULL,
        record jsonb,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (kind, key)
    )
    """,
    "CREATE INDEX intervention_changed_at ON intervention (changed_at, kind, key)",
    """
    CREATE TABLE heartbeat (
        monitor text PRIMARY KEY,
        facts jsonb NOT NULL,
        changed_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX heartbeat_changed_at ON heartbeat (changed_at, monitor)",
    """
    CREATE TABLE host_monitor (
        node text NOT NULL,
        monitor text NOT NULL,
        type text NOT NULL,
        tags jsonb NOT NULL,
        state text,
        since timestamptz,
        reason text NOT NULL,
        detail text NOT NULL,
        acknowledged_by text,
        maintenance text,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (node, monitor)
    )
    """,
    "CREATE INDEX host_monitor_changed_at ON host_monitor (changed_at, node, monitor)",
    "CREATE TABLE secret (name text PRIMARY KEY, value bytea NOT NULL)",
)

MIGRATIONS: Sequence[tuple[str, ...]] = (_VERSION_1,)
"""The statements that lead to each version, from version 1. A released migration never changes."""

LINK_KEY = "action links"
"""The name of the key in the table `secret`."""

READABLE_BY = 1
"""The oldest version of the program's tables that can use the current tables.

During an upgrade, nodes of the previous release use the tables that `initialize` of the next one has migrated. A
migration that only adds tables, indexes, and columns with a default therefore leaves this number as it is. Any other
migration has to raise it, and to end the connections of older nodes: the version is checked when a node connects.
"""

TABLES = (
    "node",
    "configuration",
    "node_shard",
    "vote",
    "decision",
    "transition",
    "incident",
    "notification",
    "intervention",
    "heartbeat",
    "host_monitor",
    "secret",
)


@dataclass(frozen=True, slots=True)
class Initialization:
    """The result of `initialize`. `version_before` 0: there were no tables.

    `time_offset_s`: the clock of this host minus that of the database. `warning`: the certificate of the server is not
    verified; None if it is, or if the connection does not leave this host.
    """

    version_before: int
    version: int
    server_version: str
    is_encrypted: bool
    time_offset_s: float
    warning: str | None = None


async def initialize(conninfo: str, clock: Clock, resolver: Resolver) -> Initialization:
    """Create the tables, or migrate those of an earlier release.

    Raises ClusterError, with a hint, if the server does not respond or is too old, if the connection string permits a
    connection to another host without TLS, or if the user lacks a privilege.
    """
    target = ConnectionString(conninfo)
    session = Session(target, clock, resolver)

    async def migrated(connection: Connection) -> Initialization:
        async with connection.transaction():
            return await _migrate(connection, clock)

    try:
        done = await session.run(migrated, _LIMIT_OF_MIGRATION_S)
    finally:
        await session.close()
    host = target.unverified_host
    return done if host is None else replace(done, warning=f"{UNVERIFIED.format(host)}; {VERIFY_HINT}")


async def check(connection: Connection) -> None:
    """Raise ClusterError unless this node can use the tables; NotMemberError if other nodes use them."""
    try:
        await _check(connection)
    except ClusterError as error:
        if await _are_used(connection):
            raise NotMemberError(error.message, hint=error.hint) from None
        raise


async def _are_used(connection: Connection) -> bool:
    """Whether the tables, which may be those of another release, have a live node."""
    try:
        row = await (await connection.execute(HAS_LIVE_NODE)).fetchone()
    except psycopg.Error:
        return False
    return row == (True,)


async def _check(connection: Connection) -> None:
    await check_server(connection)
    version, readable_by = await _versions(connection)
    if version < SCHEMA_VERSION:
        raise ClusterError(
            f"the tables of the cluster have version {version}, and this release needs version {SCHEMA_VERSION}",
            hint="run monitorctl cluster init",
        )
    if readable_by > SCHEMA_VERSION:
        raise ClusterError(
            f"the tables of the cluster have version {version}, and this release knows version {SCHEMA_VERSION}",
            hint="upgrade monitord on this node",
        )
    await _check_privileges(connection)


async def _check_privileges(connection: Connection) -> None:
    """Raise ClusterError if the role lacks a privilege: a node that can only send heartbeats would decide nothing."""
    # `has_table_privilege` with several privileges requires any of them.
    cursor = await connection.execute(
        "SELECT current_user, name, privilege FROM unnest(%s::text[]) AS name, unnest(%s::text[]) AS privilege"
        " WHERE NOT has_table_privilege('monitord.' || name, privilege) ORDER BY name, privilege LIMIT 1",
        (list(TABLES), ["SELECT", "INSERT", "UPDATE", "DELETE"]),
    )
    row = await cursor.fetchone()
    if row is not None:
        role, name, privilege = row
        raise ClusterError(
            f"the role {role} lacks the privilege {privilege} on the table {name} of the cluster",
            hint="run GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA monitord for it, as their owner",
        )


async def check_server(connection: Connection) -> None:
    """Raise ClusterError if the server is too old."""
    major = connection.info.server_version // 10000
    if major < OLDEST_SERVER:
        raise ClusterError(
            f"the server is PostgreSQL {major}", hint=f"use PostgreSQL {OLDEST_SERVER} or a later release"
        )


async def _migrate(connection: Connection, clock: Clock) -> Initialization:
    await check_server(connection)
    if not await _exists(connection):
        await connection.execute("CREATE SCHEMA IF NOT EXISTS monitord")
        await connection.execute(
            "CREATE TABLE schema_version"
            " (id integer PRIMARY KEY CHECK (id = 1), version integer NOT NULL, readable_by integer NOT NULL)"
        )
        await connection.execute("INSERT INTO schema_version VALUES (1, 0, 0)")
    # Two concurrent calls run one after the other.
    await connection.execute("SELECT version FROM schema_version FOR UPDATE")
    before, readable_by = await _versions(connection)
    if readable_by > SCHEMA_VERSION:
        raise ClusterError(
            f"the tables of the cluster have version {before}, and this release knows version {SCHEMA_VERSION}",
            hint="run monitorctl of the newer release",
        )
    # The limit of a session is for the short statements of nodes.
    await connection.execute("SET LOCAL statement_timeout TO 0")
    for statements in MIGRATIONS[before:]:
        for statement in statements:
            await connection.execute(statement)
    if before < SCHEMA_VERSION:
        await connection.execute(
            "UPDATE schema_version SET version = %s, readable_by = %s", (SCHEMA_VERSION, READABLE_BY)
        )
    await connection.execute(
        "INSERT INTO secret (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
        (LINK_KEY, secrets.token_bytes(KEY_BYTES)),
    )
    cursor = await connection.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101
    return Initialization(
        before,
        max(before, SCHEMA_VERSION),
        connection.info.parameter_status("server_version") or "",
        connection.pgconn.ssl_in_use,
        (clock.now() - row[0]).total_seconds(),
    )


async def _exists(connection: Connection) -> bool:
    # CREATE SCHEMA IF NOT EXISTS requires the privilege to create it even if it exists.
    cursor = await connection.execute(
        "SELECT count(*) FROM information_schema.tables"
        " WHERE table_schema = 'monitord' AND table_name = 'schema_version'"
    )
    return await cursor.fetchone() != (0,)


async def _versions(connection: Connection) -> tuple[int, int]:
    cursor = await connection.execute("SELECT version, readable_by FROM schema_version")
    row = await cursor.fetchone()
    if row is None:
        raise ClusterError("the tables of the cluster have no version", hint="run monitorctl cluster init")
    return int(row[0]), int(row[1])
