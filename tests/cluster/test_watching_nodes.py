"""The cluster monitors itself: nodes with a monitor of the type `cluster`, in fake time, on a database in memory."""

import asyncio
from collections.abc import Awaitable, Callable

from monitord.cluster.model import ConfigurationDifferences
from monitord.model import Reason, State
from monitord.monitors.cluster import ClusterMonitor, ClusterOptions
from tests.alerts.fakes import FakeNotifier
from tests.cluster.worlds import Cluster, NodeWorld, until
from tests.fakes import FakeClock, monitor_settings, run_in_fake_time


def watch(world: NodeWorld) -> None:
    settings = monitor_settings(
        "nodes",
        type_name="cluster",
        options=ClusterOptions(),
        policy=ClusterMonitor.default_policy,
    )
    world.add(ClusterMonitor(settings, world.tools))
    world.configure()


def run(main: Callable[[Cluster], Awaitable[None]], **locations: str) -> None:
    """Run nodes at these locations, and the test when they have decided that the cluster is complete."""

    async def whole() -> None:
        cluster = Cluster(FakeClock())
        for name, location in locations.items():
            cluster.add(name, location)
        async with cluster:
            for world in cluster.nodes.values():
                watch(world)
            await until(lambda: cluster.states("nodes") == {State.UP})
            await main(cluster)

    run_in_fake_time(whole)


def details() -> list[str]:
    return [
        notification.detail
        for notifier in FakeNotifier.made
        for message in notifier.got
        for notification in message.notifications
    ]


def test_lost_location_causes_one_notification_of_the_other_nodes() -> None:
    async def main(cluster: Cluster) -> None:
        dead = cluster.nodes.pop("mon4")
        await dead.kill()
        await until(lambda: cluster.sent == ["DOWN: nodes"])
        (detail,) = details()
        assert detail.startswith("no node at nyc sends heartbeats: mon4 since ")
        await asyncio.sleep(300)
        assert cluster.states("nodes") == {State.DOWN}
        again = cluster.add("mon4", "nyc")
        await again.begin()
        watch(again)
        await until(lambda: cluster.sent == ["DOWN: nodes", "UP: nodes"])
        await asyncio.sleep(300)
        assert len(cluster.sent) == 2

    run(main, mon1="fra", mon2="fra", mon3="hel", mon4="nyc")


def test_death_of_one_of_two_nodes_of_a_location_is_a_degradation() -> None:
    async def main(cluster: Cluster) -> None:
        await cluster.nodes.pop("mon2").kill()
        await until(lambda: cluster.sent == ["DEGRADED: nodes"])
        assert details()[0].startswith("no heartbeats from mon2 since ")
        await asyncio.sleep(300)
        assert cluster.sent == ["DEGRADED: nodes"]

    run(main, mon1="fra", mon2="fra", mon3="hel", mon4="nyc")


def test_short_restart_is_not_notified() -> None:
    async def main(cluster: Cluster) -> None:
        await cluster.nodes.pop("mon3").end()
        await asyncio.sleep(20)
        again = cluster.add("mon3", "hel")
        await again.begin()
        watch(again)
        await asyncio.sleep(300)
        assert cluster.states("nodes") == {State.UP}
        assert cluster.sent == []

    run(main, mon1="fra", mon3="hel", mon4="nyc")


def test_nodes_that_are_started_one_after_the_other_cause_no_notification() -> None:
    async def main(cluster: Cluster) -> None:
        for name in ("mon1", "mon3", "mon4"):
            await cluster.nodes.pop(name).end()
        await asyncio.sleep(3600)
        for name, location in (("mon1", "fra"), ("mon3", "hel"), ("mon4", "nyc")):
            world = cluster.add(name, location)
            await world.begin()
            watch(world)
            await asyncio.sleep(12)
        await asyncio.sleep(300)
        assert cluster.states("nodes") == {State.UP}
        assert cluster.sent == []

    run(main, mon1="fra", mon3="hel", mon4="nyc")


def test_loss_of_the_database_is_notified_by_each_location_and_recovers_once() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.server.is_down = True
        await asyncio.sleep(45)
        assert cluster.sent == []
        await until(lambda: sorted(cluster.sent) == ["DOWN: nodes"] * 2)
        assert all(
            "this node decides alone, because the database has not responded" in text for text in details()
        )
        cluster.server.is_down = False
        await until(lambda: cluster.states("nodes") == {State.UP})
        await asyncio.sleep(300)
        assert sorted(cluster.sent) == ["DOWN: nodes"] * 2 + ["UP: nodes"]

    run(main, mon1="fra", mon3="hel")


def test_short_outage_of_the_database_is_not_notified() -> None:
    async def main(cluster: Cluster) -> None:
        for _ in range(3):
            cluster.server.is_down = True
            await asyncio.sleep(45)
            cluster.server.is_down = False
            await asyncio.sleep(120)
        assert cluster.states("nodes") == {State.UP}
        assert cluster.sent == []

    run(main, mon1="fra", mon3="hel", mon4="nyc")


def test_difference_of_configurations_is_shown_by_section_and_later_causes_a_warning() -> None:
    async def main(cluster: Cluster) -> None:
        fra, hel = cluster.nodes["mon1"], cluster.nodes["mon3"]
        assert fra.node.view().differences == {}
        hel.remove("web")
        hel.monitor("mail")
        hel.configure()
        await until(lambda: "mon3" in fra.node.view().differences)
        assert fra.node.view().differences["mon3"] == ConfigurationDifferences(
            ("monitors.web",), ("monitors.mail",), (), 2
        )
        await until(lambda: hel.node.view().differences.keys() == {"mon1", "mon4"})
        assert hel.node.view().differences["mon1"] == ConfigurationDifferences(
            ("monitors.mail",), ("monitors.web",), (), 2
        )
        await asyncio.sleep(540)
        assert cluster.sent == []
        await until(lambda: cluster.sent == ["DEGRADED: nodes"])
        assert details()[0].startswith("the nodes have had 2 different configurations for 10 minutes")
        for world in (fra, cluster.nodes["mon4"]):
            world.remove("web")
            world.monitor("mail")
            world.configure()
        await until(lambda: cluster.states("nodes") == {State.UP})
        await until(lambda: all(world.node.view().differences == {} for world in cluster.nodes.values()))

    run(main, mon1="fra", mon3="hel", mon4="nyc")


def decides(world: NodeWorld, monitor: str) -> bool:
    assert world.cluster_parts is not None
    return world.cluster_parts.assignment.is_decided_here(monitor)


def test_removed_monitor_is_closed_although_the_configurations_differ_otherwise() -> None:
    async def main(cluster: Cluster) -> None:
        # An option for this location only, such as another proxy.
        hel = cluster.nodes["mon3"]
        hel.monitor("own")
        hel.configure()
        cluster.fail("mon1", "mon3", "mon4")
        await until(lambda: cluster.sent == ["DOWN: web"])
        # The last node with the monitor does not decide its state.
        last = next(name for name, world in cluster.nodes.items() if not decides(world, "web"))
        for name in cluster.nodes.keys() - {last}:
            cluster.nodes[name].remove("web")
        await asyncio.sleep(300)
        assert cluster.sent == ["DOWN: web"]
        cluster.nodes[last].remove("web")
        await until(lambda: cluster.sent == ["DOWN: web", "CLOSED: web, no longer monitored"])
        await asyncio.sleep(300)
        assert len([title for title in cluster.sent if "web" in title]) == 2

    run(main, mon1="fra", mon3="hel", mon4="nyc")


def test_monitor_that_a_source_still_finds_at_another_location_is_not_closed() -> None:
    async def main(cluster: Cluster) -> None:
        for world in cluster.nodes.values():
            world.bad["found"] = Reason.REFUSED
            world.monitor("found")  # not in the configuration
        await until(lambda: cluster.sent == ["DOWN: found"])
        last = next(name for name, world in cluster.nodes.items() if not decides(world, "found"))
        for name in cluster.nodes.keys() - {last}:
            cluster.nodes[name].remove("found")
        await asyncio.sleep(300)
        assert cluster.sent == ["DOWN: found"]
        cluster.nodes[last].remove("found")
        await until(lambda: cluster.sent == ["DOWN: found", "CLOSED: found, no longer monitored"])

    run(main, mon1="fra", mon3="hel", mon4="nyc")


def test_configuration_is_written_again_after_the_database_was_restored() -> None:
    async def main(cluster: Cluster) -> None:
        assert cluster.server.configurations.keys() == {"mon1", "mon3"}
        cluster.server.configurations.clear()
        await until(lambda: cluster.server.configurations.keys() == {"mon1", "mon3"}, 60)

    run(main, mon1="fra", mon3="hel")


def test_outage_of_the_database_does_not_count_as_lag_of_the_decisions() -> None:
    async def main(cluster: Cluster) -> None:
        cluster.server.is_down = True
        await asyncio.sleep(45)
        cluster.server.is_down = False
        lags_s = []
        for _ in range(600):
            lags_s += [node.decision_lag_s for node in cluster.server.members()]
            await asyncio.sleep(0.05)
        assert max(lags_s) < 15.0

    run(main, mon1="fra", mon3="hel")


def test_node_reports_how_late_it_decides() -> None:
    async def main(cluster: Cluster) -> None:
        members = {node.name: node for node in cluster.server.members()}
        assert all(0.0 <= node.decision_lag_s < 15.0 for node in members.values())

    run(main, mon1="fra", mon3="hel")
