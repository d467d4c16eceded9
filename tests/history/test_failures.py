"""Failing storage: rows are queued or dropped, which is counted and logged once, and writing continues later."""

import logging
import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.errors import HistoryError
from monitord.history import History
from monitord.history.batch import MAX_RESULTS
from monitord.history.damage import read_rows
from monitord.history.schema import STEPS
from monitord.journal_events import JournalEvent
from monitord.model import Reason, State, Transition, Verdict
from tests.history.world import START, Life, after, incident, result, spoil_table, until, written


@pytest.fixture
def life(tmp_path: Path) -> Life:
    (tmp_path / "state").mkdir()
    return Life(tmp_path / "state" / "history.db")


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program holds the write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield other
    finally:
        other.close()


def inner(history: History) -> sqlite3.Connection:
    """The connection of the writer, to make it fail as storage would."""
    assert history._writer is not None
    assert history._writer._store is not None
    return history._writer._store.connection


async def fails(history: History) -> None:
    await until(lambda: history.stats().error is not None, "the writer has failed")


async def works(history: History) -> None:
    await until(lambda: history.stats().error is None and history.stats().queued == 0, "all is written")


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [record.message for record in caplog.records if part in record.message]


async def test_lock_delays_writes_and_loses_nothing(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    history = life.begin()
    history.add_result("a", result(START), State.UP)
    await written(history)
    with locked(life.path):
        history.add_result("a", result(after(1)), State.UP)
        await fails(history)
        history.add_result("a", result(after(2)), State.UP)
        history.add_incident(incident())
        assert len(await history.results("a")) == 1  # stored data remains readable
        assert history.stats().queued > 0
        assert history.stats().failing_since == START
        life.clock.at = after(60)
    await works(history)
    assert len(await history.results("a")) == 3
    assert len(await history.incidents()) == 1
    assert (history.stats().dropped, history.stats().written) == (0, 4)
    assert len(lines(caplog, "cannot be written")) == 1
    assert lines(caplog, "written again") == ["history is written again after 1m; nothing is lost"]
    assert history.stall_description() is None
    await history.close(5)


async def test_full_disk_loses_no_row_that_fits_in_the_queue(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    history = life.begin()
    history.add_result("a", result(START), State.UP)
    await written(history)
    (pages,) = inner(history).execute("PRAGMA page_count").fetchone()
    inner(history).execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 2000):
        history.add_result("a", result(after(number)), State.UP)
    history.save_state("a", {"n": 1})
    await fails(history)
    assert history.stats().error == "database or disk is full"
    history.save_state("a", {"n": 2})
    inner(history).execute("PRAGMA max_page_count = 1000000")
    await works(history)
    assert len([row async for row in history.export("a")]) == 2000
    assert history.stats().dropped == 0
    assert len(lines(caplog, "database or disk is full")) == 1
    await history.close(5)
    history = life.new()
    assert history.open().states == {"a": {"n": 2}}
    await history.close(5)


async def test_full_queue_drops_the_oldest_rows_and_logs_once(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    history = life.begin()
    history.tick(START)
    await written(history)
    failed = result(START)
    with locked(life.path):
        history.add_result("first", failed, State.UP)
        await fails(history)
        for number in range(MAX_RESULTS + 100):
            history.add_result("old" if number < 100 else "new", failed, State.UP)
        history.add_incident(incident())
        assert history.stats().dropped == 100
    await works(history)
    assert (history.stats().dropped, history.stats().written) == (100, 1 + 1 + MAX_RESULTS + 1)
    assert len(await history.results("first")) == 1
    assert await history.results("old") == []
    assert len(await history.results("new")) == 20
    assert len(lines(caplog, "the oldest queued rows are dropped")) == 1
    assert "lost: 100 rows" in lines(caplog, "written again")[0]
    await history.close(5)


async def test_read_only_database_is_read_and_writes_are_retried(life: Life) -> None:
    history = life.begin()
    history.add_result("a", result(START), State.UP)
    await written(history)
    inner(history).execute("PRAGMA query_only = ON")
    history.add_result("a", result(after(1)), State.UP)
    await fails(history)
    assert len(await history.results("a")) == 1
    inner(history).execute("PRAGMA query_only = OFF")
    await works(history)
    assert len(await history.results("a")) == 2
    await history.close(5)


async def test_directory_that_cannot_be_created_does_not_prevent_a_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("a file where a folder should be")
    life = Life(in_the_way / "history.db")
    history = life.begin()
    history.add_result("a", result(), State.UP)
    history.save_state("a", {"n": 1})
    with pytest.raises(HistoryError, match="cannot be read"):
        await history.results("a")
    assert history.stats().error is not None
    in_the_way.unlink()
    await works(history)
    assert len(await history.results("a")) == 1
    assert len(lines(caplog, "cannot be written")) == 1
    await history.close(5)


async def test_states_are_read_while_another_program_holds_the_lock(life: Life) -> None:
    history = life.begin()
    history.save_state("a", {"n": 1})
    await history.close(5)
    with locked(life.path):
        history = life.new()
        assert history.open().states == {"a": {"n": 1}}
        assert history.stats().error is not None
        history.start()
    history.add_result("a", result(), State.UP)
    await works(history)
    await history.close(5)


@pytest.mark.parametrize("how", ["text", "foreign", "short", "no tables"])
async def test_foreign_or_damaged_file_is_renamed(
    life: Life, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    content = spoilt(life.path, how)
    history = life.begin()
    history.add_result("a", result(), State.UP)
    await written(history)
    assert len(await history.results("a")) == 1
    assert history.stats().error is None
    (aside,) = names_beside(life.path, "*.damaged-20260304T100000Z")
    assert how == "no tables" or contents(aside) == content
    (line,) = lines(caplog, "It was renamed to")
    assert str(aside) in line
    await history.close(5)


def spoilt(path: Path, how: str) -> bytes:
    if how == "text":
        path.write_text("not a database\n" * 1000)
    elif how == "short":
        path.write_bytes(b"SQLite format 3\x00")
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (x)")
            if how == "no tables":
                connection.execute("PRAGMA application_id = 0x6D6F6E64")
                connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.close()
    return path.read_bytes()


def names_beside(path: Path, pattern: str) -> list[Path]:
    return sorted(path.parent.glob(pattern))


async def test_damage_found_while_running_loses_no_readable_state(life: Life) -> None:
    history = life.begin()
    history.save_state("a", {"n": 1})
    history.save_daemon_state("pauses", {"a": "root"})
    history.add_incident(incident())
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    history.tick(START)
    for number in range(5000):
        history.add_result("a", result(after(number)), State.UP)
    await written(history)
    await history.close(5)

    history = life.begin()
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    history.tick(START)
    await written(history)
    spoil_table(life.path, "results")
    with pytest.raises(HistoryError):
        await history.results("a", limit=1000)
    history.tick(after(1))
    await until(lambda: bool(names_beside(life.path, "*.damaged-*Z")), "the damaged database is renamed")
    life.clock.at = after(10)
    await written(history)
    history.add_result("a", result(after(20)), State.UP)
    history.tick(after(30))
    await written(history)
    assert len(await history.results("a")) == 1
    assert len(await history.incidents(is_open=True)) == 1
    # The current state of the monitor is written to the new database.
    assert (await history.uptime("a", START, after(60))).seconds[State.UP] >= 20.0
    await history.close(5)
    history = life.new()
    saved = history.open()
    assert (saved.states, saved.daemon_states) == ({"a": {"n": 1}}, {"pauses": {"a": "root"}})
    await history.close(5)


async def test_newer_database_is_not_changed(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    history = life.begin()
    history.add_result("a", result(), State.UP)
    await history.close(5)
    with sqlite3.connect(life.path) as connection:
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()
    content = contents(life.path)
    history = life.begin()
    history.add_result("a", result(after(1)), State.UP)
    history.save_state("a", {"n": 1})
    await until(lambda: history.stats().queued == 0, "it is dropped")
    assert await history.results("a") == []
    stats = history.stats()
    assert stats.error is not None
    assert "newer" in stats.error
    assert (stats.written, stats.dropped) == (0, 2)
    assert len(lines(caplog, "newer version of monitord")) == 1
    await history.close(5)
    assert contents(life.path) == content


async def test_unknown_reason_stays_and_is_read_as_unrecognized(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    history = life.begin()
    history.add_result("a", result(verdict=Verdict.FAIL), State.DOWN)
    history.add_incident(incident())
    history.add_transition(Transition("a", State.UP, State.DOWN, START, START, Reason.REFUSED, "no answer"))
    await history.close(5)
    change(life.path, "UPDATE reasons SET name = 'struck_by_lightning'")

    history = life.new()
    saved = history.open()
    history.start()
    assert [incident.reason for incident in saved.open_incidents] == [Reason.UNRECOGNIZED]
    history.add_incident(replace(saved.open_incidents[0], closed_at=after(5)))
    history.add_result("a", result(after(1), verdict=Verdict.FAIL), State.DOWN)
    await written(history)
    assert history.stats().error is None
    assert [result.reason for result in await history.results("a")] == [Reason.REFUSED, Reason.UNRECOGNIZED]
    assert [transition.reason for transition in await history.transitions("a")] == [Reason.UNRECOGNIZED]
    assert [incident.reason for incident in await history.incidents()] == [Reason.UNRECOGNIZED]
    await history.close(5)
    # The version that knows the reason finds it again, even in results that were written since.
    assert select(life.path, "SELECT name FROM reasons JOIN incidents ON reasons.id = reason") == [
        ("struck_by_lightning",)
    ]
    assert not lines(caplog, "newer")


DAMAGED_ROWS = {
    "reason_not_text": "UPDATE reasons SET name = x'ff00'",
    "reason_missing": "DELETE FROM reasons",
    "result_of_text": "UPDATE results SET duration = 'x' WHERE at = (SELECT min(at) FROM results)",
    "result_without_code": "UPDATE results SET outcome = 'x' WHERE at = (SELECT min(at) FROM results)",
    "result_detail_blob": "UPDATE results SET detail = x'ff' WHERE at = (SELECT min(at) FROM results)",
    "result_far_ahead": f"UPDATE results SET at = {1 << 49} WHERE at = (SELECT min(at) FROM results)",
    "transition_of_nothing": "UPDATE transitions SET after = 99 WHERE at = (SELECT min(at) FROM transitions)",
    "incident_without_time": "UPDATE incidents SET opened = 'x' WHERE id = 'i1'",
    "incident_detail_not_utf8": "UPDATE incidents SET detail = CAST(x'fffe' AS TEXT) WHERE id = 'i1'",
    "state_not_json": "UPDATE states SET body = '{' WHERE monitor = 'a'",
    "state_not_an_object": "UPDATE states SET body = '[]' WHERE monitor = 'a'",
    "daemon_state_not_json": "UPDATE daemon_states SET body = '' WHERE key = 'x'",
    "record_not_packed": "UPDATE records SET body = 'x' WHERE at = (SELECT min(at) FROM records)",
    "span_of_text": "UPDATE spans SET state = 'x' WHERE start = (SELECT min(start) FROM spans)",
}


@pytest.mark.parametrize("statement", DAMAGED_ROWS.values(), ids=DAMAGED_ROWS)
async def test_damaged_row_affects_only_itself(life: Life, statement: str) -> None:
    history = life.begin()
    for number in range(2):
        seconds = 10 * number
        history.add_result("a", result(after(seconds), verdict=Verdict.FAIL), State.DOWN, {"n": number})
        history.add_incident(incident(number=f"i{number + 1}", opened_at=after(seconds)))
        states = (State.UP, State.DOWN) if number else (State.DOWN, State.UP)
        history.add_transition(Transition("a", *states, after(seconds), after(seconds), Reason.REFUSED, ""))
        history.record_state("a", states[1], in_maintenance=False, at=after(seconds))
    history.save_state("a", {"n": 1})
    history.save_state("b", {"n": 1})
    history.save_daemon_state("x", {"n": 1})
    history.save_daemon_state("silences", {"n": 1})
    life.clock.at = after(60)
    await history.close(5)
    change(life.path, statement)

    history = life.new()
    saved = history.open()
    history.start()
    assert "b" in saved.states
    assert "silences" in saved.daemon_states
    assert len(saved.open_incidents) >= 1
    history.add_result("a", result(after(60)), State.UP)
    await written(history)
    assert history.stats().error is None
    assert len(await history.results("a")) >= 2
    assert len(await history.transitions("a")) >= 1
    assert len(await history.incidents()) >= 1
    assert len(await history.records("a", failed=True)) >= 1
    assert (await history.uptime("a", START, after(60))).seconds
    assert len(await history.buckets("a", START, after(60))) >= 1
    assert not names_beside(life.path, "*.damaged*")
    await history.close(5)


def test_unreadable_rows_are_logged_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):  # once in ten minutes
        assert read_rows([("1",), ("x",), ("y",)], int, "numbers of this test") == [1]
    (line,) = lines(caplog, "cannot be read and are skipped")
    assert line.startswith("history: 2 numbers of this test cannot be read")


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def select(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def contents(path: Path) -> bytes:
    return path.read_bytes()


async def test_removed_database_is_logged_and_states_are_restored(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    history = life.begin()
    history.record_state("a", State.DOWN, in_maintenance=False, at=START)
    history.save_daemon_state("silences", {"n": 1})
    history.save_state("a", {"n": 1})
    history.add_incident(replace(incident(), closed_at=after(1)))
    history.add_incident(incident(number="i2"))
    history.tick(START)
    await written(history)
    assert await history.results("a") == []  # a reader has it open
    shutil.rmtree(life.path.parent)
    life.clock.at = after(5)
    history.add_result("a", result(verdict=Verdict.FAIL), State.DOWN)
    await written(history)
    history.add_result("a", result(after(1), verdict=Verdict.FAIL), State.DOWN)
    await until(lambda: len(names_beside(life.path, "history.db")) == 1, "it is there again")
    await written(history)
    history.tick(after(15))
    await written(history)
    assert len(await history.results("a")) == 2
    assert (await history.uptime("a", START, after(60))).seconds == {State.DOWN: 10.0}
    stats = history.stats()
    assert (stats.resets, stats.reset_at) == (1, after(5))
    assert stats.reset_reason == "the database was removed while the daemon was running"
    (record,) = [record for record in caplog.records if "removed" in record.message]
    assert record.levelno == logging.ERROR
    assert "Lost: results and uptime of 1 monitor since 2026-03-04 10:00:00 UTC, 1 closed" in record.message
    assert vars(record)["message_id"] == JournalEvent.HISTORY_RESET.message_id
    await history.close(5)
    history = life.new()
    saved = history.open()
    assert (saved.daemon_states, saved.states) == ({"silences": {"n": 1}}, {"a": {"n": 1}})
    assert [incident.id for incident in saved.open_incidents] == ["i2"]
    await history.close(5)


async def test_replaced_database_gets_the_states(
    life: Life, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a backup is restored while the daemon is running."""
    backup = Life(tmp_path / "backup" / "history.db")
    old = backup.begin()
    old.add_result("b", result(), State.UP)
    await old.close(5)
    history = life.begin()
    history.save_daemon_state("silences", {"n": 1})
    await written(history)
    backup.path.rename(life.path)
    history.add_result("a", result(after(1)), State.UP)
    await written(history)
    assert (len(await history.results("a")), len(await history.results("b"))) == (1, 1)
    assert (
        history.stats().reset_reason
        == "the database was replaced by another file while the daemon was running"
    )
    assert len(lines(caplog, "replaced by another file")) == 1
    await history.close(5)
    history = life.new()
    assert history.open().daemon_states == {"silences": {"n": 1}}
    await history.close(5)


def overwrite_log(path: Path, how: str) -> None:
    log_file = path.with_name(path.name + "-wal")
    size = log_file.stat().st_size
    assert size > 0
    if how == "removed":
        log_file.unlink()
    elif how == "cut":
        log_file.write_bytes(b"")
    else:
        with log_file.open("r+b") as file:
            file.write(bytes(size) if how == "zeros" else random.Random(1).randbytes(size))


@pytest.mark.parametrize("how", ["zeros", "random", "cut", "removed"])
async def test_overwritten_log_is_detected_and_later_rows_are_stored(
    life: Life, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    history = life.begin()
    history.save_daemon_state("silences", {"n": 1})
    history.add_result("a", result(), State.UP)
    await written(history)
    overwrite_log(life.path, how)
    for number in range(1, 4):
        history.add_result("a", result(after(number)), State.UP)
        await written(history)
    assert len(await history.results("a")) == 3
    assert (history.stats().error, history.stats().dropped, history.stats().resets) == (None, 0, 1)
    assert len(lines(caplog, "its write-ahead log has been overwritten or removed). It was renamed to")) == 1
    assert names_beside(life.path, "*.damaged-*Z")
    await history.close(5)
    history = life.new()
    assert history.open().daemon_states == {"silences": {"n": 1}}
    await history.close(5)


async def test_database_without_its_tables_is_replaced(life: Life) -> None:
    """SQLITE_ERROR is neither damage nor a temporary error."""
    history = life.begin()
    history.add_result("a", result(), State.UP)
    await written(history)
    change(life.path, "DROP TABLE results")
    for number in range(3):
        history.add_result("a", result(after(number)), State.UP)
        await written(history)
    assert len(await history.results("a")) == 3
    assert (history.stats().error, history.stats().dropped) == (None, 0)
    assert "damaged" in (history.stats().reset_reason or "")
    await history.close(5)


async def test_rejected_rows_are_an_error_until_others_are_written(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    history = life.begin()
    history.add_result("a", result(), State.UP)
    await written(history)
    change(life.path, "CREATE TRIGGER t BEFORE INSERT ON results BEGIN SELECT raise(FAIL, 'no'); END")
    history.add_result("a", result(after(1)), State.UP)
    await fails(history)
    await until(lambda: history.stats().dropped == 1, "the rows are dropped")
    assert history.stats().error == "no"
    assert not await history.wait_until_stored(5.0)
    change(life.path, "DROP TRIGGER t")
    history.add_result("a", result(after(2)), State.UP)
    assert await history.wait_until_stored(5.0)
    assert history.stats().error is None
    await history.close(5)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
async def test_files_are_accessible_to_their_owner_only(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        life = Life(tmp_path / "var" / "state" / "history.db")
        history = life.begin()
        history.add_result("a", result(), State.UP)
        await written(history)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in names_beside(life.path, "*")}
        assert modes == dict.fromkeys(["history.db", "history.db-shm", "history.db-wal"], 0o600)
        for folder in (life.path.parent, life.path.parent.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        await history.close(5)
    finally:
        os.umask(before)


async def test_existing_files_lose_only_the_permissions_of_others(life: Life) -> None:
    history = life.begin()
    history.add_result("a", result(), State.UP)
    await history.close(5)
    life.path.chmod(0o644)
    history = life.begin()
    await written(history)
    assert stat.S_IMODE(life.path.stat().st_mode) == 0o640
    await history.close(5)


async def test_durable_rows_are_synchronised_before_they_count_as_stored(life: Life) -> None:
    history = life.begin()
    history.save_daemon_state("pause", {"n": 1})
    assert await history.wait_until_stored(5.0, durable=True)
    (pages,) = inner(history).execute("PRAGMA page_count").fetchone()
    inner(history).execute(f"PRAGMA max_page_count = {pages}")
    history.save_daemon_state("pause", {"n": 2, "comment": "x" * 100_000})
    assert not await history.wait_until_stored(0.3, durable=True)
    inner(history).execute("PRAGMA max_page_count = 1000000")
    assert await history.wait_until_stored(20.0, durable=True)
    assert inner(history).execute("PRAGMA synchronous").fetchone() == (1,)
    await history.close(5)
    assert not await history.wait_until_stored(5.0, durable=True)


async def test_state_that_is_not_json_affects_only_itself(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    history = life.begin()
    history.save_state("a", {"bad": object()})
    history.save_state("b", {"n": 1})
    await history.close(5)
    assert len(lines(caplog, "the state of a cannot be stored")) == 1
    history = life.new()
    assert history.open().states == {"b": {"n": 1}}
    await history.close(5)


async def test_failing_storage_does_not_delay_the_stop(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    history = life.begin()
    history.tick(START)
    await written(history)
    with locked(life.path):
        history.add_result("a", result(), State.UP)
        await fails(history)
        history.add_result("a", result(after(1)), State.UP)
        await history.close(10)
        assert history.stats().dropped == 3  # two results and the last tick
    assert caplog.records[-1].levelno <= logging.ERROR


@pytest.mark.parametrize("seed", range(6))
async def test_no_damage_prevents_a_start_or_later_writes(life: Life, seed: int) -> None:
    history = life.begin()
    for number in range(3000):
        history.add_result(f"m{number % 7}", result(after(number)), State.UP)
        history.save_state(f"m{number % 7}", {"n": number})
    await history.close(5)
    damage(life.path, seed)
    history = life.begin()
    for number in range(3000, 3100):
        history.add_result(f"m{number % 7}", result(after(number)), State.UP)
        history.record_state(
            "m0", State.UP if number % 2 else State.DOWN, in_maintenance=False, at=after(number)
        )
    await written(history)
    history.add_result("last", result(after(4000)), State.UP)
    await written(history)
    assert len(await history.results("last", before=after(5000))) == 1
    assert history.stats().error is None
    await history.close(5)


def damage(path: Path, seed: int) -> None:
    """Even seeds overwrite some pages, odd ones truncate the file."""
    chance = random.Random(seed)
    size = path.stat().st_size
    with path.open("r+b") as file:
        if seed % 2:
            file.truncate(chance.randrange(size))
            return
        for _ in range(1 + seed * 4):
            file.seek(chance.randrange(size))
            file.write(chance.randbytes(chance.randrange(1, 4096)))
