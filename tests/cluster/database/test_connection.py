"""Connecting, losing the connection, and reconnecting; and what a connection string permits."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest

from monitord.cluster.database import ClusterDatabase, initialize
from monitord.cluster.database.connection import (
    LONGEST_BACKOFF_S,
    Connection,
    ConnectionString,
    Host,
    Session,
)
from monitord.cluster.model import Node
from monitord.errors import ClusterError
from monitord.model import State
from monitord.net.base.resolver import Resolver
from tests.cluster.database.conftest import Connect, Sql, administrator, until
from tests.cluster.votes import vote
from tests.database_servers import PASSWORD, Database, postgresql, restarted, stop
from tests.fakes import FakeClock, resolver_without_queue
from tests.servers import free_port

# Nearly each test creates a database.
pytestmark = pytest.mark.slow

NODE = Node("fra1", "fra", is_ready=True, version="1.0", configuration="hash")


async def one(connection: Connection) -> object:
    return await (await connection.execute("SELECT 1")).fetchone()


def parameters(conninfo: str, environ: Mapping[str, str] | None = None) -> list[dict[str, object]]:
    """The parameters of each connection attempt, with unresolved names."""
    string = ConnectionString(conninfo, environ or {})
    return [psycopg.conninfo.conninfo_to_dict(string.conninfo(host, host.address)) for host in string.hosts]


# Connection strings


@pytest.mark.parametrize(
    ("conninfo", "environ", "hosts"),
    [
        ("dbname=monitord", {}, [Host("", "", "")]),
        ("host=/run/postgresql", {}, [Host("/run/postgresql", "", "")]),
        ("host=db1,db2 port=5433", {}, [Host("db1", "", "5433"), Host("db2", "", "5433")]),
        ("host=db1,db2 port=1,2", {}, [Host("db1", "", "1"), Host("db2", "", "2")]),
        ("postgresql://kim@db1:1,db2/monitord", {}, [Host("db1", "", "1"), Host("db2", "", "")]),
        ("host=db1 hostaddr=192.0.2.1", {}, [Host("db1", "192.0.2.1", "")]),
        ("hostaddr=192.0.2.1,192.0.2.2", {}, [Host("", "192.0.2.1", ""), Host("", "192.0.2.2", "")]),
        ("dbname=monitord", {"PGHOST": "db3", "PGPORT": "7"}, [Host("db3", "", "7")]),
    ],
    ids=["default", "socket", "one port", "two ports", "URI", "name and address", "addresses", "environment"],
)
def test_hosts_of_a_connection_string(conninfo: str, environ: Mapping[str, str], hosts: list[Host]) -> None:
    assert list(ConnectionString(conninfo, environ).hosts) == hosts


@pytest.mark.parametrize(
    ("conninfo", "modes"),
    [
        ("host=/run/postgresql", [None]),
        ("host=127.0.0.1", [None]),
        ("host=localhost sslmode=disable", ["disable"]),
        ("host=::1", [None]),
        ("host=db1", ["require"]),
        ("host=db1 sslmode=verify-full", ["verify-full"]),
        ("host=/run/postgresql,db1", [None, "require"]),
        ("host=localhost hostaddr=192.0.2.1", ["require"]),
        ("host=db1 hostaddr=127.0.0.1", [None]),
    ],
)
def test_tls_is_required_off_this_host(conninfo: str, modes: list[str | None]) -> None:
    assert [attempt.get("sslmode") for attempt in parameters(conninfo)] == modes


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_mode_without_tls_is_rejected_off_this_host(mode: str) -> None:
    with pytest.raises(
        ClusterError, match=f"sslmode={mode} permits a connection to db2 without TLS"
    ) as caught:
        ConnectionString(f"host=/run/postgresql,db2 sslmode={mode}", {})
    assert "verify-full" in caught.value.hint
    with pytest.raises(ClusterError):
        ConnectionString("host=db2", {"PGSSLMODE": mode})


@pytest.mark.parametrize(
    ("conninfo", "environ", "host"),
    [
        ("dbname=monitord", {}, None),
        ("host=localhost sslmode=require", {}, None),
        ("host=localhost,db2", {}, "db2"),
        ("host=db1 sslmode=require", {}, "db1"),
        ("host=db1 sslmode=require sslrootcert=ca.pem", {}, None),
        ("host=db1", {"PGSSLROOTCERT": "ca.pem"}, None),
        ("host=db1 sslmode=verify-ca", {}, None),
        ("host=db1", {"PGSSLMODE": "verify-full"}, None),
    ],
    ids=["socket", "loopback", "second", "require", "authority", "environment", "verify-ca", "verify-full"],
)
def test_server_without_verified_certificate_is_known(
    conninfo: str, environ: Mapping[str, str], host: str | None
) -> None:
    assert ConnectionString(conninfo, environ).unverified_host == host


async def test_node_warns_about_a_server_without_verified_certificate(
    clock: FakeClock, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    resolver_of_nothing = resolver_without_queue(lambda name, family: [])
    database = ClusterDatabase("host=db1.invalid dbname=monitord", clock, resolver_of_nothing)
    for _ in range(2):
        with pytest.raises(ClusterError):
            await database.open()
    assert caplog.text.count("the certificate of the database at db1.invalid is not verified") == 1
    await database.close()
    await resolver_of_nothing.close()


@pytest.mark.parametrize(
    ("conninfo", "message"),
    [
        ("host=db1 secret-word", "the connection string of the database is invalid"),
        ("secret-word", "the connection string of the database is invalid"),
        ("host=db1,db2 port=1,2,3 password=secret-word", "different numbers of hosts and ports"),
        ("host=db1,db2 hostaddr=192.0.2.1 password=secret-word", "different numbers of hosts and ports"),
        ("service=secret-word", "names a service"),
    ],
    ids=["word", "only a word", "ports", "addresses", "service"],
)
def test_invalid_connection_string_is_rejected_without_its_text(conninfo: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message) as caught:
        ConnectionString(conninfo, {})
    assert "secret-word" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.hint


def test_own_parameters_replace_the_defaults() -> None:
    [attempt] = parameters("host=localhost target_session_attrs=any application_name=a")
    assert (attempt["target_session_attrs"], attempt["application_name"]) == ("any", "a")
    [attempt] = parameters("host=localhost")
    assert (attempt["target_session_attrs"], attempt["gssencmode"]) == ("read-write", "disable")


# Connections


async def test_next_host_is_tried(server: Database, clock: FakeClock, resolver: Resolver) -> None:
    conninfo = f"host=127.0.0.1,127.0.0.1 port={free_port()},{server.port} user=postgres password={PASSWORD}"
    session = Session(ConnectionString(conninfo), clock, resolver)
    assert await session.run(one) == (1,)
    await session.close()


async def test_names_are_resolved_without_blocking(server: Database, clock: FakeClock) -> None:
    resolved: list[str] = []

    def resolve(name: str, family: int) -> list[str]:
        resolved.append(name)
        return ["127.0.0.2", "127.0.0.1"]

    resolver = resolver_without_queue(resolve)
    conninfo = f"host=db.localhost port={server.port} user=postgres password={PASSWORD} sslmode=disable"
    session = Session(ConnectionString(conninfo), clock, resolver)
    assert await session.run(one) == (1,)
    assert resolved == ["db.localhost"]
    await session.close()
    await resolver.close()


async def test_name_that_cannot_be_resolved_is_an_error(clock: FakeClock) -> None:
    def resolve(name: str, family: int) -> list[str]:
        raise OSError(2, "no such name")

    resolver = resolver_without_queue(resolve)
    session = Session(ConnectionString("host=db.test"), clock, resolver)
    with pytest.raises(ClusterError, match=r"db\.test: ") as caught:
        await session.run(one)
    assert "[cluster]" in caught.value.hint
    await resolver.close()


async def test_after_a_failed_attempt_operations_fail_until_the_next_attempt_is_due(
    server: Database, clock: FakeClock
) -> None:
    attempts: list[str] = []

    def resolve(name: str, family: int) -> list[str]:
        attempts.append(name)
        raise OSError(2, "no such name")

    resolver = resolver_without_queue(resolve)
    session = Session(ConnectionString("host=db.test"), clock, resolver)
    for _ in range(3):
        with pytest.raises(ClusterError, match=r"db\.test"):
            await session.run(one)
    assert len(attempts) == 1
    clock.skipped_s += LONGEST_BACKOFF_S
    with pytest.raises(ClusterError):
        await session.run(one)
    assert len(attempts) == 2
    await resolver.close()


@pytest.mark.parametrize(
    ("parameter", "problem", "hint"),
    [
        (
            "password=wrong",
            "the database at 127.0.0.1, port {port} reports: password authentication",
            "password",
        ),
        ("dbname=none", 'the database at 127.0.0.1, port {port} reports: database "none" does not', "dbname"),
        (
            "port={closed}",
            "no connection to the database at 127.0.0.1, port {closed}: Connection refused",
            "port",
        ),
        (
            "sslmode=require",
            "no connection to the database at 127.0.0.1, port {port}: server does not",
            "sslmode",
        ),
        ("host=/nowhere", "no connection to the database at /nowhere, port {port}: No such file", "host"),
    ],
    ids=["password", "database", "port", "TLS", "socket"],
)
async def test_failed_connection_names_the_host_and_what_to_check(
    server: Database, clock: FakeClock, resolver: Resolver, parameter: str, problem: str, hint: str
) -> None:
    ports = {"port": server.port, "closed": free_port()}
    conninfo = f"{administrator(server, 'postgres')} {parameter.format(**ports)}"
    session = Session(ConnectionString(conninfo, {}), clock, resolver)
    with pytest.raises(ClusterError) as caught:
        await session.run(one)
    assert str(caught.value).startswith(problem.format(**ports))
    assert "\n" not in str(caught.value)
    assert hint in (caught.value.hint or "")


async def test_error_contains_the_failures_of_all_hosts(
    server: Database, clock: FakeClock, resolver: Resolver
) -> None:
    closed = free_port()
    hosts = f"host=127.0.0.1,127.0.0.1,127.0.0.1 port={closed},{server.port},{closed}"
    conninfo = f"{hosts} user=postgres password=wrong"
    with pytest.raises(ClusterError) as caught:
        await Session(ConnectionString(conninfo, {}), clock, resolver).run(one)
    refused = f"no connection to the database at 127.0.0.1, port {closed}: Connection refused"
    reports = f"the database at 127.0.0.1, port {server.port} reports: password authentication failed"
    assert str(caught.value).startswith(f"{refused}; {reports}")
    assert str(caught.value).count(refused) == 1
    assert "password file" in caught.value.hint


async def test_missing_tables_are_not_an_outage(
    conninfo: str, database_of_node: Callable[[], ClusterDatabase]
) -> None:
    del conninfo
    with pytest.raises(
        ClusterError, match="does not contain the tables of monitord; run monitorctl cluster init"
    ):
        await database_of_node().open()


async def test_statement_without_a_response_ends(
    conninfo: str, sql: Sql, clock: FakeClock, resolver: Resolver
) -> None:
    session = Session(ConnectionString(conninfo), clock, resolver)

    async def endless(connection: Connection) -> None:
        await connection.execute("SET statement_timeout TO 0")
        await connection.execute("SELECT pg_sleep(1000)")

    with pytest.raises(ClusterError, match="the connection to the database was lost: "):
        await session.run(endless, limit_s=0.01)
    assert not session.is_connected
    assert await session.run(one) == (1,)
    await session.close()
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")


async def test_cancelled_operation_leaves_no_transaction(connect: Connect, sql: Sql) -> None:
    database = await connect()
    sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(4); RETURN NEW; END'"
    )
    sql("CREATE TRIGGER wait BEFORE INSERT ON vote EXECUTE FUNCTION wait()")
    task = asyncio.create_task(database.beat(NODE, [vote("fra", State.UP)]))
    await until(sql, "wait_event = 'PgSleep'")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The server would notice the end of the connection after the statement.
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    sql("DROP TRIGGER wait ON vote")
    await database.beat(NODE, [vote("fra", State.UP)])
    assert sql("SELECT count(*) FROM vote") == [(1,)]


async def test_transaction_that_the_server_aborts_for_another_is_repeated(
    conninfo: str, clock: FakeClock, resolver: Resolver
) -> None:
    session = Session(ConnectionString(conninfo), clock, resolver)
    attempts = 0

    async def aborted(connection: Connection) -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            await connection.execute("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$")
        return attempts

    assert await session.run(aborted) == 3
    attempts = -100
    with pytest.raises(ClusterError):
        await session.run(aborted)
    await session.close()


async def test_terminated_connection_is_an_error_and_then_replaced(
    connect: Connect, sql: Sql, clock: FakeClock
) -> None:
    database = await connect()
    await database.beat(NODE, [vote("fra", State.UP)])
    await database.changes()
    sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pytest.raises(ClusterError, match="the connection to the database was lost: "):
        await database.beat(NODE, [])
    assert not (await database.beat(NODE, [])).was_stale
    with pytest.raises(ClusterError):
        await database.changes()
    # After a reconnect all rows are read, because a server that has taken over may have other rows.
    assert len((await database.changes()).votes) == 1
    await database.wait(1000)  # it listens again


async def test_listening_survives_a_bug(
    server: Database,
    connect: Connect,
    conninfo: str,
    name: str,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty(Resolver):
        is_fixed = False

        async def resolve(self, name: str, *args: Any) -> tuple[str, ...]:
            if not self.is_fixed:
                raise RuntimeError("no error of the resolver")
            return ("127.0.0.1",)

    resolver = Faulty(lambda name, family: [])
    database = ClusterDatabase(
        f"host=db.localhost port={server.port} dbname={name} user=postgres password={PASSWORD} sslmode=disable",
        clock,
        resolver,
    )
    with pytest.raises(RuntimeError):
        await database.open()
    while "bug in the task that listens" not in caplog.text:  # noqa: ASYNC110
        await asyncio.sleep(0)
    resolver.is_fixed = True
    await database.open()
    async with asyncio.timeout(60):
        await database.wait(1000)  # it listens
    await database.close()
    await resolver.close()


async def test_server_that_stops_and_starts_again(clock: FakeClock, resolver: Resolver) -> None:
    with postgresql() as server:
        conninfo = administrator(server, "postgres")
        await initialize(conninfo, clock, resolver)
        database = ClusterDatabase(conninfo, clock, resolver)
        await database.open()
        await database.beat(NODE, [vote("fra", State.DOWN)])
        stop(server)
        for _ in range(3):
            with pytest.raises(ClusterError):
                await database.beat(NODE, [])
            with pytest.raises(ClusterError):
                await database.tally("fra1")
        assert not database.is_connected
        with restarted(server):
            clock.skipped_s += LONGEST_BACKOFF_S
            membership = await database.beat(NODE, [])
            assert membership.live_locations == {"fra"}
            assert len((await database.tally("fra1")).candidates) == 1
            await database.close()


async def test_database_that_is_away_at_the_start_is_used_later(
    server: Database, name: str, clock: FakeClock, resolver: Resolver
) -> None:
    database = ClusterDatabase(administrator(server, name), clock, resolver)
    with pytest.raises(ClusterError, match="does not contain the tables") as caught:
        await database.open()
    assert caught.value.hint == "run monitorctl cluster init"
    await initialize(administrator(server, name), clock, resolver)
    clock.skipped_s += LONGEST_BACKOFF_S
    await database.beat(NODE, [])
    assert database.is_connected
    await database.close()


@pytest.mark.parametrize("is_wrong", [False, True], ids=["right", "wrong"])
async def test_password_is_in_no_error_and_no_log(
    server: Database,
    name: str,
    clock: FakeClock,
    resolver: Resolver,
    caplog: pytest.LogCaptureFixture,
    is_wrong: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    password = f"{PASSWORD}-wrong" if is_wrong else PASSWORD
    conninfo = f"host=127.0.0.1 port={server.port} dbname={name} user=postgres password={password}"
    database = ClusterDatabase(conninfo, clock, resolver)
    with pytest.raises(ClusterError) as caught:
        await database.open()
    shown = [str(caught.value), repr(caught.value), repr(database), repr(vars(database)), caplog.text]
    assert not [text for text in shown if PASSWORD in text]
    assert caught.value.__cause__ is None
    await database.close()


async def test_closed_database_has_no_connections(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await database.close()
    await database.close()
    await until(
        sql,
        "pid = pg_backend_pid() AND 1 = (SELECT count(*) FROM pg_stat_activity AS other"
        " WHERE other.datname = current_database())",
    )
