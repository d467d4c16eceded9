"""Time in which the daemon did not run, or the machine slept, belongs to no state."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.history import History
from monitord.history.history import GAP_MS
from monitord.history.writer import WRITER_STALL_S
from monitord.model import State
from tests.history.world import START, Life, SetClock, after, incident, written


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path / "history.db")


def tick(history: History, *seconds: float) -> None:
    for at in seconds:
        history.tick(after(at))


async def up_s(history: History) -> float:
    await written(history)
    return (await history.uptime("a", START, after(10_000))).seconds.get(State.UP, 0.0)


async def test_time_between_distant_ticks_is_unknown(life: Life) -> None:
    history = life.begin()
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    tick(history, 0, 5, 10)
    tick(history, 100, 105)
    assert await up_s(history) == 15.0
    tick(history, 105 + GAP_MS / 1000)
    assert await up_s(history) == 15.0 + GAP_MS / 1000
    await history.close(5)


async def test_killed_daemon_counts_until_its_last_tick(life: Life) -> None:
    history = life.begin()
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    tick(history, 0, 5, 10)
    await written(history)
    life.clock.at = after(10)
    await history.close(5)
    life.clock.at = after(500)
    history = life.begin()
    tick(history, 500)
    assert await up_s(history) == 10.0
    history.record_state("a", State.UP, in_maintenance=False, at=after(500))
    tick(history, 505)
    assert await up_s(history) == 15.0
    life.clock.at = after(505)
    await history.close(5)


async def test_clock_set_back_counts_nothing_twice(life: Life) -> None:
    history = life.begin()
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    tick(history, 0, 10, 20, 30)
    tick(history, 10, 20, 30)
    assert await up_s(history) == 30.0
    life.clock.at = after(30)
    await history.close(5)


class TwoClocks(SetClock):
    """A wall clock that is set by hand, and a monotonic clock that `passed_s` advances."""

    passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def go_on(self, seconds: float) -> None:
        self.passed_s += seconds
        self.at += timedelta(seconds=seconds)


@pytest.mark.parametrize("leap_s", [40.0, 1800.0, 7200.0, 86_400.0 * 400])
@pytest.mark.parametrize("is_ahead_at_start", [False, True])
async def test_clock_that_is_briefly_ahead_affects_only_that_time(
    tmp_path: Path, leap_s: float, is_ahead_at_start: bool
) -> None:
    clock = TwoClocks()
    life = Life(tmp_path / "history.db", clock=clock)
    if is_ahead_at_start:
        clock.at += timedelta(seconds=leap_s)
    history = life.begin()
    history.tick(clock.at)
    history.record_state("a", State.UP, in_maintenance=False, at=clock.at)

    def go_on(count: int) -> None:
        for _ in range(count):
            clock.go_on(5.0)
            history.tick(clock.at)

    go_on(10)
    if not is_ahead_at_start:
        clock.at += timedelta(seconds=leap_s)
        go_on(1)
    history.record_state("a", State.DOWN, in_maintenance=False, at=clock.at)
    go_on(10)
    clock.at -= timedelta(seconds=leap_s)
    go_on(1)
    history.record_state("a", State.UP, in_maintenance=False, at=clock.at)
    back_at = clock.at
    go_on(4000)
    await written(history)
    uptime = await history.uptime("a", back_at, clock.at)
    assert uptime.seconds == {State.UP: 20_000.0}
    for start_s in (600.0, 3600.0, 7210.0):
        uptime = await history.uptime("a", clock.at - timedelta(seconds=start_s), clock.at)
        assert uptime.seconds == {State.UP: start_s}
    await history.close(5)


@pytest.mark.parametrize("is_written_between", [False, True])
async def test_incident_of_a_clock_that_was_ahead_gets_correct_times(
    tmp_path: Path, is_written_between: bool
) -> None:
    clock = TwoClocks()
    history = Life(tmp_path / "history.db", clock=clock).begin()
    history.tick(clock.at)
    clock.go_on(60.0)
    history.tick(clock.at)
    began_at = clock.at
    clock.at += timedelta(hours=2)
    clock.go_on(5.0)
    history.tick(clock.at)
    opened = incident(opened_at=clock.at)
    history.add_incident(opened)
    clock.go_on(5.0)
    history.add_incident(replace(opened, closed_at=clock.at))
    if is_written_between:
        await written(history)
    clock.at -= timedelta(hours=2)
    clock.go_on(5.0)
    history.tick(clock.at)
    await written(history)
    (stored,) = await history.incidents(monitor="a")
    assert stored.closed_at is not None
    assert (stored.opened_at - began_at).total_seconds() == pytest.approx(5.0, abs=0.01)
    assert (stored.closed_at - began_at).total_seconds() == pytest.approx(10.0, abs=0.01)
    await history.close(5)


async def test_clock_set_back_wrongly_after_a_stall_deletes_nothing(tmp_path: Path) -> None:
    """A suspended machine skips time as well, but its other clocks show it."""
    clock = TwoClocks()
    history = Life(tmp_path / "history.db", clock=clock).begin()
    history.record_state("a", State.UP, in_maintenance=False, at=clock.at)
    history.tick(clock.at)
    clock.go_on(8 * 3600.0)
    for _ in range(100):
        history.tick(clock.at)
        clock.go_on(5.0)
    clock.at -= timedelta(hours=3)
    history.tick(clock.at)
    await written(history)
    uptime = await history.uptime("a", START, after(9 * 3600))
    assert uptime.seconds == {State.UP: 495.0}
    await history.close(5)


async def test_last_moment_before_a_stop_counts(life: Life) -> None:
    history = life.begin()
    history.record_state("a", State.UP, in_maintenance=False, at=START)
    tick(history, 0)
    life.clock.at = after(4)
    await history.close(5)
    history = life.begin()
    assert await up_s(history) == 4.0
    await history.close(5)


async def test_maintenance_starts_a_span_and_an_equal_state_does_not(life: Life) -> None:
    history = life.begin()
    history.record_state("a", State.DOWN, in_maintenance=False, at=START)
    history.record_state("a", State.DOWN, in_maintenance=True, at=after(10))
    history.record_state("a", State.DOWN, in_maintenance=True, at=after(15))
    history.record_state("a", State.DOWN, in_maintenance=False, at=after(20))
    tick(history, 25)
    await written(history)
    uptime = await history.uptime("a", START, after(100))
    assert (uptime.seconds, uptime.maintenance_s) == ({State.DOWN: 15.0}, 10.0)
    assert history.stats().written == 4
    await history.close(5)


async def test_writer_with_work_and_without_progress_is_stalled(life: Life) -> None:
    history = life.begin()
    assert history.stall_description() is None
    assert history._writer is not None
    history._passed_rows = 1
    history._writer.progress.progress_at_s -= 10 * WRITER_STALL_S
    assert "has made no progress for" in (history.stall_description() or "")
    history._passed_rows = 0
    assert history.stall_description() is None
    await history.close(5)
