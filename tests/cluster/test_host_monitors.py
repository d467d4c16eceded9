"""The monitors of the hosts of nodes, as the other nodes know them."""

import asyncio
from collections.abc import Awaitable, Callable

from monitord.cluster.model import HostMonitor
from monitord.model import Reason, State
from monitord.status.model.host_monitors import host_monitors
from tests.cluster.worlds import Cluster, NodeWorld, until
from tests.fakes import FakeClock, FakeMonitor, monitor_settings, run_in_fake_time


class HostMonitorFake(FakeMonitor):
    uses_network = False


def add(world: NodeWorld, *names: str, tags: tuple[str, ...] = ()) -> None:
    """Add monitors of the host of a node."""

    def found(name: str) -> Callable[[], Awaitable[Reason]]:
        async def reason() -> Reason:
            return world.bad.get(name, Reason.OK)

        return reason

    world.add(
        *(HostMonitorFake(monitor_settings(name, tags=tags), world.tools, found(name)) for name in names)
    )
    world.configure()


def known(world: NodeWorld, node: str) -> dict[str, HostMonitor]:
    return dict(world.node.view().host_monitors.get(node, {}))


def states(world: NodeWorld, node: str) -> dict[str, State | None]:
    return {name: monitor.state for name, monitor in known(world, node).items()}


def run(main: Callable[[Cluster], Awaitable[None]], *names: str) -> None:
    async def whole() -> None:
        async with Cluster(FakeClock(), *names) as cluster:
            await main(cluster)

    run_in_fake_time(whole)


def test_other_nodes_know_the_monitors_of_a_host() -> None:
    async def main(cluster: Cluster) -> None:
        ams, fra = cluster.nodes["ams"], cluster.nodes["fra"]
        add(ams, "disk", "unit", tags=("base",))
        add(fra, "disk")
        await until(lambda: states(fra, "ams") == {"disk": State.UP, "unit": State.UP})
        await until(lambda: states(ams, "fra") == {"disk": State.UP})
        ams.bad["disk"] = Reason.DISK_FULL
        await until(lambda: states(fra, "ams")["disk"] is State.DOWN)
        disk = known(fra, "ams")["disk"]
        assert (disk.type_name, disk.tags, disk.reason, disk.detail) == (
            "fake",
            ("base",),
            Reason.DISK_FULL,
            "looked",
        )
        assert disk.since == ams.dispatcher.entries["disk"].state.effective_since
        # The monitor of the other host, which has the same name, is another monitor.
        assert fra.state("disk") is State.UP
        assert set(cluster.server.decisions) == {"web"}

    run(main, "ams", "fra")


def test_only_changes_are_reported() -> None:
    async def main(cluster: Cluster) -> None:
        ams = cluster.nodes["ams"]
        add(ams, "disk", "unit")
        await until(lambda: ("ams", "unit") in cluster.server.host_monitors)
        await asyncio.sleep(10)
        before = dict(cluster.server.host_monitors)
        checks = ams.checks
        await until(lambda: ams.checks > checks + 6)
        assert all(cluster.server.host_monitors[key] is before[key] for key in before)
        ams.bad["unit"] = Reason.UNIT_FAILED
        await until(lambda: cluster.server.host_monitors["ams", "unit"].state is State.DOWN)
        assert cluster.server.host_monitors["ams", "disk"] is before["ams", "disk"]

    run(main, "ams")


def test_pauses_and_acknowledgements_are_reported() -> None:
    async def main(cluster: Cluster) -> None:
        ams, fra = cluster.nodes["ams"], cluster.nodes["fra"]
        ams.bad["disk"] = Reason.DISK_FULL
        add(ams, "disk")
        await until(lambda: states(fra, "ams") == {"disk": State.DOWN})
        ams.interventions.acknowledge("disk", "kim", None)
        await until(lambda: known(fra, "ams")["disk"].acknowledged_by == "kim")
        ams.interventions.pause("disk", "kim", "new disk")
        await until(lambda: states(fra, "ams") == {"disk": State.PAUSED})
        assert known(fra, "ams")["disk"].detail == "paused by kim: new disk"

    run(main, "ams", "fra")


def test_removed_monitors_disappear() -> None:
    async def main(cluster: Cluster) -> None:
        ams, fra = cluster.nodes["ams"], cluster.nodes["fra"]
        add(ams, "disk", "unit")
        await until(lambda: states(fra, "ams") == {"disk": State.UP, "unit": State.UP})
        ams.remove("unit")
        await until(lambda: states(fra, "ams") == {"disk": State.UP})
        assert cluster.server.host_monitors["ams", "unit"].state is None

    run(main, "ams", "fra")


def test_monitors_that_were_removed_while_the_node_was_stopped_disappear_when_it_is_ready() -> None:
    async def main(cluster: Cluster) -> None:
        fra = cluster.nodes["fra"]
        add(cluster.nodes["ams"], "disk", "unit")
        await until(lambda: states(fra, "ams") == {"disk": State.UP, "unit": State.UP})
        await cluster.nodes.pop("ams").end()
        again = cluster.add("ams")
        again.bad["disk"] = Reason.DISK_FULL
        await again.begin()
        add(again, "disk")
        await asyncio.sleep(2.5)
        # Until it is ready, what it has reported before remains.
        assert not cluster.server.is_live("ams")
        assert states(fra, "ams") == {"disk": State.UP, "unit": State.UP}
        await until(lambda: states(fra, "ams") == {"disk": State.DOWN})

    run(main, "ams", "fra")


def test_changes_during_an_outage_of_the_database_are_reported_after_it() -> None:
    async def main(cluster: Cluster) -> None:
        ams, fra = cluster.nodes["ams"], cluster.nodes["fra"]
        add(ams, "disk", "unit")
        await until(lambda: states(fra, "ams") == {"disk": State.UP, "unit": State.UP})
        ams.database.is_disconnected = True
        ams.bad["disk"] = Reason.DISK_FULL
        ams.remove("unit")
        await until(lambda: ams.state("disk") is State.DOWN)
        await asyncio.sleep(20)
        assert states(fra, "ams") == {"disk": State.UP, "unit": State.UP}
        ams.database.is_disconnected = False
        await until(lambda: states(fra, "ams") == {"disk": State.DOWN})

    run(main, "ams", "fra")


def test_monitors_of_a_node_that_is_lost_are_unknown() -> None:
    async def main(cluster: Cluster) -> None:
        fra = cluster.nodes["fra"]
        add(cluster.nodes["ams"], "disk")
        await until(lambda: states(fra, "ams") == {"disk": State.UP})
        lost_at = fra.clock.now()
        await cluster.nodes.pop("ams").kill()
        await until(lambda: [each.state for each in host_monitors(fra.node.view())] == [State.UNKNOWN], 30)
        (shown,) = host_monitors(fra.node.view())
        assert (shown.name, shown.reason, shown.reported_state) == ("ams/disk", Reason.NODE_LOST, State.UP)
        assert shown.since is not None
        assert abs((shown.since - lost_at).total_seconds()) <= 3
        await cluster.add("ams").begin()
        add(cluster.nodes["ams"], "disk")
        await until(lambda: [each.state for each in host_monitors(fra.node.view())] == [State.UP], 30)
        fra.database.is_disconnected = True
        await until(lambda: [each.state for each in host_monitors(fra.node.view())] == [State.UNKNOWN], 30)
        assert host_monitors(fra.node.view())[0].reason is Reason.PROBER_DISCONNECTED

    run(main, "ams", "fra")
