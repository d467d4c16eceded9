"""Time in which the daemon did not run, or the machine slept, belongs to no state."""

from pathlib import Path

import pytest

from monitord.history import History
from monitord.history.history import GAP_MS
from monitord.history.writer import STANDSTILL_S
from monitord.model import Health
from tests.history.world import START, Life, after, written


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path / "history.db")


def tick(history: History, *seconds: float) -> None:
    for at in seconds:
        history.tick(after(at))


async def up_s(history: History) -> float:
    await written(history)
    return (await history.uptime("a", START, after(10_000))).seconds.get(Health.UP, 0.0)


async def test_between_two_ticks_that_are_far_apart_nobody_was_there(life: Life) -> None:
    history = life.begin()
    history.stand("a", Health.UP, in_maintenance=False, at=START)
    tick(history, 0, 5, 10)
    tick(history, 100, 105)
    assert await up_s(history) == 15.0
    tick(history, 105 + GAP_MS / 1000)
    assert await up_s(history) == 15.0 + GAP_MS / 1000
    await history.close(5)


async def test_a_daemon_that_died_was_there_until_its_last_tick(life: Life) -> None:
    history = life.begin()
    history.stand("a", Health.UP, in_maintenance=False, at=START)
    tick(history, 0, 5, 10)
    await written(history)
    life.clock.at = after(10)
    await history.close(5)
    life.clock.at = after(500)
    history = life.begin()
    tick(history, 500)
    assert await up_s(history) == 10.0
    history.stand("a", Health.UP, in_maintenance=False, at=after(500))
    tick(history, 505)
    assert await up_s(history) == 15.0
    life.clock.at = after(505)
    await history.close(5)


async def test_a_clock_that_is_set_back_counts_nothing_twice(life: Life) -> None:
    history = life.begin()
    history.stand("a", Health.UP, in_maintenance=False, at=START)
    tick(history, 0, 10, 20, 30)
    tick(history, 10, 20, 30)
    assert await up_s(history) == 30.0
    life.clock.at = after(30)
    await history.close(5)


async def test_the_last_moment_before_a_stop_is_counted(life: Life) -> None:
    history = life.begin()
    history.stand("a", Health.UP, in_maintenance=False, at=START)
    tick(history, 0)
    life.clock.at = after(4)
    await history.close(5)
    history = life.begin()
    assert await up_s(history) == 4.0
    await history.close(5)


async def test_maintenance_begins_another_span_and_the_same_again_is_no_news(life: Life) -> None:
    history = life.begin()
    history.stand("a", Health.DOWN, in_maintenance=False, at=START)
    history.stand("a", Health.DOWN, in_maintenance=True, at=after(10))
    history.stand("a", Health.DOWN, in_maintenance=True, at=after(15))
    history.stand("a", Health.DOWN, in_maintenance=False, at=after(20))
    tick(history, 25)
    await written(history)
    uptime = await history.uptime("a", START, after(100))
    assert (uptime.seconds, uptime.maintenance_s) == ({Health.DOWN: 15.0}, 10.0)
    assert history.stats().written == 4
    await history.close(5)


async def test_a_writer_that_has_work_and_does_not_move_is_a_standstill(life: Life) -> None:
    history = life.begin()
    assert history.standstill() is None
    assert history._writer is not None
    history._handed_over = 1
    history._writer.progress.moved_at -= 10 * STANDSTILL_S
    assert "has not moved for" in (history.standstill() or "")
    history._handed_over = 0
    assert history.standstill() is None
    await history.close(5)
