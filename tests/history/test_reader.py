"""Queries have a time limit, leave no transaction open, and run in parallel with the writer."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from monitord.errors import HistoryError
from monitord.history.database import open_for_writing
from monitord.history.reader import HistoryReader

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


class World:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        self.suspected = 0
        self.reader = HistoryReader(path, lambda: self.generation, self.request_damage_check)
        open_for_writing(path).close()

    def request_damage_check(self) -> None:
        self.suspected += 1


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "history.db")


def monitors(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM monitors").fetchone()
    return int(count)


def add_monitor(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO monitors (name) VALUES (?)", (name,))
        connection.commit()


async def test_slow_query_is_interrupted_and_the_next_one_works(world: World) -> None:
    with pytest.raises(HistoryError, match="took too long; request a shorter period"):
        await world.reader.query(lambda connection: connection.execute(ENDLESS).fetchall())
    assert await world.reader.query(monitors) == 0
    assert world.suspected == 0
    await world.reader.close()


async def test_closing_interrupts_queries_and_rejects_later_ones(world: World) -> None:
    asked = asyncio.ensure_future(
        world.reader.query(lambda connection: connection.execute(ENDLESS).fetchall())
    )
    await asyncio.sleep(0)
    await world.reader.close()
    with pytest.raises((HistoryError, asyncio.CancelledError)):
        await asked
    with pytest.raises(HistoryError, match="closed"):
        await world.reader.query(monitors)


async def test_reader_cannot_write(world: World) -> None:
    with pytest.raises(HistoryError, match="readonly"):
        await world.reader.query(lambda connection: connection.execute("DELETE FROM monitors"))
    await world.reader.close()


async def test_query_sees_previous_commits(world: World) -> None:
    assert await world.reader.query(monitors) == 0
    add_monitor(world.path, "a")
    assert await world.reader.query(monitors) == 1
    await world.reader.close()


async def test_query_reads_one_snapshot(world: World) -> None:
    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        before = monitors(connection)
        add_monitor(world.path, "a")
        return before, monitors(connection)

    assert await world.reader.query(twice) == (0, 0)
    assert await world.reader.query(monitors) == 1
    await world.reader.close()


async def test_new_generation_opens_the_new_file(world: World) -> None:
    add_monitor(world.path, "a")
    assert await world.reader.query(monitors) == 1
    for file in list(world.path.parent.iterdir()):
        file.unlink()
    open_for_writing(world.path).close()
    world.generation += 1
    assert await world.reader.query(monitors) == 0
    await world.reader.close()


@pytest.mark.parametrize(
    "error", [ValueError("no year"), sqlite3.DatabaseError("malformed")], ids=["row", "page"]
)
async def test_possible_damage_is_reported_to_the_writer(world: World, error: Exception) -> None:
    if isinstance(error, sqlite3.Error):
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def fail(_: sqlite3.Connection) -> None:
        raise error

    with pytest.raises(HistoryError, match=str(error)):
        await world.reader.query(fail)
    assert world.suspected == 1
    await world.reader.close()
