"""Objectives on a real history: which monitors are selected, and which time counts. And their notifications."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.bridges.state_times import HistoryTimes
from monitord.errors import HistoryError
from monitord.health import CoveredTime, Objective
from monitord.model import Reason, State
from monitord.monitors.objective import ObjectiveMonitor, ObjectiveOptions, objective_of
from tests.fakes import monitor_settings
from tests.history.world import START, SetClock, written
from tests.worlds import World

HOUR = timedelta(hours=1)
USUAL = Objective(99.9, 30 * 86_400.0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(clock=SetClock(START), history_path=tmp_path / "history.sqlite3")
    world.open_history()
    try:
        yield world
    finally:
        await world.close()


def times_of(world: World) -> HistoryTimes:
    return HistoryTimes(world.registry, world.history)


@pytest.mark.parametrize(
    ("patterns", "tags", "selected"),
    [
        ((), ("prod",), ["shop", "shop-api"]),
        (("shop*",), (), ["shop", "shop-api", "shop-test"]),
        (("shop*",), ("prod",), ["shop", "shop-api"]),
        (("shop-test", "mail"), (), ["shop-test", "mail"]),
        (("mail",), (), ["mail"]),
        (("mail",), ("prod",), []),
        (("shop", "mail", "shop"), ("prod",), ["shop"]),
        (("nothing",), (), []),
        (("shop-objective",), (), []),
        (("shop-objective", "mail"), (), ["mail"]),
    ],
)
async def test_monitors_are_selected_as_in_silences_and_reports(
    world: World, patterns: tuple[str, ...], tags: tuple[str, ...], selected: list[str]
) -> None:
    world.monitor("shop", tags=("prod", "web"))
    world.monitor("shop-api", tags=("prod",))
    world.monitor("shop-test")
    world.monitor("mail")
    # The tags and the name of an objective do not make it part of another.
    options = ObjectiveOptions(USUAL, ("mail",))
    world.add(
        ObjectiveMonitor(
            monitor_settings("shop-objective", type_name="objective", options=options, tags=("prod",)),
            world.tools,
        )
    )
    assert list(times_of(world).select(patterns, tags)) == selected


async def test_monitors_that_are_named_are_found_without_a_search(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an objective for each monitor, a search for each would take quadratic time in every report."""
    world.monitor("shop")
    world.monitor("mail")
    monkeypatch.setattr("monitord.dispatch.silences._compiled", lambda _: pytest.fail("compared by pattern"))
    assert list(times_of(world).select(("mail", "shop"), ())) == ["mail", "shop"]


async def test_only_down_is_bad_and_only_known_states_are_covered(world: World) -> None:
    states = [
        (State.UP, False),
        (State.DEGRADED, False),
        (State.DOWN, False),
        (State.DOWN, True),  # in maintenance
        (State.UNKNOWN, False),
        (State.UNREACHABLE, False),
        (State.PAUSED, False),
        (State.UP, False),
    ]
    for hour, (state, in_maintenance) in enumerate(states):
        world.history.record_state("a", state, in_maintenance=in_maintenance, at=START + hour * HOUR)
    world.history.record_state("b", State.UP, in_maintenance=False, at=START)
    await written(world.history)
    # A single tick: time between two of them would count as time in which the daemon did not run.
    world.history.tick(START + 8 * HOUR)
    await written(world.history)
    ranges = [(START, START + 8 * HOUR), (START + 2.5 * HOUR, START + 4 * HOUR)]
    assert await times_of(world).covered(["a"], ranges) == [
        CoveredTime(4 * 3600, 3600),
        CoveredTime(1800, 1800),
    ]
    assert await times_of(world).covered(["a", "b", "unknown"], ranges) == [
        CoveredTime(12 * 3600, 3600),
        CoveredTime(2 * 3600, 1800),
    ]


async def test_disabled_history_is_an_error() -> None:
    world = World(clock=SetClock(START))
    with pytest.raises(HistoryError, match="the history is disabled"):
        await times_of(world).covered(["a"], [(START, START + HOUR)])
    await world.close()


async def test_objective_of_a_monitor_follows_its_history(world: World) -> None:
    shop = replace(monitor_settings("shop"), objective=USUAL)
    settings = objective_of(shop)
    assert settings is not None
    objective = ObjectiveMonitor(settings, world.tools)
    world.monitor("shop")
    clock = world.clock
    assert isinstance(clock, SetClock)
    for state, at in ((State.UP, START), (State.DOWN, START + 90 * HOUR)):
        world.history.record_state("shop", state, in_maintenance=False, at=at)
    await written(world.history)
    clock.at = START + 90 * HOUR + timedelta(minutes=4)
    world.history.tick(clock.at)
    await written(world.history)
    seen = await objective.check()
    assert seen.reason is Reason.FAST_BURN
    assert seen.fields["error_budget.used_time"] == pytest.approx(240)
    assert seen.fields["error_budget.left_percent"] == pytest.approx(100 * (1 - 240 / (90 * 3.6 + 0.24)))
