"""Monitors that the nodes of a cluster share: decided elsewhere, checked here or by another node."""

import asyncio
import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

from monitord.application import ApplicationContainer
from monitord.dispatch import (
    ClusterState,
    Dispatcher,
    LocalPlacement,
    MonitorEntry,
    MonitorState,
    Placement,
)
from monitord.dispatch.saved import encode, restore
from monitord.health import HealthPolicy, HealthState, ParentState
from monitord.model import Reason, State, Verdict
from monitord.monitors import Monitor
from tests.fakes import FakeClock, FakeMonitor, monitor_settings, run_in_fake_time
from tests.worlds import World, answers

AT = FakeClock.START
AT_ONCE = HealthPolicy(fail_after=1)


class FakePlacement:
    """A node that checks all shared monitors, except those in `elsewhere`. Others are those of the host."""

    def __init__(self, elsewhere: Collection[str] = ()) -> None:
        self.elsewhere = set(elsewhere)

    def is_shared(self, monitor: Monitor[Any]) -> bool:
        return not monitor.name.startswith("host-")

    def is_checked_here(self, name: str) -> bool:
        return name not in self.elsewhere


class NodeWorld(World):
    """A world that is a node of a cluster. `saved`: the state of all monitors from an earlier run."""

    clock: FakeClock
    placement: FakePlacement

    def __init__(
        self, *elsewhere: str, placement: Placement | None = None, saved: MonitorState | None = None
    ) -> None:
        super().__init__()
        self.override(ApplicationContainer.placement, placement or FakePlacement(elsewhere))
        if saved is not None:
            record = encode(saved, type_name="fake", type_state=None, due_at_s=0.0, now=AT, now_s=0.0)
            self.override(
                ApplicationContainer.dispatcher,
                Dispatcher(
                    self.pipeline,
                    self.slots,
                    self.clock,
                    self.check_log,
                    lambda monitor: restore(record, monitor.settings, AT, 0.0),
                    self.placement,
                ),
            )
        self.start()

    def entry(self, name: str) -> MonitorEntry:
        return self.dispatcher.entries[name]

    def decide(self, name: str, state: State, version: int, reason: Reason = Reason.REFUSED) -> None:
        decided = ClusterState(state, AT + timedelta(minutes=version), reason, "by vote", version)
        self.pipeline.set_cluster_state(self.entry(name), decided)


def test_state_of_a_shared_monitor_follows_from_decisions_only() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("web", check_every_s=10.0)
        await asyncio.sleep(30)
        assert (world.state("web"), world.entry("web").state.local_state) == (State.PENDING, State.UP)
        world.decide("web", State.UP, 1, Reason.OK)
        world.decide("web", State.DOWN, 2)
        transition = world.transitions[-1]
        assert (transition.before, transition.after) == (State.UP, State.DOWN)
        assert (transition.reason, transition.detail) == (Reason.REFUSED, "by vote")
        assert transition.since == world.entry("web").state.effective_since == AT + timedelta(minutes=2)
        incident = world.entry("web").state.incident
        assert incident is not None
        assert (incident.opened_at, incident.reason, incident.detail) == (
            AT + timedelta(minutes=2),
            Reason.REFUSED,
            "by vote",
        )
        await asyncio.sleep(60)  # its checks here pass
        assert world.state("web") is State.DOWN
        world.decide("web", State.UP, 3, Reason.OK)
        assert world.changes("web") == [State.UP, State.DOWN, State.UP]
        assert world.incidents[-1].closed_at == AT + timedelta(minutes=3)
        await world.close()

    run_in_fake_time(main)


def test_failure_here_changes_the_local_state_but_neither_state_nor_incident() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("web", check_every_s=10.0)
        world.decide("web", State.UP, 1, Reason.OK)
        world.bad["web"] = Reason.REFUSED
        await asyncio.sleep(60)
        state = world.entry("web").state
        assert (state.local_state, state.effective) == (State.DOWN, State.UP)
        assert state.incident is None
        assert world.changes("web") == [State.UP]
        await world.close()

    run_in_fake_time(main)


def test_alone_the_state_follows_from_the_checks_of_this_node() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("web", check_every_s=10.0)
        world.bad["web"] = Reason.REFUSED
        world.decide("web", State.UP, 1, Reason.OK)
        await asyncio.sleep(60)
        world.pipeline.set_cluster_state(world.entry("web"), None)
        assert world.state("web") is State.DOWN
        assert world.incidents[-1].reason is Reason.REFUSED
        world.decide("web", State.UP, 2, Reason.OK)
        assert world.state("web") is State.UP
        assert world.incidents[-1].closed_at is not None
        await world.close()

    run_in_fake_time(main)


def test_equal_decision_is_published_once() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("web")
        for _ in range(2):
            world.decide("web", State.DOWN, 1)
        assert world.changes("web") == [State.DOWN]
        assert len(world.incidents) == 1
        # The other nodes know since when: this node may have missed decisions in between.
        world.decide("web", State.DOWN, 5)
        assert world.changes("web") == [State.DOWN]
        assert world.entry("web").state.effective_since == AT + timedelta(minutes=5)
        await world.close()

    run_in_fake_time(main)


def test_flapping_of_decisions_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        world = NodeWorld()
        world.monitor("web")
        changes = [
            (State.DOWN, False),
            (State.UP, True),
            (State.DOWN, True),
            (State.UP, False),
            (State.DOWN, False),
        ]
        for version, (state, is_flapping) in enumerate(changes, start=1):
            at = AT + timedelta(minutes=version)
            decided = ClusterState(state, at, Reason.OK, "", version, is_flapping)
            world.pipeline.set_cluster_state(world.entry("web"), decided)
        await world.close()

    run_in_fake_time(main)
    assert [record.getMessage() for record in caplog.records if record.name == "monitord.check"] == [
        "web is down (was pending)",
        "web is up (was down) (flapping)",
        "web is flapping; no notifications about its state changes are sent until flapping ends",
        "web is down (was up) (flapping)",
        "web is up (was down)",
        "web is no longer flapping, and is up",
        "web is down (was up)",
    ]


def test_pause_has_priority_over_a_decision() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("web")
        world.decide("web", State.UP, 1, Reason.OK)
        world.interventions.pause("web", "kim", None)
        world.decide("web", State.DOWN, 2)
        assert world.state("web") is State.PAUSED
        assert world.incidents == []
        world.interventions.resume("web", "kim")
        assert world.state("web") is State.DOWN
        await world.close()

    run_in_fake_time(main)


def test_monitor_of_this_host_is_decided_here() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("host-disk", answers(Reason.REFUSED), policy=AT_ONCE)
        await asyncio.sleep(30)
        assert world.state("host-disk") is State.DOWN
        assert world.entry("host-disk").state.cluster is None
        assert (
            world.dispatcher.is_shared("host-disk"),
            world.dispatcher.entries["host-disk"].is_checked_here,
        ) == (
            False,
            True,
        )
        await world.close()

    run_in_fake_time(main)


# Checks of this node, and of others


def test_reassigned_monitor_is_checked_here_within_five_seconds_and_no_longer_afterwards() -> None:
    async def main() -> None:
        names = [f"m{number}" for number in range(20)]
        world = NodeWorld(*names)
        monitors = [world.monitor(name, check_every_s=60.0) for name in names]
        await asyncio.sleep(120)
        assert [monitor.began for monitor in monitors] == [[]] * 20
        world.placement.elsewhere.clear()
        world.dispatcher.reassign(names)
        await asyncio.sleep(5)
        assert [len(monitor.began) for monitor in monitors] == [1] * 20
        assert len({monitor.began[0] for monitor in monitors}) > 10
        world.placement.elsewhere.add("m0")
        world.dispatcher.reassign(names)
        await asyncio.sleep(600)
        assert len(monitors[0].began) == 1
        assert all(len(monitor.began) >= 10 for monitor in monitors[1:])
        await world.close()

    run_in_fake_time(main)


def test_monitor_of_another_node_is_neither_woken_nor_resumed_but_checked_on_request() -> None:
    async def main() -> None:
        world = NodeWorld("web")
        monitor = world.monitor("web")
        monitor.wake()
        world.interventions.pause("web", "kim", None)
        world.interventions.resume("web", "kim")
        await asyncio.sleep(60)
        assert monitor.began == []
        result = await world.dispatcher.check_now("web")
        assert (result.verdict, len(monitor.began)) == (Verdict.PASS, 1)
        await world.close()

    run_in_fake_time(main)


def test_paused_monitor_that_is_reassigned_is_checked_after_the_pause() -> None:
    async def main() -> None:
        world = NodeWorld("web")
        monitor = world.monitor("web")
        world.interventions.pause("web", "kim", None)
        world.placement.elsewhere.clear()
        world.dispatcher.reassign(["web", "no such monitor"])
        await asyncio.sleep(60)
        assert monitor.began == []
        world.interventions.resume("web", "kim")
        await asyncio.sleep(1)
        assert len(monitor.began) == 1
        await world.close()

    run_in_fake_time(main)


def test_running_check_continues_and_queued_check_is_withdrawn() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.dispatcher.resize(1, 1)
        release = asyncio.Event()

        async def wait() -> Reason:
            await release.wait()
            return Reason.OK

        running = world.monitor("running", wait, check_every_s=60.0, timeout_s=60.0)
        running.wake()
        queued = world.monitor("queued", check_every_s=60.0)
        queued.wake()
        await asyncio.sleep(1)
        assert (len(running.began), world.dispatcher.queued) == (1, 1)
        world.placement.elsewhere.update({"running", "queued"})
        world.dispatcher.reassign(["running", "queued"])
        assert world.dispatcher.queued == 0
        release.set()
        await asyncio.sleep(10)
        assert [name for name, _, _ in world.results] == ["running"]
        assert queued.began == []
        await world.close()

    run_in_fake_time(main)


def test_taken_over_monitor_continues_from_the_vote_but_not_from_an_old_streak() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("web", check_every_s=10.0, retry_every_s=10.0, policy=HealthPolicy(fail_after=3))
        world.bad["web"] = Reason.REFUSED
        await asyncio.sleep(19)
        assert world.entry("web").state.health.streak_length == 2
        world.placement.elsewhere.add("web")
        world.dispatcher.reassign(["web"])
        await asyncio.sleep(600)
        world.pipeline.set_local_state(world.entry("web"), State.UP, AT)
        world.placement.elsewhere.clear()
        world.dispatcher.reassign(["web"])
        await asyncio.sleep(5)
        health = world.entry("web").state.health
        assert (health.state, health.since, health.streak_length) == (State.UP, AT, 1)
        await asyncio.sleep(30)
        assert world.entry("web").state.local_state is State.DOWN
        await world.close()

    run_in_fake_time(main)


@pytest.mark.parametrize("state", [State.UP, State.DEGRADED, State.DOWN, State.UNREACHABLE, State.UNKNOWN])
def test_local_state_of_another_node_is_not_the_effective_state(state: State) -> None:
    async def main() -> None:
        world = NodeWorld("web")
        world.monitor("web")
        world.decide("web", State.UP, 1, Reason.OK)
        world.pipeline.set_local_state(world.entry("web"), state, AT)
        assert (world.entry("web").state.local_state, world.state("web")) == (state, State.UP)
        world.pipeline.set_local_state(world.entry("web"), State.UP, AT)
        assert world.entry("web").state.local_state is State.UP
        assert world.incidents == []
        await world.close()

    run_in_fake_time(main)


def test_monitors_of_other_nodes_do_not_hide_the_isolation_of_this_host() -> None:
    async def main() -> None:
        elsewhere = [f"other{number}" for number in range(40)]
        world = NodeWorld(*elsewhere)
        here = [f"m{number}" for number in range(10)]
        for name in (*here, *elsewhere):
            world.monitor(name, check_every_s=10.0)
        await asyncio.sleep(30)
        world.bad.update(dict.fromkeys(here, Reason.HOST_UNREACHABLE))
        await asyncio.sleep(20)
        assert world.pipeline.isolation.is_isolated
        assert {world.entry(name).state.local_state for name in here} == {State.UP}
        await world.close()

    run_in_fake_time(main)


# Parents


def test_parent_counts_by_its_state_at_this_location() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("gateway")
        world.monitor("web", depends_on=("gateway",))
        registry = world.registry
        for local, decided, expected in [
            (State.UP, State.DOWN, ParentState.AVAILABLE),
            (State.DOWN, State.UP, ParentState.DOWN),
            (State.UNREACHABLE, State.UP, ParentState.DOWN),
        ]:
            world.decide("gateway", decided, world.entry("gateway").state.cluster.version + 1)  # type: ignore[union-attr]
            world.pipeline.set_local_state(world.entry("gateway"), local, AT)
            assert registry.parent_state(world.entry("web")) is expected
        await world.close()

    run_in_fake_time(main)


def test_dependent_is_unreachable_behind_a_parent_that_is_down_only_here() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("gateway", check_every_s=10.0)
        world.monitor("web", check_every_s=10.0, depends_on=("gateway",))
        await asyncio.sleep(30)
        world.decide("gateway", State.UP, 1, Reason.OK)
        world.bad.update({"gateway": Reason.REFUSED, "web": Reason.REFUSED})
        await asyncio.sleep(60)
        states = [world.entry(name).state.local_state for name in ("gateway", "web")]
        assert states == [State.DOWN, State.UNREACHABLE]
        await world.close()

    run_in_fake_time(main)


def test_parents_and_members_of_groups_that_are_parents_are_checked_by_every_node() -> None:
    class Group(FakeMonitor):
        def has_member(self, other: Any) -> bool:
            return bool(other.name == "router")

    async def main() -> None:
        world = NodeWorld("routers", "router", "gateway", "web", "single")
        group = Group(monitor_settings("routers"), world.tools)
        world.add(group)
        monitors = {name: world.monitor(name) for name in ("router", "gateway", "single")}
        monitors["web"] = world.monitor("web", depends_on=("routers",), depends_on_any=("gateway",))
        await asyncio.sleep(30)
        assert group.began
        checked = {name for name, monitor in monitors.items() if monitor.began}
        assert checked == {"router", "gateway"}
        await world.close()

    run_in_fake_time(main)


# Restart and reload


DOWN = ClusterState(State.DOWN, AT, Reason.REFUSED, "by vote", 7)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (MonitorState(health=HealthState(State.UP, AT), effective=State.DOWN, cluster=DOWN), DOWN),
        (
            MonitorState(health=HealthState(State.UP, AT), effective=State.DOWN, effective_since=AT),
            ClusterState(State.DOWN, AT),
        ),
    ],
    ids=["decided", "of a run without a cluster"],
)
def test_restored_state_remains_until_a_decision_arrives(
    stored: MonitorState, expected: ClusterState
) -> None:
    async def main() -> None:
        world = NodeWorld(saved=stored)
        world.monitor("web", check_every_s=10.0)
        await asyncio.sleep(60)
        assert world.state("web") is State.DOWN
        assert world.entry("web").state.cluster == expected
        assert world.changes("web") == []
        world.decide("web", State.UP, 8, Reason.OK)
        assert world.changes("web") == [State.UP]
        await world.close()

    run_in_fake_time(main)


def test_state_is_that_of_the_checks_again_when_there_is_no_cluster() -> None:
    async def main() -> None:
        stored = MonitorState(health=HealthState(State.UP, AT), effective=State.DOWN, cluster=DOWN)
        world = NodeWorld(placement=LocalPlacement(), saved=stored)
        world.monitor("web", check_every_s=10.0)
        await asyncio.sleep(30)
        assert world.dispatcher.entries["web"].state.cluster is None
        assert world.changes("web") == [State.UP]
        await world.close()

    run_in_fake_time(main)


def test_changed_monitor_keeps_its_cluster_state_and_its_checks() -> None:
    async def main() -> None:
        world = NodeWorld("other")
        world.monitor("web")
        world.monitor("other")
        world.decide("web", State.DOWN, 1)
        decided = world.entry("web").state.cluster
        changed = [world.monitor(name, check_every_s=20.0) for name in ("web", "other")]
        assert world.entry("web").state.cluster == decided
        await asyncio.sleep(60)
        assert (bool(changed[0].began), bool(changed[1].began)) == (True, False)
        assert world.changes("web") == [State.DOWN]
        await world.close()

    run_in_fake_time(main)


def test_clock_step_does_not_shift_what_the_cluster_has_decided() -> None:
    async def main() -> None:
        world = NodeWorld()
        world.monitor("web", check_every_s=10.0)
        world.decide("web", State.DOWN, 1)
        await asyncio.sleep(30)
        before = world.entry("web").state
        world.clock.ahead_s = 7200.0
        await asyncio.sleep(5)
        after = world.entry("web").state
        assert before.health.since is not None
        assert after.health.since == before.health.since + timedelta(hours=2)
        assert (after.effective_since, after.incident) == (before.effective_since, before.incident)
        await world.close()

    run_in_fake_time(main)
