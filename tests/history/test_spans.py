"""Time by state, compared with a model that has one cell per second."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.history import spans
from monitord.history.schema import migrate

END = 3000
DAY = 86_400


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def seconds(connection: sqlite3.Connection, start: int, end: int, monitor: int = 1) -> dict[int, float]:
    seen_ms = spans.read_seen(connection)
    return dict(spans.seconds_by_state(connection, monitor, start * 1000, end * 1000, seen_ms))


class Cells:
    """The state of each second."""

    def __init__(self) -> None:
        self.cells: dict[int, int] = {}
        self.open: tuple[int, int] | None = None
        self.seen = 0

    def begin(self, at: int, state: int | None) -> None:
        self._fill_open(at)
        self.cells = {second: kept for second, kept in self.cells.items() if second < at}
        self.open = None if state is None else (at, state)

    def resume(self, at: int) -> None:
        was_open = self.open
        self._fill_open(self.seen)
        self.open = None if was_open is None else (at, was_open[1])

    def restart(self) -> None:
        self._fill_open(self.seen)
        self.open = None

    def _fill_open(self, until: int) -> None:
        if self.open is not None:
            self.cells.update(dict.fromkeys(range(self.open[0], until), self.open[1]))

    def count(self, start: int, end: int) -> dict[int, int]:
        now = Cells()
        now.cells, now.open = dict(self.cells), self.open
        now._fill_open(self.seen)
        return Counter(state for second, state in now.cells.items() if start <= second < end)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "late", "seen", "gap", "restart"]), st.integers(0, 60), st.integers(0, 3)
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(STEPS, st.tuples(st.integers(0, END), st.integers(0, END)))
def test_seconds_by_state_equal_a_model_with_a_cell_per_second(
    steps: list[tuple[str, int, int]], window: tuple[int, int]
) -> None:
    cells, now = Cells(), 100
    with database() as connection:
        for what, passed, number in steps:
            now += passed
            state = number or None
            if what == "begin":
                cells.begin(now, state)
                spans.start(connection, 1, now * 1000, state)
            elif what == "late":
                # A confirmed failure is recorded late, with the time of its first failure.
                cells.begin(now - passed, state)
                spans.start(connection, 1, (now - passed) * 1000, state)
            elif what == "restart":
                cells.restart()
                spans.end_all(connection)
            else:
                if what == "gap":
                    cells.resume(now)
                    spans.resume(connection, now * 1000)
                cells.seen = now
                spans.write_seen(connection, now * 1000)
        start, end = min(window), max(window)
        assert seconds(connection, start, end) == cells.count(start, end)
        middle = (start + end) // 2
        parts = Counter(seconds(connection, start, middle)) + Counter(seconds(connection, middle, end))
        assert parts == Counter(seconds(connection, start, end))


def test_clock_that_is_briefly_years_ahead_affects_only_that_time() -> None:
    year = 365 * DAY
    with database() as connection:
        spans.start(connection, 1, 0, 1)
        spans.write_seen(connection, 100_000)
        spans.resume(connection, year * 1000)
        spans.write_seen(connection, (year + 10) * 1000)
        spans.resume(connection, 110_000)
        spans.write_seen(connection, 200_000)
        assert seconds(connection, 0, DAY) == {1: 190.0}
        spans.start(connection, 1, 150_000, 2)
        spans.write_seen(connection, 300_000)
        assert seconds(connection, 0, DAY) == {1: 140.0, 2: 150.0}


def test_clock_set_far_back_deletes_nothing_and_counts_nothing_twice() -> None:
    with database() as connection:
        spans.start(connection, 1, 0, 1)
        spans.write_seen(connection, 2 * DAY * 1000)
        spans.resume(connection, DAY * 1000)
        spans.write_seen(connection, (DAY + 3600) * 1000)
        spans.start(connection, 1, (DAY + 3600) * 1000, 2)
        spans.write_seen(connection, (DAY + 7200) * 1000)
        assert seconds(connection, 0, 2 * DAY) == {1: 2 * DAY}
        spans.write_seen(
            connection, (2 * DAY + 60) * 1000
        )  # this time is repeated, and has not been counted yet
        assert seconds(connection, 0, 3 * DAY) == {1: 2 * DAY, 2: 60.0}


def test_open_span_excludes_spans_of_a_clock_that_was_ahead() -> None:
    hour = 3600
    with database() as connection:
        spans.start(connection, 1, 0, 1)
        spans.write_seen(connection, 10_000)
        # Two hours ahead, down for 40 s by that clock, and right again: the monitor comes up.
        spans.resume(connection, 2 * hour * 1000)
        spans.start(connection, 1, (2 * hour + 10) * 1000, 2)
        spans.write_seen(connection, (2 * hour + 50) * 1000)
        spans.resume(connection, 60_000)
        spans.start(connection, 1, 70_000, 1)
        for passed in (100, hour, 2 * hour + 30, 3 * hour, 10 * hour):
            spans.write_seen(connection, passed * 1000)
            up = seconds(connection, 80, passed).get(1, 0.0)
            assert up >= passed - 80 - 50
            assert sum(seconds(connection, 80, passed).values()) == passed - 80
        # A range that begins within them loses nothing of the open one.
        assert seconds(connection, 2 * hour + 20, 3 * hour) == {2: 30.0, 1: hour - 50.0}
        assert spans.between(connection, 1, 2 * hour * 1000, 3 * hour * 1000, 10 * hour * 1000) == [
            (2 * hour * 1000, (2 * hour + 10) * 1000, 1),
            ((2 * hour + 10) * 1000, (2 * hour + 50) * 1000, 2),
            ((2 * hour + 50) * 1000, 3 * hour * 1000, 1),
        ]
        before = seconds(connection, 0, 10 * hour)
        spans.start(connection, 1, 10 * hour * 1000, 3)
        assert seconds(connection, 0, 10 * hour) == before


def test_spans_of_an_undone_jump_are_deleted() -> None:
    with database() as connection:
        spans.start(connection, 1, 0, 1)
        spans.start(connection, 2, 0, 1)
        spans.write_seen(connection, 10_000)
        spans.resume(connection, 7200_000)
        spans.start(connection, 1, 7210_000, 2)
        spans.write_seen(connection, 7250_000)
        spans.resume(connection, 60_000, wrong_since_ms=7200_000)
        spans.start(connection, 1, 70_000, 1)
        spans.write_seen(connection, 9000_000)
        assert seconds(connection, 0, 9000) == {1: 10.0 + 8930.0, 2: 10.0}
        assert seconds(connection, 0, 9000, monitor=2) == {1: 10.0 + 8940.0}


def test_spans_are_limited_to_the_period() -> None:
    with database() as connection:
        for at, state in ((0, 1), (10, 2), (20, 1)):
            spans.start(connection, 1, at * 1000, state)
        spans.write_seen(connection, 25_000)
        assert spans.between(connection, 1, 5000, 40_000, 25_000) == [
            (5000, 10_000, 1),
            (10_000, 20_000, 2),
            (20_000, 25_000, 1),
        ]
        assert spans.between(connection, 2, 0, 40_000, 25_000) == []


def test_seconds_by_state_are_linear_in_the_number_of_spans() -> None:
    """Measured in instructions of SQLite's virtual machine."""
    hundreds = 0

    def count() -> None:
        nonlocal hundreds
        hundreds += 1

    with database() as connection:
        for at in range(1000):
            spans.start(connection, 1, at * 1000, at % 2)
        spans.write_seen(connection, 1_000_000)
        connection.set_progress_handler(count, 100)
        assert seconds(connection, 0, 1000) == {0: 500.0, 1: 500.0}
    assert hundreds < 1000
