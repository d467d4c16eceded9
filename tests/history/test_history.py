"""The interface: stored data is returned in order, even after a restart."""

import contextlib
import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.history import History, HistorySettings, SavedState, Uptime
from monitord.model import Reason, State, Transition, Verdict
from tests.history.world import START, Life, SetClock, after, incident, result, written


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path / "state" / "history.db")


async def test_result_is_stored_completely(life: Life) -> None:
    history = life.begin()
    first = result(START, response_time=0.125, phase_connect=0.02, phase_tls=0.03)
    history.add_result("a", first, State.UP)
    await written(history)
    (stored,) = await history.results("a")
    assert (stored.at, stored.verdict, stored.state, stored.reason) == (
        START,
        Verdict.PASS,
        State.UP,
        Reason.OK,
    )
    assert stored.duration_s == pytest.approx(0.125)
    assert stored.phases_s == {"resolve": 0, "connect": 0.02, "tls": 0.03, "processing": 0, "transfer": 0}
    assert stored.detail is None
    await history.close(5)


async def test_only_results_that_did_not_pass_have_a_detail(life: Life) -> None:
    history = life.begin()
    history.add_result("a", result(verdict=Verdict.FAIL, detail="connection \ud800 refused"), State.DOWN)
    await written(history)
    (stored,) = await history.results("a")
    assert (stored.detail, stored.reason, stored.phases_s) == ("connection ? refused", Reason.REFUSED, {})
    await history.close(5)


async def test_results_are_paged_newest_first(life: Life) -> None:
    history = life.begin()
    for number in range(10):
        verdict = Verdict.FAIL if number % 3 == 0 else Verdict.PASS
        history.add_result("a", result(after(number), verdict), State.UP)
    history.add_result("b", result(), State.UP)
    await written(history)
    page = await history.results("a", limit=4)
    assert [result.at for result in page] == [after(number) for number in (9, 8, 7, 6)]
    page = await history.results("a", limit=4, before=page[-1].at)
    assert [result.at for result in page] == [after(number) for number in (5, 4, 3, 2)]
    assert [result.at for result in await history.results("a", failed=True)] == [
        after(number) for number in (9, 6, 3, 0)
    ]
    await history.close(5)


async def test_results_of_the_same_time_are_all_stored(life: Life) -> None:
    history = life.begin()
    for _ in range(5):
        history.add_result("a", result(START), State.UP)
    await written(history)
    assert len(await history.results("a")) == 5
    await history.close(5)


async def test_last_twenty_results_and_failures_have_all_fields(life: Life) -> None:
    history = life.begin()
    for number in range(60):
        verdict = Verdict.FAIL if number < 30 else Verdict.PASS
        check_result = result(after(number), verdict)
        history.add_result("a", check_result, State.UP, {"number": number, "fields": {"names": ["x", "ü"]}})
        if number % 25 == 0:
            await written(history)
    await written(history)
    last, failures = await history.records("a"), await history.records("a", failed=True)
    assert [record["number"] for record in last] == list(range(59, 39, -1))
    assert [failure["number"] for failure in failures] == list(range(29, 9, -1))
    assert last[0]["fields"] == {"names": ["x", "ü"]}
    assert [record["number"] for record in await history.records("a", limit=2)] == [59, 58]
    assert await history.records("nobody") == []
    with contextlib.closing(sqlite3.connect(life.path)) as other:
        assert (
            other.execute(
                "SELECT max(n) FROM (SELECT count(*) n FROM records GROUP BY is_failure)"
            ).fetchone()[0]
            <= 30
        )
    await history.close(5)


async def test_results_of_a_clock_that_was_ahead_do_not_hide_later_ones(life: Life) -> None:
    """As when the clock is set a few minutes after the start."""
    history = life.begin()
    for number in range(30):
        check_result = result(START + timedelta(days=900, seconds=number), Verdict.FAIL)
        history.add_result("a", check_result, State.DOWN, {"number": number})
    for number in range(100, 105):
        history.add_result("a", result(after(number), Verdict.FAIL), State.DOWN, {"number": number})
    await written(history)
    for failed in (False, True):
        shown = [record["number"] for record in await history.records("a", failed=failed)]
        assert shown[:5] == [104, 103, 102, 101, 100]
        assert shown[5:] == list(range(29, 14, -1))
    assert [result.at for result in await history.results("a")] == [
        after(number) for number in range(104, 99, -1)
    ]
    for number in range(105, 125):
        history.add_result("a", result(after(number), Verdict.FAIL), State.DOWN, {"number": number})
    await written(history)
    assert [record["number"] for record in await history.records("a")] == list(range(124, 104, -1))
    await history.close(5)


async def test_writes_of_one_iteration_are_one_transaction(life: Life) -> None:
    """A trigger rejects the state, so that the result and the incident of the same iteration are not stored either."""
    history = life.begin()
    history.tick(START)
    await written(history)
    with contextlib.closing(sqlite3.connect(life.path)) as other:
        other.execute("CREATE TRIGGER no BEFORE INSERT ON states BEGIN SELECT raise(ABORT, 'no'); END")
        other.commit()
    history.add_result("a", result(), State.DOWN)
    history.add_incident(incident())
    history.save_state("a", {"health": "down"})
    await written(history)
    assert (history.stats().written, history.stats().dropped) == (1, 3)
    assert await history.results("a") == []
    assert await history.incidents() == []
    history.add_result("a", result(), State.UP)  # later rows are not delayed
    await written(history)
    assert len(await history.results("a")) == 1
    await history.close(5)


async def test_restart_finds_states_and_incidents(life: Life) -> None:
    history = life.begin()
    history.save_state("a", {"health": "down", "streak": 3})
    history.save_state("a", {"health": "down", "streak": 4})
    history.save_state("b", {"health": "up"})
    history.save_daemon_state("pauses", {"a": "root"})
    history.add_incident(incident())
    history.add_incident(incident("b", number="i2"))
    for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.WARN):
        history.add_result("a", result(verdict=verdict), State.DOWN)
    await history.close(5)

    history = life.new()
    saved = history.open()
    assert saved.states == {"a": {"health": "down", "streak": 4}, "b": {"health": "up"}}
    assert saved.daemon_states == {"pauses": {"a": "root"}}
    assert set(saved.open_incidents) == {incident(), incident("b", number="i2")}
    await history.close(5)


async def test_incident_is_one_row_from_opening_to_closing(life: Life) -> None:
    history = life.begin()
    opened = incident()
    history.add_incident(opened)
    await written(history)
    assert await history.incidents(is_open=True) == [opened]
    closed = type(opened)(
        opened.id,
        "a",
        START,
        Reason.REFUSED,
        "no answer",
        closed_at=after(60),
        acknowledged_by="root",
        acknowledged_at=after(30),
        comment="für später: ✓",
    )
    history.add_incident(closed)
    history.add_incident(incident("b", number="i2", opened_at=after(5)))
    await written(history)
    assert await history.incidents(is_open=False) == [closed]
    assert [incident.id for incident in await history.incidents()] == ["i2", "i1"]
    assert [incident.id for incident in await history.incidents(before=after(5))] == ["i1"]
    assert await history.incidents(monitor="a") == [closed]
    await history.close(5)


async def test_removed_monitor_has_no_state_and_no_open_span(life: Life) -> None:
    history = life.begin()
    history.save_state("a", {"x": 1})
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    history.add_result("a", result(), State.UP)
    history.tick(START)
    await written(history)
    life.clock.at = after(60)
    history.remove("a")
    history.tick(after(90))
    await written(history)
    assert (await history.uptime("a", START, after(100))).seconds == {State.UP: 60.0}
    assert len(await history.results("a")) == 1
    await history.close(5)
    history = life.new()
    assert history.open().states == {}
    await history.close(5)


async def test_renamed_monitor_keeps_its_history(life: Life) -> None:
    history = life.begin()
    history.record_state("old", State.UP, in_maintenance=False, at=START)
    history.add_result("old", result(START), State.UP)
    history.add_incident(incident("old"))
    history.save_state("old", {"x": 1})
    history.tick(START)
    await written(history)
    history.add_result("old", result(after(10)), State.UP)  # in the batch of the renaming
    history.rename("old", "new")
    history.add_result("new", result(after(20)), State.UP)
    history.record_state("new", State.UP, in_maintenance=False, at=after(20))  # the state is unchanged
    history.tick(after(30))
    await written(history)
    assert [result.at for result in await history.results("new")] == [after(20), after(10), START]
    assert await history.results("old") == []
    assert (await history.uptime("new", START, after(30))).seconds == {State.UP: 30.0}
    assert [incident.monitor for incident in await history.incidents()] == ["new"]
    await history.close(5)
    history = life.new()
    assert history.open().states == {"new": {"x": 1}}
    await history.close(5)


async def test_transitions_are_stored(life: Life) -> None:
    history = life.begin()
    fall = Transition("a", State.UP, State.DOWN, after(20), after(10), Reason.REFUSED, "no answer")
    rise = Transition("a", State.DOWN, State.UP, after(60), after(60), Reason.OK, "GET / 200")
    history.add_transition(fall)
    history.add_transition(rise)
    await written(history)
    assert await history.transitions("a") == [rise, fall]
    assert await history.transitions("a", before=after(60), limit=1) == [fall]
    assert await history.transitions("b") == []
    await history.close(5)


async def test_summary_of_a_period_has_its_percentiles(life: Life) -> None:
    """99 fast responses and a slow one, over hours, days and months."""
    history = life.begin()
    for number in range(100):
        took_s = 2.0 if number == 50 else 0.01
        history.add_result("a", result(after(number * 30), response_time=took_s), State.UP)
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    for at in range(0, 3001, 30):
        history.tick(after(at))
    await written(history)
    life.clock.at = after(3000)
    for days in (0.1, 5, 200):
        whole = await history.summary("a", after(3000 - days * 86400), after(3000))
        assert whole is not None
        assert whole.timed == 100
        assert whole.quantile_s(0.99) == pytest.approx(0.01, rel=0.02)
        assert whole.quantile_s(0.995) == pytest.approx(2.0, rel=0.02)
        assert whole.start + timedelta(seconds=whole.step_s) >= after(3000)
        assert whole.seconds == {State.UP: 3000.0}
    assert await history.summary("a", START, START) is None
    await history.close(5)


async def test_closed_history_is_one_file(life: Life) -> None:
    history = life.begin()
    history.add_result("a", result(), State.UP)
    await written(history)
    assert len(await history.results("a")) == 1
    await history.close(5)
    assert os.listdir(life.path.parent) == ["history.db"]  # noqa: PTH208 - no folder is read in earnest


@pytest.mark.parametrize(
    "settings", [HistorySettings(enabled=False), HistorySettings()], ids=["off", "nowhere"]
)
async def test_without_a_database_nothing_is_stored(tmp_path: Path, settings: HistorySettings) -> None:
    path = None if settings.enabled else tmp_path / "history.db"
    history = History(path, settings, SetClock())
    assert history.open() == SavedState()
    history.start()
    history.add_result("a", result(verdict=Verdict.FAIL), State.DOWN)
    history.record_state("a", State.DOWN, in_maintenance=False, at=START)
    history.tick(START)
    history.add_incident(incident())
    history.save_state("a", {})
    history.save_daemon_state("a", {})
    history.rename("a", "b")
    history.remove("x")
    assert await history.results("b") == []
    assert await history.buckets("b", START, after(600)) == []
    assert await history.uptime("b", START, after(600)) == Uptime({})
    assert (await history.uptime("b", START, after(600))).ratio is None
    assert await history.uptimes(["b"], [(START, after(1))]) == {"b": (Uptime({}),)}
    assert await history.incidents() == []
    assert await history.days("b") == []
    assert await history.summary("b", START, after(600)) is None
    assert await history.transitions("b") == []
    assert [row async for row in history.export("b")] == []
    assert [bucket async for bucket in history.export_buckets("b")] == []
    stats = history.stats()
    assert (stats.queued, stats.written, stats.error) == (0, 0, None)
    assert history.stall_description() is None
    await history.close(5)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - no folder is read in earnest


async def test_export_returns_every_result_once_and_in_order(life: Life) -> None:
    history = life.begin()
    count = 2500
    for number in range(count):
        history.add_result("a", result(after(number * 0.5)), State.UP)
    await written(history)
    assert [row.at async for row in history.export("a")] == [after(number * 0.5) for number in range(count)]
    life.clock.at = after(count)
    minutes = [bucket async for bucket in history.export_buckets("a", 60)]
    assert [minute.start for minute in minutes] == [START + timedelta(minutes=number) for number in range(21)]
    assert sum(minute.counts[Verdict.PASS] for minute in minutes) == count
    await history.close(5)


async def test_queued_rows_are_written_when_it_closes(life: Life) -> None:
    history = life.begin()
    history.add_result("a", result(), State.UP)
    await history.close(5)
    assert history.stats().written == 2  # and the last tick
    history = life.begin()
    assert len(await history.results("a")) == 1
    await history.close(5)
    await history.close(5)


async def test_states_of_the_daemon_are_found_until_they_are_deleted(life: Life) -> None:
    history = life.begin()
    history.save_daemon_state("a", {"x": 1})
    history.save_daemon_state("b", {"x": 2})
    await written(history)
    history.save_daemon_state("a", None)
    await history.close(5)
    again = life.new()
    assert again.open().daemon_states == {"b": {"x": 2}}
    await again.close(5)


async def test_wait_ends_when_the_rows_are_stored(life: Life) -> None:
    history = life.begin()
    await history.wait_until_stored(10.0)  # there is nothing to wait for
    for number in range(3):
        history.save_daemon_state("key", {"number": number})
        await history.wait_until_stored(10.0)
        with contextlib.closing(sqlite3.connect(life.path)) as reader:
            assert reader.execute("SELECT body FROM daemon_states").fetchall() == [
                (f'{{"number":{number}}}',)
            ]
    await history.close(5)
    await history.wait_until_stored(10.0)


async def test_wait_does_not_wait_for_the_timer(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitord.history.history.COMMIT_EVERY_S", 3600.0)
    history = life.begin()
    for number in range(3):
        history.save_daemon_state("key", {"number": number})
        assert await history.wait_until_stored(60.0)
    await history.close(5)


async def test_wait_for_a_hanging_storage_has_a_time_limit(life: Life) -> None:
    history = life.begin()
    await written(history)
    with contextlib.closing(sqlite3.connect(life.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        history.save_daemon_state("key", {})
        await history.wait_until_stored(0.05)
        assert history.stats().queued == 1
    await history.close(10)


async def test_disabled_history_needs_no_wait() -> None:
    history = History(None, HistorySettings(), SetClock())
    history.start()
    history.save_daemon_state("key", {})
    await history.wait_until_stored(10.0)
    await history.close(5)
