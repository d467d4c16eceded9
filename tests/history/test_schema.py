"""Migration of the databases of all earlier versions."""

import json
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.history import History, HistorySettings
from monitord.history.saved_state import salvage
from monitord.history.schema import (
    STEPS,
    ForeignDatabaseError,
    NewerVersionError,
    check_version,
    migrate,
    version_of,
)
from monitord.model import Reason, State, Verdict
from tests.history.world import SetClock, result, written

SCHEMAS = Path(__file__).with_name("schemas")
AT = datetime(2026, 3, 4, 9, 59, tzinfo=UTC)
LATER = datetime(2026, 3, 4, 10, 5, tzinfo=UTC)


def database(path: Path | str, script: str = "") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(script)
    return connection


def tables(connection: sqlite3.Connection) -> dict[str, str]:
    """The SQL of each, with single spaces."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {name: " ".join(sql.split()) for name, sql in rows}


def old_versions() -> list[Path]:
    return sorted(SCHEMAS.glob("*.sql"), key=lambda path: int(path.stem))


def text_of(old: Path) -> str:
    return old.read_text()


def test_every_released_version_is_tested() -> None:
    assert [int(path.stem) for path in old_versions()] == list(range(1, len(STEPS) + 1))


@pytest.mark.parametrize("old", old_versions(), ids=lambda path: f"version {path.stem}")
def test_migrated_database_has_the_tables_of_a_new_one(old: Path) -> None:
    with closing(database(":memory:", old.read_text())) as before, closing(database(":memory:")) as new:
        assert version_of(before) == int(old.stem)
        migrate(before)
        migrate(new)
        assert tables(before) == tables(new)
        assert version_of(before) == version_of(new) == len(STEPS)


@pytest.mark.parametrize("old", old_versions(), ids=lambda path: f"version {path.stem}")
async def test_migration_loses_nothing(tmp_path: Path, old: Path) -> None:
    path = tmp_path / "history.db"
    database(path, text_of(old)).close()
    history = History(path, HistorySettings(), SetClock(LATER))
    saved = history.open()
    assert saved.states == {"a": {"health": "down"}}
    assert saved.daemon_states == {"pauses": {"b": "root"}}
    (incident,) = saved.open_incidents
    assert (incident.id, incident.reason, incident.comment) == ("i1", Reason.REFUSED, "seen")
    history.start()
    history.add_result("a", result(LATER), State.UP)
    await written(history)
    stored = await history.results("a")
    assert [result.verdict for result in stored] == [Verdict.PASS, Verdict.FAIL, Verdict.PASS, Verdict.PASS]
    assert [result.detail for result in stored] == [None, "no answer", None, None]
    for step_s in (60, 3600, 86_400):
        buckets = await history.buckets("a", AT, LATER.replace(minute=6), step_s)
        assert sum(bucket.counts[Verdict.PASS] for bucket in buckets) == 3
        assert sum(bucket.timed for bucket in buckets) == 3
        first = next(bucket for bucket in buckets if bucket.timed)
        assert first.quantile_s(0.01) == pytest.approx(0.125, rel=0.02)
        assert first.phases_s["resolve"] == 0.004
    uptime = await history.uptime("a", AT, LATER)
    assert uptime.seconds == {State.UP: 90.0, State.DOWN: 30.0}
    await history.close(5)


def test_states_of_version_4_get_the_terms_of_the_documentation() -> None:
    old = {
        "unit": {
            "type": "unit",
            "sure_at": 1.0,
            "stands": "up",
            "stands_since": 2.0,
            "memory": {"looked_at": "x", "was_as_wanted": True, "unwanted_for_s": None, "ends": {"told": 1}},
        },
        "job": {"type": "heartbeat", "stands": "up", "memory": {"told": "late"}},
        "own": {"type": "own", "memory": {"told": "a value of a plugin", "memory": 1}},
        "new": {"type": "heartbeat", "memory": None},
    }
    with closing(database(":memory:", (SCHEMAS / "4.sql").read_text())) as connection:
        connection.executemany(
            "INSERT INTO states VALUES (?, ?)", [(name, json.dumps(state)) for name, state in old.items()]
        )
        connection.execute("INSERT INTO states VALUES ('broken', '[1')")
        migrate(connection)
        states = dict(connection.execute("SELECT monitor, body FROM states"))
    assert states.pop("broken") == "[1"
    del states["a"]
    assert {name: json.loads(body) for name, body in states.items()} == {
        "unit": {
            "type": "unit",
            "conclusive_at": 1.0,
            "effective": "up",
            "effective_since": 2.0,
            "type_state": {
                "checked_at": "x",
                "was_as_expected": True,
                "unexpected_for_s": None,
                "ends": {"told": 1},
            },
        },
        "job": {"type": "heartbeat", "effective": "up", "type_state": {"reported": "late"}},
        "own": {"type": "own", "type_state": {"told": "a value of a plugin", "memory": 1}},
        "new": {"type": "heartbeat", "type_state": None},
    }


def test_states_of_version_6_get_the_terms_of_two_types() -> None:
    old = {
        "job": {"type": "heartbeat", "type_state": {"rhythm": "every 1 h", "place": 1}},
        "log": {"type": "journal", "type_state": {"place": "s=1;i=2", "total": 3}},
        "own": {"type": "own", "type_state": {"rhythm": 1, "place": 2}},
    }
    with closing(database(":memory:", (SCHEMAS / "6.sql").read_text())) as connection:
        connection.executemany(
            "INSERT INTO states VALUES (?, ?)", [(name, json.dumps(state)) for name, state in old.items()]
        )
        migrate(connection)
        states = dict(connection.execute("SELECT monitor, body FROM states WHERE monitor <> 'a'"))
    assert {name: json.loads(body) for name, body in states.items()} == {
        "job": {"type": "heartbeat", "type_state": {"schedule": "every 1 h", "place": 1}},
        "log": {"type": "journal", "type_state": {"cursor": "s=1;i=2", "total": 3}},
        "own": {"type": "own", "type_state": {"rhythm": 1, "place": 2}},
    }


def test_reasons_of_version_5_are_renamed_in_all_tables() -> None:
    state = {
        "effective": "unreachable",
        "last": {"reason": "unreachable", "fields": {"reason": "unreachable"}},
        "type_state": {"reason": "unreachable"},
    }
    notification = {"notification": {"reason": "journal_timeout", "state": "unreachable"}}
    record = zlib.compress(b'{"reason":"redirect_refused"}')
    with closing(database(":memory:", (SCHEMAS / "5.sql").read_text())) as connection:
        connection.execute("INSERT INTO reasons VALUES (3, 'unreachable'), (4, 'journal_timeout')")
        connection.execute("INSERT INTO states VALUES ('b', ?), ('broken', '[1')", (json.dumps(state),))
        connection.execute(
            "INSERT INTO daemon_states VALUES ('notification:1', ?)", (json.dumps(notification),)
        )
        connection.execute("INSERT INTO records VALUES (1, 0, 1, ?), (1, 1, 1, X'00')", (record,))
        migrate(connection)
        names = [name for (name,) in connection.execute("SELECT name FROM reasons ORDER BY id")]
        states = dict(connection.execute("SELECT monitor, body FROM states"))
        (stored,) = connection.execute(
            "SELECT body FROM daemon_states WHERE key = 'notification:1'"
        ).fetchone()
        records = [body for (body,) in connection.execute("SELECT body FROM records ORDER BY is_failure")]
    assert names == ["ok", "refused", "host_unreachable", "journal_absent"]
    assert states["broken"] == "[1"
    assert json.loads(states["b"]) == state | {
        "last": {"reason": "host_unreachable", "fields": {"reason": "unreachable"}}
    }
    assert json.loads(stored) == {"notification": {"reason": "journal_absent", "state": "unreachable"}}
    assert (zlib.decompress(records[0]), records[1]) == (b'{"reason":"redirect_rejected"}', b"\0")


def test_reasons_of_version_7_are_renamed_in_all_tables() -> None:
    state = {"last": {"reason": "prober_late", "fields": {"reason": "prober_late"}}}
    alert = {"reason": "process_excess"}
    record = zlib.compress(b'{"reason":"registry_unavailable"}')
    with closing(database(":memory:", (SCHEMAS / "7.sql").read_text())) as connection:
        connection.execute("INSERT INTO reasons VALUES (3, 'process_missing'), (4, 'prober_address')")
        connection.execute("INSERT INTO states VALUES ('b', ?)", (json.dumps(state),))
        connection.execute("INSERT INTO daemon_states VALUES ('alert:b', ?)", (json.dumps(alert),))
        connection.execute("INSERT INTO records VALUES (1, 0, 1, ?)", (record,))
        migrate(connection)
        names = [name for (name,) in connection.execute("SELECT name FROM reasons ORDER BY id")]
        (renamed_state,) = connection.execute("SELECT body FROM states WHERE monitor = 'b'").fetchone()
        (renamed_alert,) = connection.execute(
            "SELECT body FROM daemon_states WHERE key = 'alert:b'"
        ).fetchone()
        (renamed_record,) = connection.execute("SELECT body FROM records").fetchone()
    assert names == ["ok", "refused", "too_few_processes", "prober_source_address"]
    assert json.loads(renamed_state) == {
        "last": {"reason": "prober_stalled", "fields": {"reason": "prober_late"}}
    }
    assert json.loads(renamed_alert) == {"reason": "too_many_processes"}
    assert json.loads(zlib.decompress(renamed_record)) == {"reason": "domain_query_failed"}


@pytest.mark.parametrize("old", old_versions(), ids=lambda path: f"version {path.stem}")
def test_saved_state_is_salvaged_from_every_version(old: Path) -> None:
    with closing(database(":memory:", old.read_text())) as connection:
        connection.execute("DROP TABLE results")  # as if its pages were unreadable
        saved = salvage(connection)
    assert saved.states == {"a": {"health": "down"}}
    assert saved.daemon_states == {"pauses": {"b": "root"}}
    assert [incident.id for incident in saved.open_incidents] == ["i1"]


CHAIN: Sequence[str] = (
    "CREATE TABLE a (x)",
    "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = 2 * x",
    "CREATE TABLE b AS SELECT x + y AS z FROM a; DROP TABLE a",
)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_migration_starts_at_any_version(version: int) -> None:
    with closing(database(":memory:")) as connection:
        migrate(connection, CHAIN[:version])
        if version in (1, 2):
            connection.execute("INSERT INTO a (x) VALUES (7)")
            connection.execute("UPDATE a SET y = 14") if version == 2 else None
        migrate(connection, CHAIN)
        assert version_of(connection) == 3
        assert connection.execute("SELECT z FROM b").fetchall() == ([(21,)] if version in (1, 2) else [])
        migrate(connection, CHAIN)


def test_failed_step_changes_nothing() -> None:
    broken = (*CHAIN[:2], "CREATE TABLE c (x)", "INSERT INTO nowhere VALUES (1)")
    with closing(database(":memory:")) as connection:
        migrate(connection, CHAIN[:1])
        connection.execute("INSERT INTO a VALUES (7)")
        before = tables(connection)
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, broken)
        assert (version_of(connection), tables(connection)) == (1, before)
        assert connection.execute("SELECT * FROM a").fetchall() == [(7,)]


def test_newer_and_foreign_databases_are_rejected() -> None:
    with closing(database(":memory:")) as connection:
        migrate(connection)
        connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
        with pytest.raises(NewerVersionError, match=f"is {len(STEPS) + 1}, .* up to {len(STEPS)}"):
            check_version(connection)
    with (
        closing(database(":memory:", "CREATE TABLE theirs (x)")) as connection,
        pytest.raises(ForeignDatabaseError),
    ):
        check_version(connection)
