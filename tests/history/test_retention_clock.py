"""A clock that is wrong for a while does not delete the history, and a correct one is followed in the end."""

import logging
from contextlib import closing
from pathlib import Path

import pytest

from monitord.history.database import open_for_writing
from monitord.history.retention_clock import CLOCK_JUMP_MS, TRUST_AFTER_MS, RetentionClock
from monitord.history.rollups import DAY_MS, HOUR_MS
from monitord.history.store import Store
from tests.history.test_retention import SETTINGS, count, maintain, write_result
from tests.history.world import START_MS

YEARS_MS = 9 * 366 * DAY_MS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history that was written until START_MS."""
    path = tmp_path / "history.db"
    with closing(Store(path, SETTINGS, is_first=True)) as store:
        write_result(store, START_MS)
        write_result(store, START_MS + 1000, "b")
        maintain(store, START_MS + 2 * 60_000)
    return path


def ages_of(path: Path) -> RetentionClock:
    with closing(open_for_writing(path)) as connection:
        return RetentionClock(connection, 0)


def test_start_with_a_clock_years_ahead_deletes_nothing(path: Path) -> None:
    with closing(Store(path, SETTINGS, is_first=True)) as store:
        write_result(store, START_MS + YEARS_MS, "c")
        maintain(store, START_MS + YEARS_MS)
        assert count(store, "results") == 3


def test_second_start_with_a_clock_years_ahead_deletes_nothing(path: Path) -> None:
    """The first start has stored results and a tick that are years ahead."""
    for start in range(3):
        with closing(Store(path, SETTINGS, is_first=True)) as store:
            write_result(store, START_MS + YEARS_MS + start * 3_600_000, "c")
            maintain(store, START_MS + YEARS_MS + start * 3_600_000)
            assert count(store, "results WHERE monitor < 3") == 2


def test_jump_of_the_clock_and_its_correction_delete_nothing(
    path: Path,
) -> None:
    with closing(Store(path, SETTINGS, is_first=True)) as store:
        maintain(store, START_MS + 3 * 60_000, 2)
        maintain(store, START_MS + YEARS_MS)
        maintain(store, START_MS + HOUR_MS)
        assert count(store, "results") == 2


def test_old_rows_are_deleted_after_the_clock_has_run_for_a_day(path: Path) -> None:
    """As after a long stop of the daemon."""
    with closing(Store(path, SETTINGS, is_first=True)) as store:
        for minutes in range(0, 26 * 60, 20):
            maintain(store, START_MS + 30 * DAY_MS + minutes * 60_000, 1)
            if minutes < 23 * 60:
                assert count(store, "rollups WHERE level = 86400") == 2
        maintain(store, START_MS + 30 * DAY_MS + 26 * HOUR_MS)
        assert count(store, "rollups") == 0


def test_results_after_a_jump_have_the_same_retention(path: Path) -> None:
    """They are most of the rows, and max_size applies to them."""
    with closing(Store(path, SETTINGS, is_first=True)) as store:
        now_ms = START_MS + YEARS_MS
        for _ in range(36):
            now_ms += 10 * 60_000
            write_result(store, now_ms, "c")
            maintain(store, now_ms, 5)
        new = store.connection.execute("SELECT at FROM results WHERE at > ?", (START_MS + DAY_MS,)).fetchall()
        assert 0 < len(new) <= 15
        assert min(at for (at,) in new) > now_ms - 2.5 * HOUR_MS
        assert count(store, "rollups WHERE level = 86400 AND monitor < 3") == 2


def test_restarts_do_not_restart_the_trust_delay() -> None:
    with closing(open_for_writing(Path(":memory:"))) as connection:
        wall_ms = START_MS + YEARS_MS
        RetentionClock(connection, START_MS).save(connection)
        ages = RetentionClock(connection, START_MS)
        for _ in range(2):
            for step in range(13):
                ages.advance(wall_ms + step * HOUR_MS)
            wall_ms += 13 * HOUR_MS
            ages.save(connection)
            ages = RetentionClock(connection, START_MS)
        assert ages.advance(wall_ms) == wall_ms


@pytest.mark.parametrize("back_ms", [1, HOUR_MS, YEARS_MS])
def test_jump_back_is_followed_at_once(back_ms: int) -> None:
    with closing(open_for_writing(Path(":memory:"))) as connection:
        ages = RetentionClock(connection, 0)
        assert ages.advance(START_MS + YEARS_MS) == START_MS + YEARS_MS
        back = START_MS + YEARS_MS - back_ms
        assert ages.advance(back) == back


def test_ages_grow_before_a_jump_is_trusted() -> None:
    with closing(open_for_writing(Path(":memory:"))) as connection:
        ages = RetentionClock(connection, START_MS)
        assert ages.advance(START_MS + YEARS_MS) == START_MS
        assert ages.advance(START_MS + YEARS_MS + 60_000) == START_MS + 60_000
        # Another jump shows that this clock is not reliable.
        ages.advance(START_MS + YEARS_MS + TRUST_AFTER_MS - 60_000)
        ages.advance(START_MS + YEARS_MS + TRUST_AFTER_MS)
        assert ages.advance(START_MS + YEARS_MS + TRUST_AFTER_MS + 60_000) < START_MS + TRUST_AFTER_MS


def test_jump_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with closing(open_for_writing(Path(":memory:"))) as connection:
        ages = RetentionClock(connection, START_MS)
        ages.advance(START_MS + CLOCK_JUMP_MS)
        assert caplog.messages == []
        for step in range(3):
            ages.advance(START_MS + 10 * DAY_MS + step * 1000)
        assert [message.partition(".")[0] for message in caplog.messages] == [
            "history: the clock is 9d23h ahead of the last time that the daemon ran"
        ]


def test_new_clock_starts_when_the_daemon_last_ran(path: Path) -> None:
    with closing(open_for_writing(path)) as connection:
        connection.execute("DELETE FROM meta WHERE key != 'seen'")
        assert RetentionClock(connection, START_MS).advance(START_MS + YEARS_MS) == START_MS
    assert (
        ages_of(path).advance(START_MS + YEARS_MS) == START_MS + YEARS_MS
    )  # an empty database trusts the clock
