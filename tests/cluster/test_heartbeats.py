"""Heartbeat monitors of a cluster: a job can send its heartbeats to any node."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from monitord.model import Reason, State
from monitord.monitors.heartbeat.monitor import (
    Heartbeat,
    HeartbeatMonitor,
    HeartbeatSchedule,
    HeartbeatSignal,
)
from tests.cluster.worlds import Cluster, NodeWorld, until
from tests.fakes import FakeClock, monitor_settings, run_in_fake_time

SCHEDULE = HeartbeatSchedule(60.0, None, grace_s=60.0, warn_after_s=60.0)
FAIL = HeartbeatSignal.FAIL


def add(world: NodeWorld, name: str = "job", **settings: Any) -> None:
    world.add(
        HeartbeatMonitor(
            monitor_settings(
                name,
                type_name="heartbeat",
                options=SCHEDULE,
                policy=HeartbeatMonitor.default_policy,
                **settings,
            ),
            world.tools,
        )
    )
    world.configure()


def ping(world: NodeWorld, signal: HeartbeatSignal = HeartbeatSignal.SUCCESS, name: str = "job") -> None:
    monitor = world.dispatcher.entries[name].monitor
    assert isinstance(monitor, HeartbeatMonitor)
    monitor.record_heartbeat(Heartbeat(signal), world.clock.now())


async def ping_for(minutes: int, *worlds: NodeWorld) -> None:
    """Send a heartbeat every minute, to one node after the other."""
    for number in range(minutes):
        ping(worlds[number % len(worlds)])
        await asyncio.sleep(60)


def run(main: Callable[[Cluster], Awaitable[None]], **locations: str) -> None:
    """Run nodes at these locations with a heartbeat monitor that was pinged."""

    async def whole() -> None:
        cluster = Cluster(FakeClock())
        for name, location in locations.items():
            cluster.add(name, location)
        async with cluster:
            for world in cluster.nodes.values():
                add(world)
            ping(next(iter(cluster.nodes.values())))
            await asyncio.sleep(20)
            assert cluster.states("job") == {State.UP}
            await main(cluster)

    run_in_fake_time(whole)


def owner_at(cluster: Cluster, location: str) -> NodeWorld:
    """The node of a location that checks the monitor."""
    (owner,) = [
        world
        for world in cluster.nodes.values()
        if world.cluster.location == location and world.dispatcher.entries["job"].is_checked_here
    ]
    return owner


def other_at(cluster: Cluster, location: str) -> NodeWorld:
    owner = owner_at(cluster, location)
    return next(w for w in cluster.nodes.values() if w.cluster.location == location and w is not owner)


def test_heartbeat_on_any_node_counts_for_all() -> None:
    async def main(cluster: Cluster) -> None:
        ams, fra, hel = cluster.nodes.values()
        await ping_for(10, hel)
        await ping_for(9, ams, fra, hel)
        assert cluster.sent == []
        assert cluster.states("job") == {State.UP}
        ended_at = cluster.server.heartbeats["job"].last_signal_at
        await until(lambda: cluster.states("job") == {State.DOWN}, 120)
        await until(lambda: cluster.sent == ["DOWN: job"])
        assert ended_at is not None
        decision = cluster.server.decisions["job"]
        assert decision.reason is Reason.HEARTBEAT_MISSED
        assert (decision.since - ended_at).total_seconds() == 120
        ping(ams)
        await until(lambda: cluster.states("job") == {State.UP}, 10)
        await ping_for(3, ams)
        assert cluster.sent == ["DOWN: job", "UP: job"]

    run(main, ams="ams", fra="fra", hel="hel")


def test_failure_that_a_job_reports_to_any_node_is_one_alert() -> None:
    async def main(cluster: Cluster) -> None:
        other = other_at(cluster, "fra")
        ping(other, FAIL)
        await until(lambda: cluster.states("job") == {State.DOWN}, 10)
        assert cluster.server.decisions["job"].reason is Reason.HEARTBEAT_FAILED
        ping(owner_at(cluster, "fra"))
        await until(lambda: cluster.states("job") == {State.UP}, 10)
        await until(lambda: cluster.sent == ["DOWN: job", "UP: job"])

    run(main, fra1="fra", fra2="fra")


def test_other_node_takes_over_without_a_false_alarm() -> None:
    async def main(cluster: Cluster) -> None:
        owner, other = owner_at(cluster, "fra"), other_at(cluster, "fra")
        await ping_for(5, other)
        del cluster.nodes[owner.cluster.node]
        await owner.kill()
        await ping_for(5, other)
        assert cluster.sent == []
        await until(lambda: cluster.sent == ["DOWN: job"], 120)
        again = cluster.add(owner.cluster.node, "fra")
        await again.begin()
        add(again)
        # The node that has just been started checks it, and knows that it is down.
        await until(lambda: cluster.server.is_live(owner.cluster.node))
        await asyncio.sleep(120)
        assert [state for _, state in cluster.server.transitions if _ == "job"] == ["up", "down"]
        assert cluster.sent == ["DOWN: job"]

    run(main, fra1="fra", fra2="fra")


def test_no_false_alarm_while_the_database_is_away() -> None:
    async def main(cluster: Cluster) -> None:
        owner, other = owner_at(cluster, "fra"), other_at(cluster, "fra")
        await ping_for(3, owner)
        cluster.server.is_down = True
        # The node that checks the monitor does not know of these.
        await ping_for(10, other)
        assert owner.node.view().alone_since is not None
        assert owner.state("job") is State.UNKNOWN
        last = owner.dispatcher.entries["job"].state.last
        assert last is not None
        assert last.observation.reason is Reason.PROBER_DISCONNECTED
        cluster.server.is_down = False
        await ping_for(5, other)
        assert cluster.sent == []
        assert cluster.states("job") == {State.UP}
        await until(lambda: cluster.sent == ["DOWN: job"], 120)

    run(main, fra1="fra", fra2="fra")


def test_job_that_stops_while_the_database_is_away_is_missed_after_it() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.server.is_down = True
        await asyncio.sleep(600)
        assert cluster.sent == []
        cluster.server.is_down = False
        await until(lambda: cluster.sent == ["DOWN: job"], 120)

    run(main, fra1="fra", fra2="fra")


def test_only_node_of_the_location_that_was_pinged_notifies_alone() -> None:
    async def main(cluster: Cluster) -> None:
        ams, hel = cluster.nodes["ams"], cluster.nodes["hel"]
        cluster.server.is_down = True
        await ping_for(5, ams)
        assert cluster.sent == []
        await until(lambda: ams.sent == ["DOWN: job"], 180)
        await asyncio.sleep(300)
        assert hel.sent == []
        cluster.server.is_down = False
        ping(hel)
        await until(lambda: cluster.states("job") == {State.UP}, 60)
        await until(lambda: sorted(cluster.sent) == ["DOWN: job", "UP: job"], 60)

    run(main, ams="ams", hel="hel")


def test_heartbeats_during_an_outage_survive_a_crash() -> None:
    async def main(cluster: Cluster) -> None:
        owner, other = owner_at(cluster, "fra"), other_at(cluster, "fra")
        cluster.server.is_down = True
        await ping_for(10, other)
        name, kept = other.cluster.node, getattr(other.history, "kept")  # noqa: B009
        del cluster.nodes[name]
        await other.kill()
        again = cluster.add(name, "fra", kept=kept)
        cluster.server.is_down = False
        await again.begin()
        add(again)
        await asyncio.sleep(30)
        assert cluster.states("job") == {State.UP}
        await ping_for(5, owner)
        assert cluster.sent == []
        assert not any(key.startswith("heartbeat:") for key in getattr(again.history, "kept"))  # noqa: B009

    run(main, fra1="fra", fra2="fra")


def test_deadline_in_a_stop_of_the_whole_cluster_is_extended() -> None:
    async def main(cluster: Cluster) -> None:
        for name in ("ams", "hel"):
            await cluster.nodes.pop(name).end()
        await asyncio.sleep(3600)
        for name in ("ams", "hel"):
            world = cluster.add(name)
            await world.begin()
            add(world)
        await asyncio.sleep(50)
        await ping_for(3, cluster.nodes["hel"])
        assert cluster.sent == []
        await until(lambda: cluster.sent == ["DOWN: job"], 180)

    run(main, ams="ams", hel="hel")


def test_deadline_in_a_restart_of_the_node_that_is_pinged_is_extended() -> None:
    async def main(cluster: Cluster) -> None:
        await ping_for(2, cluster.nodes["ams"])
        await asyncio.sleep(40)
        await cluster.nodes.pop("ams").end()
        await asyncio.sleep(30)
        assert cluster.sent == []
        again = cluster.add("ams")
        await again.begin()
        add(again)
        await asyncio.sleep(40)
        await ping_for(3, again)
        assert cluster.sent == []

    run(main, ams="ams", fra="fra", hel="hel")


def test_heartbeats_are_not_expected_during_a_pause() -> None:
    async def main(cluster: Cluster) -> None:
        ams, hel = cluster.nodes["ams"], cluster.nodes["hel"]
        ams.interventions.pause("job", "kim", None)
        await asyncio.sleep(600)
        assert cluster.states("job") == {State.PAUSED}
        hel.interventions.resume("job", "kim")
        await asyncio.sleep(50)
        assert cluster.states("job") == {State.UP}
        assert cluster.sent == []
        await until(lambda: cluster.sent == ["DOWN: job"], 60)

    run(main, ams="ams", hel="hel")


def test_renamed_monitor_continues_its_heartbeats() -> None:
    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            await asyncio.sleep(20)
            left = [e.monitor.settings for e in world.dispatcher.entries.values() if e.name != "job"]
            settings = monitor_settings(
                "task",
                type_name="heartbeat",
                options=SCHEDULE,
                policy=HeartbeatMonitor.default_policy,
                renamed_from="job",
            )
            renamed = HeartbeatMonitor(settings, world.tools)
            world.dispatcher.apply(
                world.dispatcher.plan([*left, settings], lambda _, renamed=renamed: renamed)  # type: ignore[misc]
            )
            world.configure()
        await until(lambda: cluster.states("task") == {State.UP})
        await until(lambda: cluster.states("task") == {State.DOWN}, 100)
        await until(lambda: cluster.sent == ["DOWN: task"])

    run(main, ams="ams", hel="hel")


def test_monitor_that_is_configured_again_continues_as_after_a_pause() -> None:
    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            world.remove("job")
        await until(lambda: "job" not in cluster.server.heartbeats, 180)
        await asyncio.sleep(600)
        for world in cluster.nodes.values():
            add(world)
        await asyncio.sleep(50)
        assert cluster.states("job") == {State.UP}
        await until(lambda: cluster.sent == ["DOWN: job"], 60)

    run(main, ams="ams", hel="hel")
