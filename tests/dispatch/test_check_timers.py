"""One timer for each monitor, served by one timer handle of the event loop, in fake time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from monitord.dispatch import CheckCycle, MonitorEntry
from monitord.dispatch.check_timers import MAX_POPPED, TIMER_TOLERANCE_S, CheckTimers
from monitord.dispatch.schedule import Grid
from tests.fakes import FakeClock, FakeMonitor, fake_tools, monitor_settings, run_in_fake_time, stall


class Served:
    """Check timers that run, and what they served: the name of the monitor, its due time and the time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.timers = CheckTimers(self.clock, self._on_due)
        self.start_s = self.clock.monotonic_s()
        self.served: list[tuple[str, float, float]] = []
        self.next_after_s: float | None = None
        """Set the next timer of a monitor this long after its last timer."""

    def _on_due(self, entry: MonitorEntry, due_at_s: float) -> None:
        self.served.append((entry.name, due_at_s - self.start_s, self.clock.monotonic_s() - self.start_s))
        if self.next_after_s is not None:
            self.timers.set(entry, due_at_s + self.next_after_s)

    def set(self, entry: MonitorEntry, after_s: float) -> None:
        self.timers.set(entry, self.start_s + after_s)

    def monitor(self, name: str, after_s: float | None = None) -> MonitorEntry:
        monitor = FakeMonitor(monitor_settings(name), fake_tools(self.clock))
        entry = MonitorEntry(monitor, CheckCycle(Grid(10.0, 0.0), 0.0))
        if after_s is not None:
            self.set(entry, after_s)
        return entry


def run(main: Callable[[Served], Coroutine[Any, Any, None]]) -> list[tuple[str, float, float]]:
    async def run_and_close() -> list[tuple[str, float, float]]:
        world = Served()
        await main(world)
        world.timers.stop()
        return world.served

    return run_in_fake_time(run_and_close)


def test_timers_are_served_in_the_order_of_their_times() -> None:
    async def main(world: Served) -> None:
        for name, after_s in (("c", 30.0), ("a", 10.0), ("b", 20.0)):
            world.monitor(name, after_s)
        world.timers.start()
        await asyncio.sleep(100)

    assert run(main) == [("a", 10.0, 10.0), ("b", 20.0, 20.0), ("c", 30.0, 30.0)]


def test_nothing_is_served_before_the_start_or_after_the_stop() -> None:
    async def main(world: Served) -> None:
        world.monitor("a", 10.0)
        world.timers.update_handle()
        await asyncio.sleep(20)
        assert world.served == []
        world.timers.start()
        await asyncio.sleep(1)
        world.monitor("b", 30.0)
        world.timers.update_handle()
        world.timers.stop()
        world.timers.stop()
        world.monitor("c", 40.0)
        world.timers.update_handle()
        await asyncio.sleep(100)

    assert run(main) == [("a", 10.0, 20.0)]


def test_new_timer_replaces_the_previous_timer() -> None:
    async def main(world: Served) -> None:
        world.timers.start()
        for after_s in (10.0, 40.0, 20.0):
            world.monitor("other", after_s)
        moved = world.monitor("moved", 5.0)
        world.timers.update_handle()
        world.set(moved, 30.0)
        assert moved.cycle.due_at_s == world.start_s + 30.0
        world.timers.update_handle()
        await asyncio.sleep(100)

    assert [(name, at_s) for name, _, at_s in run(main)] == [
        ("other", 10.0),
        ("other", 20.0),
        ("moved", 30.0),
        ("other", 40.0),
    ]


def test_earlier_timer_is_served_if_the_handle_is_set_to_a_later_time() -> None:
    async def main(world: Served) -> None:
        world.timers.start()
        world.monitor("later", 50.0)
        world.timers.update_handle()
        world.monitor("earlier", 10.0)
        world.timers.update_handle()
        await asyncio.sleep(20)
        assert len(world.served) == 1
        await asyncio.sleep(100)

    assert [name for name, _, _ in run(main)] == ["earlier", "later"]


def test_cleared_timer_is_not_served() -> None:
    async def main(world: Served) -> None:
        cleared = world.monitor("cleared", 10.0)
        world.monitor("other", 10.0)
        world.timers.start()
        world.timers.clear(cleared)
        await asyncio.sleep(100)

    assert run(main) == [("other", 10.0, 10.0)]


def test_timer_set_while_another_is_served_is_served_in_order() -> None:
    async def main(world: Served) -> None:
        world.next_after_s = 10.0
        world.monitor("a", 10.0)
        world.timers.start()
        await asyncio.sleep(35)

    assert run(main) == [("a", 10.0, 10.0), ("a", 20.0, 20.0), ("a", 30.0, 30.0)]


def test_timers_that_are_due_together_are_served_together_slightly_early() -> None:
    async def main(world: Served) -> None:
        world.monitor("a", 10.0)
        world.monitor("b", 10.0 + TIMER_TOLERANCE_S * 0.9)
        world.monitor("c", 10.0 + TIMER_TOLERANCE_S * 2)
        world.timers.start()
        await asyncio.sleep(10.0)
        await asyncio.sleep(0)
        assert [name for name, _, _ in world.served] == ["a", "b"]

    run(main)


def test_overdue_timers_are_served_at_once() -> None:
    async def main(world: Served) -> None:
        world.monitor("a", -5.0)
        world.timers.start()
        await asyncio.sleep(0.0001)

    assert [(name, round(at_s, 2)) for name, _, at_s in run(main)] == [("a", 0.0)]


@pytest.mark.parametrize(("stalled_s", "overdue_s"), [(0.0, 0.0), (10.0, 0.0), (12.0, 2.0), (60.0, 50.0)])
def test_overdue_is_the_delay_of_the_earliest_timer(stalled_s: float, overdue_s: float) -> None:
    async def main(world: Served) -> None:
        cleared = world.monitor("cleared", 5.0)
        world.monitor("a", 10.0)
        world.monitor("b", 20.0)
        world.timers.start()
        world.timers.clear(cleared)
        stall(stalled_s)
        assert world.timers.overdue_s() == overdue_s

    run(main)


def test_nothing_is_overdue_without_timers_or_when_they_do_not_run() -> None:
    async def main(world: Served) -> None:
        world.monitor("a", -10.0)
        assert world.timers.overdue_s() == 0.0
        world.timers.start()
        assert world.timers.overdue_s() == 10.0
        await asyncio.sleep(1)
        assert world.timers.overdue_s() == 0.0

    run(main)


def test_many_obsolete_timers_are_dropped_and_the_others_served() -> None:
    async def main(world: Served) -> None:
        entries = [world.monitor(f"{number:04}", 10.0) for number in range(3 * MAX_POPPED)]
        world.monitor("last", 40.0)
        for number, entry in enumerate(entries):
            if number % 100:
                world.timers.clear(entry)
            else:
                world.set(entry, 30.0 + number / 100)
        world.timers.start()
        await asyncio.sleep(100)

    assert [(name, at_s) for name, _, at_s in run(main)] == [
        ("0000", 30.0),
        ("0100", 31.0),
        ("0200", 32.0),
        ("last", 40.0),
    ]
