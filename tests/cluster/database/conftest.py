"""A real server, with an own database for each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import count

import psycopg
import pytest

from monitord.cluster.database import ClusterDatabase, initialize, schema
from monitord.cluster.database.schema import Initialization
from monitord.cluster.model import ClusterDecision, NewDecision
from monitord.net.base.resolver import Resolver
from monitord.notifiers import Notification
from tests.database_servers import PASSWORD, Database, postgresql
from tests.fakes import FakeClock, resolver_without_queue

Sql = Callable[..., list[tuple[object, ...]]]
Connect = Callable[[], Awaitable[ClusterDatabase]]

_numbers = count()

NEXT_MIGRATION = (
    *(f"ALTER TABLE {table} ADD COLUMN added text NOT NULL DEFAULT ''" for table in schema.TABLES),
    "CREATE TABLE added (monitor text PRIMARY KEY)",
    "CREATE INDEX vote_added ON vote (added)",
)
"""What the next release may do to the tables without raising READABLE_BY."""


@pytest.fixture(scope="package")
def server() -> Iterator[Database]:
    with postgresql() as server:
        yield server


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    resolver = resolver_without_queue(lambda name, family: ["127.0.0.1"])
    yield resolver
    await resolver.close()


@pytest.fixture
def name(server: Database) -> str:
    """The name of an empty database."""
    name = f"cluster_{next(_numbers)}"
    with psycopg.connect(administrator(server, "postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return name


@pytest.fixture
def conninfo(server: Database, name: str) -> str:
    return administrator(server, name)


@pytest.fixture
def sql(conninfo: str) -> Sql:
    """Execute a statement as the administrator, and return its rows."""

    def execute(statement: str, *parameters: object) -> list[tuple[object, ...]]:
        with psycopg.connect(conninfo) as connection:
            connection.execute("SET search_path TO monitord")
            cursor = connection.execute(statement, parameters)
            return [] if cursor.description is None else cursor.fetchall()

    return execute


async def until(sql: Sql, condition: str) -> None:
    """Wait until a process of the server for the database of the test fulfils a condition on pg_stat_activity."""
    while not sql(f"SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND {condition}"):  # noqa: ASYNC110
        await asyncio.sleep(0)


async def initialize_with_next_release(conninfo: str, clock: FakeClock, resolver: Resolver) -> Initialization:
    """Create or migrate the tables as `monitorctl cluster init` of the next release would."""
    with pytest.MonkeyPatch.context() as next_release:
        next_release.setattr(schema, "SCHEMA_VERSION", len(schema.MIGRATIONS) + 1)
        next_release.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NEXT_MIGRATION))
        return await initialize(conninfo, clock, resolver)


@pytest.fixture
async def database_of_node(
    conninfo: str, clock: FakeClock, resolver: Resolver
) -> AsyncIterator[Callable[[], ClusterDatabase]]:
    """Return a function that makes the database of another node, which is not open. They are closed at the end."""
    made: list[ClusterDatabase] = []

    def database_of_node() -> ClusterDatabase:
        made.append(ClusterDatabase(conninfo, clock, resolver))
        return made[-1]

    yield database_of_node
    for database in made:
        await database.close()


@pytest.fixture
async def connect(
    database_of_node: Callable[[], ClusterDatabase], conninfo: str, clock: FakeClock, resolver: Resolver
) -> Connect:
    """Return a function that connects another node to the tables.

    These are the tables of the next release: during an upgrade, every operation of this one must work with them.
    """
    await initialize_with_next_release(conninfo, clock, resolver)

    async def connect() -> ClusterDatabase:
        database = database_of_node()
        await database.open()
        return database

    return connect


async def decide_one(
    database: ClusterDatabase,
    node: str,
    before: ClusterDecision | None,
    after: ClusterDecision,
    notifications: Sequence[tuple[Notification, str | None]] = (),
) -> bool:
    """Write one decision. Return whether it was the first."""
    return bool(await database.decide(node, [NewDecision(before, after, notifications)]))


def administrator(server: Database, name: str) -> str:
    return f"host=127.0.0.1 port={server.port} dbname={name} user=postgres password={PASSWORD}"
