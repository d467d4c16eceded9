"""The stored results of all monitors, read in the order of time without the daemon."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.errors import HistoryError
from monitord.history import History, HistorySettings
from monitord.history.recorded import RecordedHistory
from monitord.model import Incident, Observation, Reason, Result, State, Verdict
from tests.fakes import FakeClock, run_in_fake_time

START = FakeClock.START


def write(path: Path) -> None:
    """Write results of two monitors, one of them with a failure, and an incident."""

    async def run() -> None:
        history = History(path, HistorySettings(), FakeClock())
        history.open()
        history.start()
        for name, offset_s in (("b", 0), ("a", 5)):
            for number in range(60):
                started_at = START + timedelta(seconds=10 * number + offset_s)
                is_failing = name == "a" and number == 1
                reason, verdict = (Reason.REFUSED, Verdict.FAIL) if is_failing else (Reason.OK, Verdict.PASS)
                fields = {"response_time": 0.25, "phase.connect": 0.01, "phase.tls": 0.0}
                observation = Observation(started_at, 0.3, reason, "connection refused", fields)
                history.add_result(name, Result(observation, verdict), State.UP, {})
        history.add_incident(Incident("1", "a", START + timedelta(seconds=15), Reason.REFUSED, "refused"))
        await history.close(60.0)

    run_in_fake_time(run)


def test_results_of_all_monitors_are_in_the_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path)
    history = RecordedHistory(path)
    windows = list(history.results(START, START + timedelta(minutes=10)))
    history.close()
    assert [len(window) for window in windows] == [60, 60]
    results = [result for window in windows for result in window]
    assert [result.monitor for result in results[:4]] == ["b", "a", "b", "a"]
    assert [result.at for result in results] == sorted(result.at for result in results)
    first, failed = results[0], results[3]
    assert (first.duration_s, first.phases_s, first.detail) == (0.25, {"connect": 0.01}, None)
    assert (first.verdict, first.has_response) == (Verdict.PASS, True)
    assert (failed.verdict, failed.reason, failed.has_response) == (Verdict.FAIL, Reason.REFUSED, False)
    assert (failed.duration_s, failed.detail) == (0.3, "connection refused")


def test_period_has_a_start_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path)
    history = RecordedHistory(path)
    found = history.periods(START + timedelta(seconds=15), START + timedelta(seconds=40))
    assert {name: (period.first_at, period.results) for name, period in found.items()} == {
        "a": (START + timedelta(seconds=15), 3),
        "b": (START + timedelta(seconds=20), 2),
    }
    assert found["b"].last_at == START + timedelta(seconds=30)
    assert history.periods(START + timedelta(days=1), START + timedelta(days=2)) == {}
    assert [incident.monitor for incident in history.incidents(START, START + timedelta(seconds=16))] == ["a"]
    assert history.incidents(START, START + timedelta(seconds=15)) == []
    history.close()


def test_database_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path)
    before = path.read_bytes()
    history = RecordedHistory(path)
    list(history.results(START, START + timedelta(minutes=10)))
    history.close()
    assert path.read_bytes() == before


def test_missing_or_foreign_database_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"missing\.sqlite3 cannot be read: .*; run this command as root"):
        RecordedHistory(tmp_path / "missing.sqlite3")
    foreign = tmp_path / "foreign.sqlite3"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    with pytest.raises(HistoryError, match="belongs to another program; name the history of monitord"):
        RecordedHistory(foreign)
    damaged = tmp_path / "damaged.sqlite3"
    damaged.write_bytes(b"not a database" * 100)
    with pytest.raises(HistoryError, match="cannot be read"):
        RecordedHistory(damaged)
