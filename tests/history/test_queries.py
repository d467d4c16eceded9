"""Queries of charts, calendars and tables: steps, time by state, incidents by day."""

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.history import HistorySettings, Uptime, queries
from monitord.history.batch import Batch, SpanStart, Tick
from monitord.history.queries import MAX_BUCKETS, MAX_POINTS, Horizons, choose_step
from monitord.history.rollups import DAY_MS, HOUR_MS, LEVELS_S
from monitord.history.store import Store
from monitord.model import Incident, State
from tests.history.test_rollups import NOWHERE
from tests.history.world import START, START_MS, after, incident

HORIZONS = Horizons(86400.0, 30 * 86400.0)
NOW_MS = START_MS
MIDNIGHT_MS = START_MS - START_MS % DAY_MS


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store(NOWHERE, HistorySettings(), is_first=True)) as store:
        yield store


def write_states(store: Store, seen_ms: int, *write_states: tuple[int, State, bool]) -> None:
    batch = Batch()
    for at_ms, health, in_maintenance in write_states:
        batch.add_span_start(SpanStart("a", at_ms, health, in_maintenance))
    batch.add_tick(Tick(seen_ms))
    store.write(batch)


@pytest.mark.parametrize(
    ("hours", "step_s", "level_s", "shown_s"),
    [
        pytest.param(1, None, 60, 60, id="an hour: minutes"),
        pytest.param(6, None, 60, 120, id="six hours: two minutes each"),
        pytest.param(24, None, 60, 300, id="a day: five minutes each"),
        pytest.param(7 * 24, None, 3600, 3600, id="a week: hours"),
        pytest.param(30 * 24, None, 3600, 3 * 3600, id="a month: three hours each"),
        pytest.param(90 * 24, None, 86_400, 86_400, id="a quarter: days"),
        pytest.param(2 * 365 * 24, None, 86_400, 3 * 86_400, id="two years: three days each"),
        pytest.param(24, 60, 60, 60, id="a day of minutes"),
        pytest.param(24, 90, 60, 120, id="no step is a part of a minute"),
        pytest.param(24, 3600, 3600, 3600, id="a day of hours"),
        pytest.param(24, 86_400, 86_400, 86_400, id="a day as a whole"),
        pytest.param(7 * 24, 60, 3600, 3600, id="minutes that are not kept become hours"),
        pytest.param(60 * 24, 3600, 86_400, 86_400, id="hours that are not kept become days"),
        pytest.param(30 * 24, 7200, 3600, 7200, id="two hours each"),
    ],
)
def test_requested_step_is_used_if_it_is_stored(
    hours: int, step_s: float | None, level_s: int, shown_s: int
) -> None:
    chosen = choose_step(NOW_MS - hours * HOUR_MS, NOW_MS, step_s, NOW_MS, HORIZONS)
    assert chosen == (level_s, shown_s)


@given(
    st.integers(1, 3 * 365 * DAY_MS),
    st.integers(0, 3 * 365 * DAY_MS),
    st.none() | st.floats(0.001, 1e8),
)
def test_no_period_has_too_many_points(span_ms: int, ago_ms: int, step_s: float | None) -> None:
    end_ms = NOW_MS - ago_ms
    level_s, shown_s = choose_step(end_ms - span_ms, end_ms, step_s, NOW_MS, HORIZONS)
    assert level_s in LEVELS_S
    assert shown_s % level_s == 0
    assert span_ms / 1000 / shown_s <= (MAX_POINTS if step_s is None else MAX_BUCKETS)


def test_uptime_is_by_time_without_unknown_time(store: Store) -> None:
    write_states(
        store,
        START_MS + 1000_000,
        (START_MS, State.UP, False),
        (START_MS + 600_000, State.DEGRADED, False),
        (START_MS + 700_000, State.DOWN, False),
        (START_MS + 750_000, State.DOWN, True),
        (START_MS + 800_000, State.UNKNOWN, False),
        (START_MS + 900_000, State.PAUSED, False),
        (START_MS + 950_000, State.UNREACHABLE, False),
    )
    uptime = queries.uptime(store.connection, "a", START_MS, START_MS + 2000_000)
    assert uptime == Uptime(
        {
            State.UP: 600.0,
            State.DEGRADED: 100.0,
            State.DOWN: 50.0,
            State.UNKNOWN: 100.0,
            State.PAUSED: 50.0,
            State.UNREACHABLE: 50.0,
        },
        maintenance_s=50.0,
    )
    assert uptime.ratio == pytest.approx(700 / 750)
    assert queries.uptimes(store.connection, ["a", "b"], [(START_MS, START_MS + 2000_000), (0, 1)]) == {
        "a": (uptime, Uptime({})),
        "b": (Uptime({}), Uptime({})),
    }


def test_uptimes_between_bounds_are_those_of_each_window(store: Store) -> None:
    write_states(
        store,
        START_MS + 900_000,
        (START_MS + 50_000, State.UP, False),
        (START_MS + 250_000, State.DOWN, False),
        (START_MS + 260_000, State.DEGRADED, False),
        (START_MS + 270_000, State.UP, True),
        (START_MS + 700_000, State.UP, False),
    )
    bounds = [START_MS + at for at in (0, 100_000, 250_000, 300_000, 600_000, 1000_000)]
    windows = list(pairwise(bounds))
    found = queries.uptimes_between(store.connection, ["a", "b"], bounds)
    assert found == queries.uptimes(store.connection, ["a", "b"], windows)
    assert [uptime.seconds for uptime in found["a"]] == [
        {State.UP: 50.0},
        {State.UP: 150.0},
        {State.DOWN: 10.0, State.DEGRADED: 10.0},
        {},
        {State.UP: 200.0},
    ]
    assert [uptime.maintenance_s for uptime in found["a"]] == [0.0, 0.0, 30.0, 300.0, 100.0]


@pytest.mark.parametrize("others", [0, 2])
def test_uptimes_of_unknown_monitors_are_empty(store: Store, others: int) -> None:
    write_states(
        store, START_MS + 100_000, (START_MS, State.UP, False), (START_MS + 75_000, State.DOWN, False)
    )
    names = ["a", *(f"unknown {number}" for number in range(others))]
    windows = [(START_MS, START_MS + 100_000), (START_MS + 50_000, START_MS + 100_000)]
    expected = [{State.UP: 75.0, State.DOWN: 25.0}, {State.UP: 25.0, State.DOWN: 25.0}]
    found = queries.uptimes(store.connection, names, windows)
    assert list(found) == names
    assert [uptime.seconds for uptime in found["a"]] == expected
    assert all(not uptime.seconds for name in names[1:] for uptime in found[name])
    assert [uptime.seconds for uptime in queries.total_uptimes(store.connection, names, windows)] == expected


def test_seconds_by_state_are_spread_over_buckets(store: Store) -> None:
    write_states(
        store,
        START_MS + 300_000,
        (START_MS + 30_000, State.UP, False),
        (START_MS + 150_000, State.DOWN, False),
        (START_MS + 200_000, State.UP, True),
    )
    found = queries.buckets(store.connection, "a", START_MS, START_MS + 360_000, 60, 60)
    assert [(bucket.seconds, bucket.maintenance_s) for bucket in found] == [
        ({State.UP: 30.0}, 0.0),
        ({State.UP: 60.0}, 0.0),
        ({State.UP: 30.0, State.DOWN: 30.0}, 0.0),
        ({State.DOWN: 20.0}, 40.0),
        ({}, 60.0),
        ({}, 0.0),
    ]


def test_calendar_has_a_row_for_each_utc_day(store: Store) -> None:
    yesterday_ms = MIDNIGHT_MS - 2 * HOUR_MS
    write_states(
        store,
        START_MS,
        (yesterday_ms, State.UP, False),
        (MIDNIGHT_MS + HOUR_MS, State.DOWN, False),
        (MIDNIGHT_MS + 2 * HOUR_MS, State.UP, False),
    )
    batch = Batch()
    over_midnight = incident(opened_at=after(-11 * 3600))
    batch.add_incident(
        Incident("i0", "a", over_midnight.opened_at, over_midnight.reason, "", closed_at=after(-9 * 3600))
    )
    batch.add_incident(incident(number="i1", opened_at=after(-60)))
    store.write(batch)
    days = queries.days(store.connection, "a", 3, START_MS)
    assert [day.start.day for day in days] == [2, 3, 4]
    assert [day.incidents for day in days] == [0, 1, 2]
    assert [day.uptime.ratio for day in days] == [None, 1.0, pytest.approx(9 / 10)]
    assert days[2].uptime.seconds == {State.UP: 9 * 3600.0, State.DOWN: 3600.0}
    assert days[-1].start.date() == START.date()


def test_number_of_incidents_and_days_is_limited(store: Store) -> None:
    batch = Batch()
    for number in range(queries.MAX_ROWS + 10):
        batch.add_incident(incident(number=f"i{number}", opened_at=after(number)))
    store.write(batch)
    assert len(queries.incidents(store.connection, None, 10**9, None, is_open=None)) == queries.MAX_ROWS
    assert len(queries.days(store.connection, "a", 10**9, START_MS)) == queries.MAX_DAYS
