"""A real server, with an own database for each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import count

import psycopg
import pytest

from monitord.cluster.database import ClusterDatabase, initialize
from monitord.cluster.model import ClusterDecision, NewDecision
from monitord.net.base.resolver import Resolver
from monitord.notifiers import Notification
from tests.database_servers import PASSWORD, Database, postgresql
from tests.fakes import FakeClock, resolver_without_queue

Sql = Callable[..., list[tuple[object, ...]]]
Connect = Callable[[], Awaitable[ClusterDatabase]]

_numbers = count()


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


@pytest.fixture
async def connect(conninfo: str, clock: FakeClock, resolver: Resolver) -> AsyncIterator[Connect]:
    """Return a function that connects another node to the tables."""
    await initialize(conninfo, clock, resolver)
    opened: list[ClusterDatabase] = []

    async def connect() -> ClusterDatabase:
        database = ClusterDatabase(conninfo, clock, resolver)
        opened.append(database)
        await database.open()
        return database

    yield connect
    for database in opened:
        await database.close()


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
