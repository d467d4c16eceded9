"""Stored states are restored after a stop, a kill, a rename and a removal, on a real database."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from monitord.application import ApplicationContainer
from monitord.bridges.recorder import (
    MAX_REMOVED,
    Recorder,
)
from monitord.clock import Clock, SystemClock
from monitord.dispatch import (
    Pause,
)
from monitord.health import HealthPolicy
from monitord.history import History, HistorySettings
from monitord.model import Reason, State
from tests.fakes import (
    FakeMonitor,
    monitor_settings,
    run_in_fake_time,
)
from tests.worlds import MemoryHistory, World, answers

ONE_FAILURE = HealthPolicy(fail_after=1)


class OtherMonitor(FakeMonitor):
    type_name: ClassVar[str] = "other"


class Run(World):
    """One run of a daemon on a database. Its time is real; checks come when the test wants them."""

    def __init__(self, history_path: Path, max_removed: int) -> None:
        super().__init__(clock=SystemClock(), history_path=history_path)
        self.open_history()
        recorder = Recorder(self.history, self.registry, self.clock, self.saved_state, max_removed)
        self.override(ApplicationContainer.recorder, recorder)

    def with_reason(self, name: str, reason: Reason = Reason.OK, **settings: Any) -> FakeMonitor:
        """Add a monitor whose every check has this reason."""
        return self.monitor(
            name, answers(reason), **{"check_every_s": 3600.0, "policy": ONE_FAILURE, **settings}
        )

    async def check(self, name: str) -> None:
        await self.dispatcher.check_now(name)


async def in_a_run(
    path: Path,
    live: Callable[[Run], Awaitable[None]],
    *,
    is_killed: bool = False,
    max_removed: int = MAX_REMOVED,
) -> Run:
    run = Run(path, max_removed)
    run.start()
    await live(run)
    if is_killed:
        # What is stored now survives; everything later is lost.
        assert await run.history.wait_until_stored(60.0)
    else:
        run.recorder.save()
    await run.close()
    return run


async def test_restart_during_an_outage_reports_and_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.sqlite3"

    async def first(run: Run) -> None:
        run.with_reason("web", Reason.REFUSED)
        await run.check("web")

    async def second(run: Run) -> None:
        run.with_reason("web", Reason.REFUSED)
        run.recorder.close_other_incidents()
        assert run.state("web") is State.DOWN
        await run.check("web")

    async def third(run: Run) -> None:
        run.with_reason("web")
        await run.check("web")

    first_run = await in_a_run(path, first)
    second_run = await in_a_run(path, second, is_killed=True)
    third_run = await in_a_run(path, third)
    assert (first_run.changes("web"), second_run.changes("web"), third_run.changes("web")) == (
        [State.DOWN],
        [],
        [State.UP],
    )
    assert second_run.incidents == []
    (opened,), (closed,) = first_run.incidents, third_run.incidents
    assert closed.id == opened.id
    assert abs((closed.opened_at - opened.opened_at).total_seconds()) < 0.002
    assert closed.closed_at is not None
    reading = History(path, HistorySettings(), first_run.clock)
    reading.open()
    assert [incident.id for incident in await reading.incidents()] == [opened.id]
    await reading.close(1.0)


async def test_last_result_pause_and_state_of_the_type_are_restored(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"

    async def first(run: Run) -> None:
        run.with_reason("web").state = {"cursor": 7}
        await run.check("web")
        run.dispatcher.pause("web", Pause("kim", run.clock.now(), "disk"))

    async def second(run: Run) -> None:
        monitor = run.with_reason("web")
        entry = run.dispatcher.entries["web"]
        assert entry.state.last is not None
        assert entry.state.last.observation.detail == "looked"
        assert entry.state.pause is not None
        assert (entry.state.pause.by, run.state("web")) == ("kim", State.PAUSED)
        assert monitor.state == {"cursor": 7}
        assert monitor.calls == ["restore_state", "start"]

    await in_a_run(path, first, is_killed=True)
    await in_a_run(path, second)


async def test_due_time_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    due: list[float] = []

    async def live(run: Run) -> None:
        run.with_reason("web")
        entry = run.dispatcher.entries["web"]
        if not due:
            await run.check("web")
            run.dispatcher._timers.set(entry, run.clock.monotonic_s() + 1800)
        due.append(run.clock.now().timestamp() + entry.cycle.due_at_s - run.clock.monotonic_s())

    await in_a_run(path, live)
    await in_a_run(path, live)
    assert abs(due[0] - due[1]) < 0.01


async def test_monitor_that_is_removed_and_added_again_keeps_its_state(tmp_path: Path) -> None:
    async def live(run: Run) -> None:
        run.with_reason("web", Reason.REFUSED)
        await run.check("web")
        settings = run.dispatcher.entries["web"].monitor.settings
        run.dispatcher.apply(run.dispatcher.plan([], lambda _: run.with_reason("never")))
        assert [incident.closed_at is None for incident in run.incidents] == [True, False]
        back = FakeMonitor(settings, run.tools)
        run.dispatcher.apply(run.dispatcher.plan([settings], lambda _: back))
        assert run.state("web") is State.DOWN
        assert run.dispatcher.entries["web"].state.last is not None

    await in_a_run(tmp_path / "history.sqlite3", live)


async def test_stored_states_of_removed_monitors_are_limited(tmp_path: Path) -> None:
    """Units that fail become monitors by themselves, and each may have a name that never comes again."""
    path = tmp_path / "history.sqlite3"

    async def first(run: Run) -> None:
        for number in range(4):
            monitor = run.with_reason(f"run-{number}", Reason.REFUSED)
            await run.check(monitor.name)
            run.dispatcher.apply(run.dispatcher.plan([], lambda _: run.with_reason("never")))

    async def second(run: Run) -> None:
        for number in range(4):
            run.with_reason(f"run-{number}")
        run.recorder.close_other_incidents()
        states = [run.state(f"run-{number}") for number in range(4)]
        assert states == [State.PENDING, State.PENDING, State.DOWN, State.DOWN]

    await in_a_run(path, first, max_removed=2)
    await in_a_run(path, second)


async def test_renamed_monitor_keeps_its_history_across_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"

    async def first(run: Run) -> None:
        run.with_reason("old", Reason.REFUSED)
        await run.check("old")

    async def second(run: Run) -> None:
        run.with_reason("new", Reason.REFUSED, renamed_from="old")
        run.recorder.close_other_incidents()
        assert run.state("new") is State.DOWN
        incident = run.dispatcher.entries["new"].state.incident
        assert incident is not None
        assert incident.monitor == "new"
        assert await run.history.wait_until_stored(60.0)
        assert len(await run.history.results("new")) == 1
        assert [incident.closed_at for incident in await run.history.incidents(monitor="new")] == [None]

    await in_a_run(path, first)
    run = await in_a_run(path, second)
    assert run.incidents == []


async def test_incident_of_a_monitor_that_was_removed_during_a_restart_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"

    async def first(run: Run) -> None:
        run.with_reason("web", Reason.REFUSED)
        await run.check("web")

    async def second(run: Run) -> None:
        run.with_reason("other")
        run.recorder.close_other_incidents()
        assert await run.history.wait_until_stored(60.0)
        (incident,) = await run.history.incidents()
        assert incident.closed_at is not None

    await in_a_run(path, first)
    await in_a_run(path, second)


async def test_time_until_confirmation_counts_as_down(tmp_path: Path) -> None:
    async def live(run: Run) -> None:
        clock = run.clock
        began = clock.now()
        run.with_reason("web", Reason.REFUSED, policy=HealthPolicy(fail_after=2))
        await run.check("web")
        await asyncio.sleep(0.5)
        await run.check("web")
        run.history.tick(clock.now())
        assert await run.history.wait_until_stored(60.0)
        uptime = await run.history.uptime("web", began, clock.now())
        assert uptime.seconds[State.DOWN] >= 0.5

    await in_a_run(tmp_path / "history.sqlite3", live)


@pytest.mark.parametrize("renamed_from", [None, "web"], ids=["in-place", "with-another-name"])
async def test_changed_type_ends_incident_and_outage(tmp_path: Path, renamed_from: str | None) -> None:
    async def live(run: Run) -> None:
        began, name = run.clock.now(), "web" if renamed_from is None else "shop"
        run.with_reason("web", Reason.REFUSED)
        await run.check("web")
        settings = monitor_settings(name, check_every_s=3600.0, renamed_from=renamed_from)
        other = OtherMonitor(settings, run.tools)
        run.dispatcher.apply(run.dispatcher.plan([settings], lambda _: other))
        assert [incident.closed_at is None for incident in run.incidents] == [True, False]
        changed = run.clock.now()
        await asyncio.sleep(0.5)
        run.history.tick(run.clock.now())
        assert await run.history.wait_until_stored(60.0)
        assert [incident.closed_at is None for incident in await run.history.incidents(monitor=name)] == [
            False
        ]
        seconds = (await run.history.uptime(name, began, run.clock.now())).seconds
        # In whole milliseconds.
        assert seconds.get(State.DOWN, 0.0) <= (changed - began).total_seconds() + 0.1

    await in_a_run(tmp_path / "history.sqlite3", live)


class CountingHistory(MemoryHistory):
    """Keeps the names of the monitors whose states are saved, in order."""

    def __init__(self, clock: Clock) -> None:
        super().__init__({}, clock)
        self.saved: list[str] = []

    def save_state(self, monitor: str, state: Mapping[str, Any]) -> None:
        del state
        self.saved.append(monitor)


def test_state_is_saved_once_for_each_change(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(history_path=tmp_path / "not-used.sqlite3")
        history = CountingHistory(world.clock)
        world.override(ApplicationContainer.history, history)
        world.start()
        world.monitor("web", answers(Reason.REFUSED), policy=ONE_FAILURE, check_every_s=3600.0)
        history.saved.clear()
        await world.dispatcher.check_now("web")
        assert [transition.after for transition in world.transitions] == [State.DOWN]
        assert len(world.incidents) == 1
        assert history.saved == ["web"]
        world.dispatcher.pause("web", Pause("kim", world.clock.now()))
        assert history.saved == ["web"] * 2
        world.dispatcher.resume("web")
        assert history.saved == ["web"] * 3
        await world.close()

    run_in_fake_time(main)
