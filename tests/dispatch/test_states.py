"""Effective states: parents, pauses, windows, unknown states, flapping, incidents, isolation, suspensions.

Days of schedule in fake time, through the real dispatcher and pipeline.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitord.dispatch import Matcher, MonitorState, OpenMaintenance, Pause, Silence
from monitord.health import HealthPolicy, HealthState, TimeWindow
from monitord.journal_events import JournalEvent
from monitord.model import Reason, State, Verdict
from monitord.monitors.group import GroupMonitor, GroupOptions
from tests.fakes import FakeMonitor, monitor_settings, run_in_fake_time, stall
from tests.worlds import RunningWorld

ONE_FAILURE = HealthPolicy(fail_after=1)


def run(main: Any) -> None:
    async def run_and_close() -> None:
        world = RunningWorld()
        await main(world)
        await world.close()

    run_in_fake_time(run_and_close)


# -- dependencies


def test_dependent_of_a_parent_that_is_down_is_unreachable_without_an_incident() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("gateway")
        world.monitor("shop", depends_on=("gateway",))
        await asyncio.sleep(30)
        world.bad = {"gateway": Reason.TIMEOUT_CONNECT, "shop": Reason.TIMEOUT_CONNECT}
        await asyncio.sleep(60)
        assert world.changes("gateway") == [State.UP, State.DOWN]
        assert world.changes("shop") == [State.UP, State.UNREACHABLE]
        assert [incident.monitor for incident in world.incidents] == ["gateway"]
        world.bad = {}
        await asyncio.sleep(30)
        assert world.changes("shop") == [State.UP, State.UNREACHABLE, State.UP]
        assert [(incident.monitor, incident.closed_at is None) for incident in world.incidents] == [
            ("gateway", True),
            ("gateway", False),
        ]

    run(main)


def test_dependent_that_fails_first_waits_for_its_parent_which_is_checked_at_once() -> None:
    async def main(world: RunningWorld) -> None:
        gateway = world.monitor("gateway", check_every_s=600.0, retry_every_s=20.0)
        world.monitor("shop", depends_on=("gateway",), check_every_s=10.0, retry_every_s=1.0)
        await asyncio.sleep(700)
        asked = len(gateway.began)
        world.bad = {"gateway": Reason.TIMEOUT_CONNECT, "shop": Reason.TIMEOUT_CONNECT}
        await asyncio.sleep(15)
        assert len(gateway.began) > asked
        await asyncio.sleep(60)
        assert world.changes("shop") == [State.UP, State.UNREACHABLE]

    run(main)


def test_dependent_whose_parent_is_up_goes_down() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("gateway")
        world.monitor("shop", depends_on=("gateway",))
        await asyncio.sleep(30)
        world.bad = {"shop": Reason.REFUSED}
        await asyncio.sleep(30)
        assert world.changes("shop") == [State.UP, State.DOWN]

    run(main)


def test_one_of_two_alternatives_is_enough() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("a")
        world.monitor("b")
        world.monitor("shop", depends_on_any=("a", "b"))
        await asyncio.sleep(30)
        world.bad = {"a": Reason.REFUSED, "shop": Reason.REFUSED}
        await asyncio.sleep(60)
        assert world.state("shop") is State.DOWN
        world.bad = {}
        await asyncio.sleep(60)
        world.bad = dict.fromkeys(("a", "b", "shop"), Reason.REFUSED)
        await asyncio.sleep(60)
        assert world.state("shop") is State.UNREACHABLE

    run(main)


# -- pauses


def test_pause_stops_checks_and_keeps_the_incident_open() -> None:
    async def main(world: RunningWorld) -> None:
        monitor = world.monitor("web")
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.dispatcher.pause("web", Pause("root", world.clock.now(), "disk swap"))
        count = len(monitor.began)
        await asyncio.sleep(600)
        assert len(monitor.began) == count
        assert world.state("web") is State.PAUSED
        assert len(world.incidents) == 1
        world.bad = {}
        world.dispatcher.resume("web")
        assert world.state("web") is State.DOWN
        await asyncio.sleep(20)
        assert world.state("web") is State.UP
        assert world.incidents[-1].closed_at is not None
        assert world.dispatcher.overdue_s() == 0

    run(main)


def test_pause_continues_after_a_change_of_the_configuration() -> None:
    async def main(world: RunningWorld) -> None:
        monitor = world.monitor("web")
        world.dispatcher.pause("web", Pause("root", world.clock.now()))
        changed = FakeMonitor(replace(monitor.settings, timeout_s=1.0), world.tools)
        world.dispatcher.apply(world.dispatcher.plan([changed.settings], lambda _: changed))
        await asyncio.sleep(100)
        assert changed.began == []
        assert world.state("web") is State.PAUSED

    run(main)


def test_paused_monitor_can_be_checked_on_request() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web")
        world.dispatcher.pause("web", Pause("root", world.clock.now()))
        result = await world.dispatcher.check_now("web")
        assert result.verdict is Verdict.PASS
        assert world.state("web") is State.PAUSED

    run(main)


def test_failures_before_and_after_a_pause_are_not_consecutive() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web")
        await asyncio.sleep(30)
        world.bad = {"web": Reason.REFUSED}
        await world.dispatcher.check_now("web")
        world.dispatcher.pause("web", Pause("root", world.clock.now()))
        await asyncio.sleep(86_400)
        resumed_at = world.clock.now()
        world.dispatcher.resume("web")
        await asyncio.sleep(1)
        assert world.state("web") is State.UP
        await asyncio.sleep(20)
        assert world.state("web") is State.DOWN
        assert world.transitions[-1].since >= resumed_at
        assert world.incidents[-1].opened_at >= resumed_at

    run(main)


# -- unknown


def test_three_intervals_without_a_conclusive_verdict_are_unknown_and_the_incident_stays() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web", policy=ONE_FAILURE)
        await asyncio.sleep(20)
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(20)
        world.bad = {"web": Reason.PROBER_EXHAUSTED}
        await asyncio.sleep(25)
        assert world.state("web") is State.DOWN
        await asyncio.sleep(15)
        assert world.state("web") is State.UNKNOWN
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(10)
        assert world.changes("web") == [State.UP, State.DOWN, State.UNKNOWN, State.DOWN]
        assert len(world.incidents) == 1

    run(main)


# -- windows and silences


def window_in(world: RunningWorld, from_s: float, until_s: float) -> TimeWindow:
    begins_at = world.clock.now() + timedelta(seconds=from_s)
    return TimeWindow("upgrade", until_s - from_s, begins_at=begins_at, monitors=("web",))


def test_incident_opens_after_a_window_with_its_true_beginning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        world.monitor("web")
        await asyncio.sleep(30)
        world.pipeline.configure(windows=[window_in(world, 5, 120)])
        await asyncio.sleep(10)
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        assert world.state("web") is State.DOWN
        assert world.incidents == []
        went_down = world.transitions[-1]
        await asyncio.sleep(60)
        assert [incident.opened_at for incident in world.incidents] == [went_down.since]
        loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [record.message_id for record in loud] == [JournalEvent.MAINTENANCE_ENDS.message_id]  # type: ignore[attr-defined] # our handlers' field

    run(main)


def test_reload_within_a_window_does_not_log_it_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        settings = world.monitor("web").settings
        world.pipeline.configure(windows=[window_in(world, 5, 120)])
        await asyncio.sleep(30)
        changed = FakeMonitor(replace(settings, timeout_s=1.0), world.tools)
        world.dispatcher.apply(world.dispatcher.plan([changed.settings], lambda _: changed))
        await asyncio.sleep(10)

    run(main)
    begins = JournalEvent.MAINTENANCE_BEGINS.message_id
    assert [getattr(record, "message_id", "") for record in caplog.records].count(begins) == 1


def test_window_that_closes_last_applies(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        world.monitor("web")
        await asyncio.sleep(30)
        long = replace(window_in(world, 20, 120), name="move", comment="new rack")
        world.pipeline.configure(windows=[window_in(world, 5, 60), long])
        entry = world.dispatcher.entries["web"]
        seen = []
        for _ in range(3):
            await asyncio.sleep(12)
            seen.append(entry.state.maintenance)
        until = long.closes_after(world.clock.now())
        assert until is not None
        assert [None if window is None else window.name for window in seen] == ["upgrade", "move", "move"]
        assert seen[-1] == OpenMaintenance("move", until, "new rack")
        await asyncio.sleep(120)
        assert entry.state.maintenance is None
        messages = [record.getMessage() for record in caplog.records if "maintenance" in record.getMessage()]
        assert [message.partition(",")[0].partition(";")[0] for message in messages] == [
            "web: maintenance upgrade begins",
            "web: maintenance move begins",
            "web: maintenance move ends",
        ]
        assert (
            f"web: maintenance move begins, until {until:%Y-%m-%d %H:%M:%S} UTC; the monitor is up"
            in messages
        )

    run(main)


def test_outage_that_ends_within_its_window_opens_no_incident(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        world.monitor("web")
        await asyncio.sleep(30)
        world.pipeline.configure(windows=[window_in(world, 0, 120)])
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(60)
        world.bad = {}
        await asyncio.sleep(120)
        assert world.incidents == []
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    run(main)


def test_silence_lowers_the_level_of_messages_until_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        world.monitor("web", policy=ONE_FAILURE)
        await asyncio.sleep(30)
        now = world.clock.now()
        silence = Silence("s1", Matcher(patterns=("we*",)), now, now + timedelta(seconds=60), "root", "known")
        world.registry.silences.replace_all([silence])
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(30)
        assert world.state("web") is State.DOWN
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        world.bad = {}
        await asyncio.sleep(60)
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(30)
        assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == [
            "ERROR"
        ]

    run(main)


# -- journal


def test_only_changes_have_a_catalog_entry(caplog: pytest.LogCaptureFixture) -> None:
    """`journalctl -x` adds twelve lines to each message with an id."""
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        world.monitor("web", policy=ONE_FAILURE)
        await asyncio.sleep(30)
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(30)

    run(main)
    ids = [getattr(record, "message_id", "") for record in caplog.records if "fields" in vars(record)]
    plain = [message_id for message_id in ids if not message_id]
    assert [message_id for message_id in ids if message_id] == [
        JournalEvent.MONITOR_UP.message_id,
        JournalEvent.MONITOR_DOWN.message_id,
    ]
    assert len(plain) >= 4


# -- flapping


def test_start_and_end_of_flapping_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        world.monitor("web", policy=ONE_FAILURE)
        for _ in range(10):
            world.bad = {"web": Reason.REFUSED}
            await asyncio.sleep(10)
            world.bad = {}
            await asyncio.sleep(10)
        await asyncio.sleep(300)

    run(main)
    loud = [record.message_id for record in caplog.records if record.levelno >= 25]  # type: ignore[attr-defined] # our handlers' field
    flapping, steady = JournalEvent.FLAPPING_BEGINS.message_id, JournalEvent.FLAPPING_ENDS.message_id
    assert loud.count(flapping) == loud.count(steady) == 1
    between = loud[loud.index(flapping) + 1 : loud.index(steady)]
    assert between == []


# -- known false alarms of other programs


def many(world: RunningWorld, count: int = 20) -> list[str]:
    names = [f"m{number}" for number in range(count)]
    for name in names:
        world.monitor(name, check_every_s=30.0, retry_every_s=10.0)
    return names


def test_failed_resolver_takes_no_monitor_down_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main(world: RunningWorld) -> None:
        names = many(world)
        await asyncio.sleep(120)
        world.bad = dict.fromkeys(names, Reason.TIMEOUT_RESOLVE)
        await asyncio.sleep(600)
        assert world.pipeline.isolation.is_isolated
        assert {world.state(name) for name in names} == {State.UNKNOWN}
        world.bad = {}
        await asyncio.sleep(120)
        assert {world.state(name) for name in names} == {State.UP}
        assert world.incidents == []
        assert all(State.DOWN not in world.changes(name) for name in names)

    run(main)
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.message_id for record in loud] == [JournalEvent.ISOLATION_BEGINS.message_id]  # type: ignore[attr-defined] # our handlers' field


def test_restored_outage_of_all_monitors_is_not_isolation() -> None:
    async def main(world: RunningWorld) -> None:
        names = many(world, 6)
        for name in names:
            health = HealthState(State.DOWN, world.clock.now())
            world.dispatcher.entries[name].state = MonitorState(health, State.DOWN)
        world.bad = dict.fromkeys(names, Reason.REFUSED)
        await asyncio.sleep(600)
        assert {world.state(name) for name in names} == {State.DOWN}

    run(main)


def test_local_failure_is_confirmed_during_isolation() -> None:
    async def main(world: RunningWorld) -> None:
        names = many(world)
        group(world, "all", GroupOptions(members=tuple(names), at_least=1))

        class Local(FakeMonitor):
            uses_network = False

        async def act() -> Reason:
            return world.bad.get("disk", Reason.OK)

        world.add(Local(monitor_settings("disk"), world.tools, act))
        await asyncio.sleep(120)
        world.bad = dict.fromkeys((*names, "disk"), Reason.TIMEOUT_RESOLVE)
        await asyncio.sleep(300)
        assert world.pipeline.isolation.is_isolated
        assert world.state("disk") is State.DOWN
        assert world.state("all") is not State.DOWN

    run(main)


def test_simultaneous_outage_of_some_monitors_is_not_isolation() -> None:
    async def main(world: RunningWorld) -> None:
        names = many(world)
        await asyncio.sleep(120)
        broken = names[:8]
        world.bad = dict.fromkeys(broken, Reason.REFUSED)
        await asyncio.sleep(90)
        assert {name for name in names if world.state(name) is State.DOWN} == set(broken)

    run(main)


def test_suspension_takes_no_monitor_down() -> None:
    """A laptop is suspended for an hour, and has no network for a few seconds afterwards."""

    async def main(world: RunningWorld) -> None:
        world.monitor("web", policy=ONE_FAILURE)
        await asyncio.sleep(60)
        world.clock.slept_s += 3600
        world.bad = {"web": Reason.TIMEOUT_RESOLVE}
        await asyncio.sleep(12)
        world.bad = {}
        await asyncio.sleep(60)
        assert world.changes("web") == [State.UP]
        assert Verdict.INCONCLUSIVE in {verdict for _, verdict, _ in world.results}
        # A failure that lasts longer than the network needs to recover is confirmed.
        world.clock.slept_s += 3600
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(40)
        assert world.state("web") is State.DOWN

    run(main)


def test_stall_takes_no_monitor_down() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web", policy=ONE_FAILURE)
        await asyncio.sleep(60)

        async def act() -> Reason:
            stall(30)
            return Reason.TIMEOUT_RESPONSE

        monitor = world.dispatcher.entries["web"].monitor
        assert isinstance(monitor, FakeMonitor)
        monitor.act = act
        await asyncio.sleep(100)
        assert State.DOWN not in world.changes("web")

    run(main)


def test_failures_just_after_a_stall_are_inconclusive() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web", policy=ONE_FAILURE)
        await asyncio.sleep(60)
        stall(15)
        world.bad = {"web": Reason.TIMEOUT_CONNECT}
        await asyncio.sleep(1.5)
        world.bad = {}
        await asyncio.sleep(10)
        assert world.changes("web") == [State.UP]
        assert (Verdict.INCONCLUSIVE, Reason.PROBER_STALLED) in {
            (verdict, why) for _, verdict, why in world.results
        }
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(11)
        assert world.state("web") is State.DOWN

    run(main)


# -- groups


def group(world: RunningWorld, name: str, options: GroupOptions) -> None:
    tools = world.tools
    settings = monitor_settings(
        name, check_every_s=300.0, type_name="group", options=options, policy=GroupMonitor.default_policy
    )
    world.add(GroupMonitor(settings, tools))


def test_group_has_the_worst_state_of_its_members_at_once() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web")
        world.monitor("database", tags=("shop",))
        group(world, "shop", GroupOptions(members=("web",), member_tags=("shop",)))
        await asyncio.sleep(30)
        assert world.state("shop") is State.UP
        world.bad = {"database": Reason.REFUSED}
        await asyncio.sleep(30)
        down = {
            transition.monitor: transition
            for transition in world.transitions
            if transition.after is State.DOWN
        }
        assert set(down) == {"database", "shop"}
        assert "database" in down["shop"].detail
        assert (down["shop"].at - down["database"].at).total_seconds() < 6
        world.dispatcher.pause("database", Pause("root", world.clock.now()))
        await asyncio.sleep(1)
        assert world.state("shop") is State.UP

    run(main)


def test_members_of_a_group_by_tags_have_all_of_them() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web", tags=("shop", "prod"))
        world.monitor("test", tags=("shop",))
        group(world, "shop", GroupOptions(member_tags=("shop", "prod")))
        group(world, "web-only", GroupOptions(members=("web",)))
        await asyncio.sleep(30)
        world.bad = {"test": Reason.REFUSED}
        await asyncio.sleep(30)
        assert world.state("shop") is world.state("web-only") is State.UP
        world.bad = {"web": Reason.REFUSED}
        await asyncio.sleep(30)
        assert world.state("shop") is State.DOWN

    run(main)


def test_group_with_at_least_is_degraded_then_down_as_members_fail() -> None:
    async def main(world: RunningWorld) -> None:
        for name in ("a", "b", "c"):
            world.monitor(name, policy=ONE_FAILURE)
        group(world, "mirrors", GroupOptions(members=("a", "b", "c"), at_least=2))
        await asyncio.sleep(30)
        assert world.state("mirrors") is State.UP
        world.bad = {"a": Reason.REFUSED}
        await asyncio.sleep(30)
        assert world.state("mirrors") is State.DEGRADED
        world.bad = {"a": Reason.REFUSED, "b": Reason.REFUSED}
        await asyncio.sleep(30)
        assert world.state("mirrors") is State.DOWN

    run(main)


def test_group_without_known_members_is_inconclusive() -> None:
    async def main(world: RunningWorld) -> None:
        world.monitor("web")
        world.bad = {"web": Reason.PROBER_EXHAUSTED}
        group(world, "shop", GroupOptions(members=("web",)))
        await asyncio.sleep(400)
        assert world.state("web") is State.UNKNOWN
        reasons = {reason for name, _, reason in world.results if name == "shop"}
        assert reasons == {Reason.MEMBERS_UNKNOWN}

    run(main)
