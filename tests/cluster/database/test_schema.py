"""Creating the tables, with the privileges of a role, and with tables of other releases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.cluster.database import ClusterDatabase, initialize, schema
from monitord.cluster.database.schema import SCHEMA_VERSION, TABLES
from monitord.errors import ClusterError, NotMemberError
from monitord.model import State
from monitord.net.base.resolver import Resolver
from tests.certificates import Authority
from tests.cluster.database.conftest import Connect, Sql, administrator, initialize_with_next_release
from tests.cluster.database.test_database import node
from tests.cluster.votes import vote
from tests.database_servers import Database, postgresql
from tests.fakes import FakeClock

# Each test creates a database.
pytestmark = pytest.mark.slow


def as_kim(server: Database, name: str) -> str:
    return f"host=127.0.0.1 port={server.port} dbname={name} user={name}_kim password=kim-kim"


@pytest.fixture
def kim(server: Database, name: str, sql: Sql) -> str:
    """The connection string of a role without privileges."""
    sql(f"CREATE ROLE {name}_kim LOGIN PASSWORD 'kim-kim'")
    return as_kim(server, name)


async def test_tables_are_created_once(conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver) -> None:
    first = await initialize(conninfo, clock, resolver)
    assert (first.version_before, first.version, first.is_encrypted) == (0, SCHEMA_VERSION, False)
    second = await initialize(conninfo, clock, resolver)
    assert (second.version_before, second.version) == (SCHEMA_VERSION, SCHEMA_VERSION)
    found = {
        row[0]
        for row in sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'monitord'")
    }
    assert found == {*TABLES, "schema_version"}


async def test_clock_offset_is_measured(
    conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver
) -> None:
    found = await initialize(conninfo, clock, resolver)
    [(years,)] = sql("SELECT extract(epoch FROM %s - now())", clock.now())
    assert found.time_offset_s == pytest.approx(float(str(years)), abs=600)


async def test_role_without_privileges_cannot_create_the_tables(
    kim: str, clock: FakeClock, resolver: Resolver
) -> None:
    with pytest.raises(ClusterError, match="permission denied for database") as caught:
        await initialize(kim, clock, resolver)
    assert "as the owner of the database" in caught.value.hint


async def test_owner_of_the_database_can_create_the_tables(
    kim: str, name: str, sql: Sql, clock: FakeClock, resolver: Resolver
) -> None:
    sql(f"ALTER DATABASE {name} OWNER TO {name}_kim")
    assert (await initialize(kim, clock, resolver)).version == SCHEMA_VERSION
    database = ClusterDatabase(kim, clock, resolver)
    await database.open()
    assert (await database.tally("fra1")).is_stale
    await database.close()


async def test_role_needs_privileges_for_the_tables(
    kim: str, name: str, sql: Sql, connect: Connect, clock: FakeClock, resolver: Resolver
) -> None:
    database = ClusterDatabase(kim, clock, resolver)
    with pytest.raises(ClusterError) as caught:
        await database.open()
    assert "monitorctl cluster init" in caught.value.hint
    sql(f"GRANT USAGE ON SCHEMA monitord TO {name}_kim")
    sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA monitord TO {name}_kim")
    sql(f"REVOKE INSERT ON notification FROM {name}_kim")
    clock.skipped_s += 100
    with pytest.raises(
        ClusterError, match=f"role {name}_kim lacks the privilege INSERT on the table notification"
    ) as caught:
        await database.open()
    assert "GRANT SELECT, INSERT" in caught.value.hint
    sql(f"GRANT INSERT ON notification TO {name}_kim")
    clock.skipped_s += 100
    await database.open()
    assert (await database.tally("fra1")).is_stale
    # The tables exist already.
    assert (await initialize(kim, clock, resolver)).version_before == SCHEMA_VERSION + 1
    await database.close()


@pytest.mark.parametrize(
    ("version", "readable_by", "message"),
    [
        (SCHEMA_VERSION + 1, SCHEMA_VERSION, None),
        (SCHEMA_VERSION + 1, SCHEMA_VERSION + 1, "upgrade monitord on this node"),
        (SCHEMA_VERSION - 1, SCHEMA_VERSION - 1, "run monitorctl cluster init"),
    ],
    ids=["newer but readable", "newer", "older"],
)
async def test_tables_of_another_release(
    connect: Connect,
    conninfo: str,
    sql: Sql,
    clock: FakeClock,
    resolver: Resolver,
    version: int,
    readable_by: int,
    message: str | None,
) -> None:
    sql("UPDATE schema_version SET version = %s, readable_by = %s", version, readable_by)
    database = ClusterDatabase(conninfo, clock, resolver)
    if message is None:
        await database.open()
    else:
        with pytest.raises(ClusterError) as caught:
            await database.open()
        assert caught.value.hint == message
    await database.close()


async def test_unusable_tables_of_live_nodes(
    connect: Connect, conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver
) -> None:
    other = await connect()
    await other.beat(node("fra1"), [])
    sql("UPDATE schema_version SET version = 99, readable_by = 99")

    # A host of the connection string that does not respond does not hide the answer of the other.
    conninfo = conninfo.replace("host=127.0.0.1", "host=127.0.0.2,127.0.0.1")

    async def attempt() -> ClusterError:
        database = ClusterDatabase(conninfo, clock, resolver)
        with pytest.raises(ClusterError) as caught:
            await database.open()
        await database.close()
        assert caught.value.hint == "upgrade monitord on this node"
        return caught.value

    assert isinstance(await attempt(), NotMemberError)
    sql("UPDATE node SET seen_at = seen_at - interval '60 seconds'")
    assert not isinstance(await attempt(), NotMemberError)
    # The node of another release can have another table.
    sql("ALTER TABLE node RENAME TO member")
    assert not isinstance(await attempt(), NotMemberError)


async def test_newer_tables_are_not_changed(
    connect: Connect, conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver
) -> None:
    sql("UPDATE schema_version SET version = 99, readable_by = 99")
    with pytest.raises(ClusterError, match="have version 99"):
        await initialize(conninfo, clock, resolver)
    sql("UPDATE schema_version SET version = 99, readable_by = 1")
    assert (await initialize(conninfo, clock, resolver)).version == 99
    assert sql("SELECT version, readable_by FROM schema_version") == [(99, 1)]


async def test_node_works_while_the_next_release_migrates_the_tables(
    database_of_node: Callable[[], ClusterDatabase], conninfo: str, clock: FakeClock, resolver: Resolver
) -> None:
    await initialize(conninfo, clock, resolver)
    database = database_of_node()
    await database.open()
    await database.beat(node("fra1"), [vote("fra", State.UP)])
    await database.changes()
    migrated = await initialize_with_next_release(conninfo, clock, resolver)
    assert (migrated.version_before, migrated.version) == (SCHEMA_VERSION, SCHEMA_VERSION + 1)
    await database.beat(node("fra1"), [vote("fra", State.DOWN)])
    assert [each.state for each in (await database.changes()).votes] == [State.DOWN]
    assert (await database.tally("fra1")).candidates
    restarted = database_of_node()
    await restarted.open()
    assert (await restarted.overview()).schema_version == SCHEMA_VERSION + 1


async def test_next_release_waits_for_the_migration(
    database_of_node: Callable[[], ClusterDatabase],
    conninfo: str,
    clock: FakeClock,
    resolver: Resolver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await initialize(conninfo, clock, resolver)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    database = database_of_node()
    with pytest.raises(ClusterError) as caught:
        await database.open()
    assert caught.value.hint == "run monitorctl cluster init"
    await initialize_with_next_release(conninfo, clock, resolver)
    clock.skipped_s += 100
    await database.open()
    await database.beat(node("fra1"), [vote("fra", State.DOWN)])
    assert (await database.tally("fra1")).candidates


async def test_migration_may_take_longer_than_the_statements_of_nodes(
    conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = "CREATE TABLE found AS SELECT current_setting('statement_timeout') AS statement_timeout"
    monkeypatch.setattr(schema, "MIGRATIONS", ((*schema.MIGRATIONS[0], statement),))
    await initialize(conninfo, clock, resolver)
    assert sql("SELECT statement_timeout FROM found") == [("0",)]


async def test_failed_migration_changes_nothing(
    conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        schema, "MIGRATIONS", (("CREATE TABLE first (a integer)", "CREATE TABLE first (a integer)"),)
    )
    with pytest.raises(ClusterError, match="already exists"):
        await initialize(conninfo, clock, resolver)
    assert sql("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'monitord'") == [(0,)]


async def test_encrypted_connection(tmp_path: Path, clock: FakeClock, resolver: Resolver) -> None:
    authority = Authority()
    issued = authority.issue("localhost", directory=tmp_path)
    files = {"server.crt": issued.chain_file, "server.key": issued.key_file}
    with postgresql("-c", "ssl=on", files=files) as server:
        conninfo = f"{administrator(server, 'postgres')} sslmode=require"
        done = await initialize(conninfo, clock, resolver)
        assert done.is_encrypted
        assert done.warning is None  # within this host


async def test_key_of_action_links_is_created_once(
    connect: Connect, conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver
) -> None:
    first, second = await connect(), await connect()
    key = await first.link_key()
    assert key is not None
    assert len(key) == 32
    await initialize(conninfo, clock, resolver)
    assert await second.link_key() == key
    sql("DELETE FROM secret")
    assert await first.link_key() is None
    await initialize(conninfo, clock, resolver)
    assert await first.link_key() not in {None, key}
