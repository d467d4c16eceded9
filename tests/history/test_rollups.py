"""Minutes, hours and days compared with their results, for rollups at any time and late results."""

import sqlite3
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.history import HistorySettings, queries
from monitord.history.batch import Batch, ResultRow
from monitord.history.encoding import VERDICTS, from_ms, pack_outcome
from monitord.history.rollups import DAY_MS, HOUR_MS, LATE_MS, MINUTE_MS, ROLLUP_AFTER_MS, SPREAD_MS
from monitord.history.store import Store
from monitord.history.summary import Histogram
from monitord.history.values import Bucket
from monitord.model import Verdict
from tests.history.world import START_MS

NOWHERE = Path(":memory:")
LONG = HistorySettings(results_s=10 * 365 * 86400.0)
SHORT = HistorySettings(results_s=3600.0)
EVENING_MS = START_MS + 12 * HOUR_MS
SEALED_MS = ROLLUP_AFTER_MS + SPREAD_MS + LATE_MS


@dataclass(frozen=True)
class Written:
    at_ms: int
    verdict: int
    duration_us: int
    has_response: bool


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store(NOWHERE, LONG, is_first=True)) as store:
        yield store


def write_results(store: Store, results: Sequence[Written], monitor: str = "a") -> None:
    batch = Batch()
    for result in results:
        what = pack_outcome(result.verdict, 1, has_response=result.has_response)
        batch.add_result(
            ResultRow(monitor, result.at_ms, result.duration_us, what, "ok", [1, 2, 3, 4, 5], None)
        )
    store.write(batch)


def levels(store: Store, monitor: int = 1) -> list[tuple[int, int]]:
    """The number of rows of each level."""
    return store.connection.execute(
        "SELECT level, count(*) FROM rollups WHERE monitor = ? GROUP BY level", (monitor,)
    ).fetchall()


def buckets(store: Store, start_ms: int, end_ms: int, level_s: int, step_s: int) -> list[Bucket]:
    return queries.buckets(store.connection, "a", start_ms, end_ms, level_s, step_s)


def expected(results: Sequence[Written], start_ms: int, step_s: int, bucket: Bucket) -> None:
    step_ms = step_s * 1000
    inside = [result for result in results if start_ms <= result.at_ms < start_ms + step_ms]
    times = [max(1, result.duration_us) for result in inside if result.has_response]
    assert bucket.counts == {
        verdict: sum(result.verdict == code for result in inside) for code, verdict in enumerate(VERDICTS)
    }
    histogram = Histogram()
    for time in times:
        histogram.add(time)
    assert bucket.histogram == histogram
    assert (bucket.timed, bucket.phased) == (len(times), len(times))
    assert bucket.min_s == (min(times) / 1e6 if times else None)
    assert bucket.max_s == (max(times) / 1e6 if times else None)
    if times:
        assert bucket.mean_s == pytest.approx(sum(times) / len(times) / 1e6)
        assert bucket.phases_s["tls"] == pytest.approx(3e-6 * len(times))


WRITTEN_RESULTS = st.builds(
    Written,
    # The first and the last millisecond of a minute, farther apart than SAME_TIME_MS; over midnight.
    at_ms=st.builds(
        lambda number, inside_ms: EVENING_MS + number * 7 * MINUTE_MS + inside_ms,
        st.integers(0, 40),
        st.sampled_from((0, 12_345, MINUTE_MS - 1)),
    ),
    verdict=st.integers(0, 3),
    duration_us=st.integers(0, 10**7),
    has_response=st.booleans(),
)

# Some when such a minute is due for a rollup, and no other after it.
NOW_MS = st.builds(
    lambda number, later_ms: EVENING_MS + number * 7 * MINUTE_MS + later_ms,
    st.integers(0, 70),
    st.sampled_from((0, ROLLUP_AFTER_MS + SPREAD_MS // 2, 5 * MINUTE_MS)),
)


class Then(Enum):
    """An event during or after a batch."""

    NOTHING = auto()
    CRASH = auto()
    REFUSED = auto()
    NOT_ROLLED_UP = auto()


@settings(max_examples=100)
@given(
    steps=st.lists(
        st.tuples(st.lists(WRITTEN_RESULTS, max_size=12), NOW_MS, st.sampled_from(Then)), max_size=8
    ),
    level=st.sampled_from([(60, 60), (60, 7 * 60), (3600, 3600), (3600, 5 * 3600), (86_400, 86_400)]),
)
def test_every_level_contains_all_results_once_at_any_time(
    steps: list[tuple[list[Written], int, Then]], level: tuple[int, int]
) -> None:
    """Batches arrive in any order of time, or fail, while monitors are rolled up and results expire."""
    written: dict[int, Written] = {}
    with TemporaryDirectory() as folder, ExitStack() as stores:
        path = Path(folder) / "history.db"
        store = stores.enter_context(closing(Store(path, SHORT, is_first=True)))
        for batch, now_ms, then in steps:
            fresh = {result.at_ms: result for result in batch if result.at_ms not in written}
            with rejecting(store, "results" if then is Then.REFUSED else None):
                write_results(store, list(fresh.values()))
            if then is not Then.REFUSED:
                written |= fresh
            with rejecting(store, "rollups" if then is Then.NOT_ROLLED_UP else None):
                store.maintain(now_ms)
            if then is Then.CRASH:
                # The previous store still has the file open: it has not been closed.
                store = stores.enter_context(closing(Store(path, SHORT, is_first=True)))
        all_are_there(store, list(written.values()), *level)
        store.maintain(EVENING_MS + 9 * HOUR_MS)
        (not_rolled_up,) = store.connection.execute(
            "SELECT count(*) FROM monitors JOIN results ON monitor = id AND at >= rolled_up_until"
        ).fetchone()
        assert not_rolled_up == 0
        all_are_there(store, list(written.values()), *level)


def all_are_there(store: Store, results: Sequence[Written], level_s: int, step_s: int) -> None:
    for bucket in buckets(store, EVENING_MS, EVENING_MS + 6 * HOUR_MS, level_s, step_s):
        expected(results, round(bucket.start.timestamp() * 1000), step_s, bucket)


@contextmanager
def rejecting(store: Store, what: str | None) -> Iterator[None]:
    """Make inserts into a table fail."""
    if what is None:
        yield
        return
    store.connection.execute(
        f"CREATE TRIGGER no BEFORE INSERT ON {what} BEGIN SELECT raise(ABORT, 'no'); END"
    )
    with suppress(sqlite3.IntegrityError):
        yield
    store.connection.execute("DROP TRIGGER no")


def test_nothing_is_rolled_up_before_it_is_due(store: Store) -> None:
    write_results(store, [Written(START_MS, 0, 1000, True)])
    store.maintain(START_MS + ROLLUP_AFTER_MS - 1)
    assert levels(store) == []
    store.maintain(START_MS + SEALED_MS)
    assert levels(store) == [(60, 1), (3600, 1), (86_400, 1)]


def test_results_at_the_end_of_a_rollup_count_once(store: Store) -> None:
    write_results(
        store,
        [
            Written(START_MS + MINUTE_MS - 1, 0, 1000, True),
            Written(START_MS + MINUTE_MS, 0, 1000, True),
        ],
    )
    for now_ms in (START_MS + ROLLUP_AFTER_MS + SPREAD_MS // 2, START_MS + HOUR_MS):
        store.maintain(now_ms)
        minutes = buckets(store, START_MS, START_MS + 2 * MINUTE_MS, 60, 60)
        assert [minute.timed for minute in minutes] == [1, 1]


def test_result_from_the_future_delays_no_other(store: Store) -> None:
    write_results(store, [Written(START_MS + 400 * DAY_MS, 0, 1000, True), Written(START_MS, 0, 1000, True)])
    store.maintain(START_MS + SEALED_MS)
    assert levels(store) == [(60, 1), (3600, 1), (86_400, 1)]


def test_rollups_extend_the_same_hour_and_day(store: Store) -> None:
    for minute in range(60):
        at_ms = START_MS + minute * MINUTE_MS
        write_results(store, [Written(at_ms, 0, 1000 * (minute + 1), True)])
        store.maintain(at_ms)
    store.maintain(START_MS + HOUR_MS + SEALED_MS)
    assert levels(store) == [(60, 60), (3600, 1), (86_400, 1)]
    (hour,) = buckets(store, START_MS, START_MS + HOUR_MS, 3600, 3600)
    (day,) = buckets(store, START_MS, START_MS + 1, 86_400, 86_400)
    assert hour.timed == day.timed == 60
    assert (hour.min_s, hour.max_s) == (0.001, 0.06)


def test_late_result_is_in_all_levels_at_once(store: Store) -> None:
    write_results(store, [Written(START_MS + MINUTE_MS, 0, 1000, True)])
    store.maintain(START_MS + HOUR_MS)
    write_results(
        store,
        [Written(START_MS + 5, 2, 9000, False), Written(START_MS + MINUTE_MS + 5, 1, 5000, True)],
    )
    for level_s in (60, 3600, 86_400):
        counts = [bucket.counts for bucket in buckets(store, START_MS, START_MS + HOUR_MS, level_s, level_s)]
        assert [sum(count[verdict] for count in counts) for verdict in VERDICTS] == [1, 1, 1, 0]


def test_failed_rollup_is_repeated(store: Store) -> None:
    write_results(store, [Written(START_MS, 0, 1000, True)])
    with rejecting(store, "rollups WHEN new.level = 86400"):
        store.maintain(START_MS + HOUR_MS)
    assert levels(store) == []
    store.maintain(START_MS + HOUR_MS + 1)
    assert levels(store) == [(60, 1), (3600, 1), (86_400, 1)]
    (day,) = buckets(store, START_MS, START_MS + 1, 86_400, 86_400)
    assert day.timed == 1


def test_renamed_monitor_is_rolled_up_with_its_results(store: Store) -> None:
    write_results(store, [Written(START_MS, 0, 1000, True)])
    renaming = Batch()
    renaming.rename("a", "b")
    store.write(renaming)
    write_results(store, [Written(START_MS + 1000, 0, 1000, True)], "b")
    store.maintain(START_MS + SEALED_MS)
    assert levels(store) == [(60, 1), (3600, 1), (86_400, 1)]
    (minute,) = queries.buckets(store.connection, "b", START_MS, START_MS + 1, 60, 60)
    assert minute.timed == 2


def test_results_that_wait_for_a_rollup_are_not_in_memory(store: Store) -> None:
    write_results(store, [Written(START_MS, 0, 1000, True)])
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        for minute in range(200):
            write_results(store, [Written(START_MS + minute * MINUTE_MS, 0, 1000 * minute, True)])
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after_bytes - before_bytes < 10_000


@pytest.mark.parametrize(
    "damage", ["duration = 'x'", "outcome = 'x'", "phases = 'x'", "phases = x'01020304050607'"]
)
def test_damaged_result_affects_only_itself(store: Store, damage: str) -> None:
    write_results(store, [Written(START_MS, 0, 1000, True), Written(START_MS + 1000, 0, 1000, True)])
    store.connection.execute(f"UPDATE results SET {damage} WHERE at = {START_MS}")
    store.maintain(START_MS + HOUR_MS)
    (bucket,) = buckets(store, START_MS, START_MS + 1, 60, 60)
    assert sum(bucket.counts.values()) in {1, 2}  # a phase too many still is a result
    assert bucket.counts[Verdict.PASS] >= 1


def test_damaged_rollup_affects_only_itself(store: Store) -> None:
    write_results(store, [Written(START_MS, 0, 1000, True)])
    store.maintain(START_MS + HOUR_MS)
    store.connection.execute("UPDATE rollups SET body = 'x'")
    assert buckets(store, START_MS, START_MS + 1, 60, 60)[0].timed == 0
    # Later results of the same day are rolled up nevertheless.
    write_results(store, [Written(START_MS + HOUR_MS + 60_000, 0, 1000, True)])
    store.maintain(START_MS + 2 * HOUR_MS)
    assert buckets(store, START_MS, START_MS + 1, 86_400, 86_400)[0].timed == 1


def test_monitors_are_rolled_up_at_different_times_in_groups(store: Store) -> None:
    for number in range(120):
        write_results(store, [Written(START_MS, 0, 1000, True)], f"m{number}")
    rolled_up = []
    for seconds in range(SPREAD_MS // 1000 + 1):
        store.maintain(START_MS + ROLLUP_AFTER_MS + seconds * 1000)
        (count,) = store.connection.execute(
            "SELECT count(*) FROM monitors WHERE rolled_up_until > 0"
        ).fetchone()
        rolled_up.append(count)
    assert rolled_up[0] < 20
    assert rolled_up[-1] == 120
    assert max(after - before for before, after in pairwise(rolled_up)) < 20


def test_buckets_start_on_full_steps(store: Store) -> None:
    found = buckets(store, START_MS + 61_000, START_MS + 700_000, 60, 300)
    assert [bucket.start for bucket in found] == [from_ms(START_MS + number * 300_000) for number in range(3)]
    assert {bucket.step_s for bucket in found} == {300.0}
