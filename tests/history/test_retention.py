"""Old rows, and rows beyond the maximum size, are deleted in steps."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from monitord.history import HistorySettings, queries, spans
from monitord.history.batch import Batch, ResultRow, SpanStart, Tick
from monitord.history.encoding import pack_outcome
from monitord.history.retention import CYCLE_STEPS, HURRIED_CYCLE_STEPS, MAX_ROWS
from monitord.history.rollups import DAY_MS, HOUR_MS
from monitord.history.store import MAX_ROLLUPS_AT_ONCE, Store
from monitord.model import State
from tests.history.test_rollups import NOWHERE
from tests.history.world import START_MS, after, incident

SETTINGS = HistorySettings(
    results_s=2 * 3600.0, minutes_s=3 * 3600.0, hours_s=2 * 86400.0, days_s=7 * 86400.0
)
OUTCOME = pack_outcome(0, 1, has_response=True)


@contextmanager
def opened(path: Path = NOWHERE, settings: HistorySettings = SETTINGS) -> Iterator[Store]:
    with closing(Store(path, settings, is_first=True)) as store:
        yield store


def write_result(store: Store, at_ms: int, monitor: str = "a", detail: str | None = None) -> None:
    batch = Batch()
    batch.add_result(ResultRow(monitor, at_ms, 1000, OUTCOME, "ok", None, detail))
    store.write(batch)


def maintain(store: Store, from_ms: int, steps: int = CYCLE_STEPS + 1) -> int:
    for step in range(steps):
        store.maintain(from_ms + step * 1000)
    return from_ms + steps * 1000


def count(store: Store, what: str) -> int:
    (rows,) = store.connection.execute(f"SELECT count(*) FROM {what}").fetchone()
    return int(rows)


def ages_ms(store: Store, what: str, now_ms: int) -> list[int]:
    return [now_ms - at for (at,) in store.connection.execute(f"SELECT at FROM {what} ORDER BY at DESC")]


def test_each_kind_has_its_retention() -> None:
    with opened() as store:
        now_ms = START_MS
        for hour in range(10 * 24):
            now_ms = START_MS + hour * HOUR_MS
            write_result(store, now_ms)
            maintain(store, now_ms + HOUR_MS // 2, 3)
        oldest = {
            what: max(ages_ms(store, what, now_ms))
            for what in (
                "results",
                "rollups WHERE level = 60",
                "rollups WHERE level = 3600",
                "rollups WHERE level = 86400",
            )
        }
        assert oldest["results"] <= 2 * HOUR_MS
        assert oldest["rollups WHERE level = 60"] <= 4 * HOUR_MS
        assert oldest["rollups WHERE level = 3600"] <= 2 * DAY_MS + HOUR_MS
        assert 7 * DAY_MS <= oldest["rollups WHERE level = 86400"] <= 8 * DAY_MS
        # And no sooner than that.
        assert count(store, "results") >= 2
        assert count(store, "rollups WHERE level = 3600") >= 48


def test_spans_transitions_and_incidents_have_the_retention_of_days() -> None:
    with opened() as store:
        batch = Batch()
        for day in range(20):
            batch.add_span_start(
                SpanStart("a", START_MS + day * DAY_MS, State.UP if day % 2 else State.DOWN, False)
            )
        now_ms = START_MS + 20 * DAY_MS
        batch.add_tick(Tick(now_ms))
        for number, opened_s in enumerate((0, 86400, 19 * 86400)):
            row = incident(number=f"i{number}", opened_at=after(opened_s))
            # The second is open still.
            batch.add_incident(
                row
                if number == 1
                else type(row)(row.id, "a", row.opened_at, row.reason, "", after(opened_s + 60))
            )
        store.write(batch)
        maintain(store, now_ms)
        kept = [start for (start,) in store.connection.execute("SELECT start FROM spans ORDER BY start")]
        assert kept == [START_MS + day * DAY_MS for day in range(13, 20)]
        left = queries.incidents(store.connection, "a", 10, None, is_open=None)
        assert [item.id for item in left] == ["i2", "i1"]


def test_open_span_of_a_monitor_without_transitions_stays() -> None:
    with opened() as store:
        batch = Batch()
        batch.add_span_start(SpanStart("a", START_MS, State.UP, False))
        now_ms = START_MS + 100 * DAY_MS
        batch.add_tick(Tick(now_ms))
        store.write(batch)
        maintain(store, now_ms)
        found = spans.seconds_by_state(store.connection, 1, now_ms - DAY_MS, now_ms, now_ms)
        assert found == [(1, 86400.0)]


def test_step_deletes_a_limited_number_of_rows() -> None:
    with opened() as store:
        batch = Batch()
        for number in range(3 * MAX_ROWS):
            batch.add_result(ResultRow("a", START_MS + number, 1000, OUTCOME, "ok", None, None))
        store.write(batch)
        left = []
        for step in range(4):
            store.maintain(START_MS + DAY_MS + step * 1000)
            left.append(count(store, "results"))
        assert left == [2 * MAX_ROWS, MAX_ROWS, 0, 0]


def test_no_result_is_deleted_before_it_is_in_the_rollups(caplog: pytest.LogCaptureFixture) -> None:
    """Above the maximum size, a step deletes results of more monitors than a rollup handles."""
    monitors = 2 * MAX_ROLLUPS_AT_ONCE * HURRIED_CYCLE_STEPS
    with opened(settings=HistorySettings(max_size_bytes=4096)) as store:
        batch = Batch()
        for number in range(monitors):
            batch.add_result(ResultRow(f"m{number}", START_MS, 1000, OUTCOME, "ok", None, None))
        store.write(batch)
        maintain(store, START_MS + 2 * DAY_MS, 3 * HURRIED_CYCLE_STEPS)
        assert count(store, "results") == 0
        assert count(store, "rollups WHERE level = 86400") == monitors
    assert "reached max_size" in caplog.text


def test_nothing_of_a_removed_monitor_stays_forever() -> None:
    with opened() as store:
        write_result(store, START_MS, "gone")
        write_result(store, START_MS, "there")
        now_ms = START_MS + 9 * DAY_MS
        write_result(store, now_ms, "there")
        maintain(store, now_ms)
        assert store.connection.execute("SELECT name FROM monitors").fetchall() == [("there",)]
        write_result(store, now_ms, "gone")  # it comes back
        assert len(queries.results(store.connection, "gone", 10, None, failed=False)) == 1


def test_max_size_is_observed_and_free_space_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The retention of results is shortened first; hours and days stay complete."""
    most_bytes = 1 << 20
    settings = HistorySettings(max_size_bytes=most_bytes, results_s=86400.0, minutes_s=86400.0)
    with opened(tmp_path / "history.db", settings) as store:
        now_ms, largest = START_MS, 0
        for step in range(12 * 60):
            now_ms = START_MS + step * 60_000
            batch = Batch()
            for number in range(20):
                at_ms = now_ms + number * 1000
                batch.add_result(ResultRow(f"m{number % 5}", at_ms, 1000, OUTCOME, "ok", None, "x" * 100))
            store.write(batch)
            maintain(store, now_ms + 30_000, 5)
            largest = max(largest, store.size_bytes())
        assert largest < 1.3 * most_bytes
        ages = ages_ms(store, "results", now_ms)
        assert HOUR_MS * 0.9 < max(ages) < 11 * HOUR_MS
        assert count(store, "rollups WHERE level = 3600") == 5 * 12
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "reached max_size (1MiB): the retention of results is now shorter than 1d" in caplog.text
        # Less comes now: the bounds widen again, up to what is configured.
        for hour in range(26):  # until the clock has proved itself
            maintain(store, now_ms + 30 * DAY_MS + hour * HOUR_MS, 1)
        maintain(store, now_ms + 31 * DAY_MS + 2 * HOUR_MS, 200)
        assert store._retention._retention_ms == store._retention._configured_ms


def test_many_free_pages_are_returned_to_the_file_system(tmp_path: Path) -> None:
    with opened(tmp_path / "history.db") as store:
        batch = Batch()
        for number in range(20_000):
            batch.add_result(ResultRow("a", START_MS + number, 1000, OUTCOME, "ok", None, "x" * 300))
        store.write(batch)
        full_bytes = store.size_bytes()
        maintain(store, START_MS + DAY_MS, 40)
        assert count(store, "results") == 0
        assert store.size_bytes() < full_bytes / 2


def test_max_size_below_the_minimum_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path / "history.db", HistorySettings(max_size_bytes=4096)) as store:
        write_result(store, START_MS)
        for step in range(300):
            store.maintain(START_MS + step * 1000)
        assert caplog.text.count("increase max_size") == 1
        assert count(store, "results") == 1
