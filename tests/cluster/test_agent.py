"""Agents: nodes without the database, which report to hubs, in fake time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from monitord.alerts import AlertRoute
from monitord.alerts.outbox import DeliveryStatus
from monitord.cluster.agent import HubStore
from monitord.cluster.model import LIVE_S, Node, Role
from monitord.cluster.settings import HubSettings
from monitord.cluster.spool import SPOOL_PREFIX
from monitord.config import Secret
from monitord.model import Reason, State
from monitord.status.model.host_monitors import host_monitors
from tests.alerts.fakes import alert_settings
from tests.cluster.votes import vote
from tests.cluster.worlds import ALONE_AFTER_S, Cluster, FakeHubs, NodeWorld, until
from tests.fakes import FakeClock, FakeMonitor, monitor_settings, run_in_fake_time

FRA, HEL = "https://fra", "https://hel"


class Branch(Cluster):
    """The nodes fra and hel, and an agent at the location "branch" that reports to them."""

    hubs: FakeHubs
    agent: NodeWorld

    def join(self, **options: object) -> NodeWorld:
        """Add the agent, or another run of it."""
        self.hubs = FakeHubs(fra=self.nodes["fra"], hel=self.nodes["hel"])
        given = {"monitors": self.nodes["fra"]._names, "locations": self.nodes["fra"]._locations, **options}
        self.agent = self.nodes["branch"] = NodeWorld(self.server, "branch", hubs=self.hubs, **given)  # type: ignore[arg-type]
        return self.agent


def run(main: Callable[[Branch], Awaitable[None]], **options: object) -> None:
    """Run two nodes and an agent, and the test when they have decided."""

    async def whole() -> None:
        cluster = Branch(FakeClock(), "fra", "hel", **options)
        cluster.join()
        async with cluster:
            await main(cluster)

    run_in_fake_time(whole)


def votes_of(cluster: Branch) -> dict[str, State]:
    return {
        monitor: vote.state for (monitor, place), vote in cluster.server.votes.items() if place == "branch"
    }


def test_agent_votes_and_shows_the_decisions() -> None:
    async def main(cluster: Branch) -> None:
        assert votes_of(cluster) == {"web": State.UP}
        (node,) = [node for node in cluster.server.members() if node.name == "branch"]
        assert (node.role, node.location, node.is_live, node.shares_checks) == (
            Role.AGENT,
            "branch",
            True,
            True,
        )
        cluster.fail("branch")
        await until(lambda: votes_of(cluster) == {"web": State.DOWN})
        await asyncio.sleep(30)
        assert cluster.states() == {State.UP}
        cluster.fail("branch", "hel")
        await until(lambda: cluster.states() == {State.DOWN})
        await until(lambda: cluster.sent == ["DOWN: web"])
        cluster.fail()
        await until(lambda: cluster.states() == {State.UP})
        await until(lambda: cluster.sent == ["DOWN: web", "UP: web"])

    run(main)


def test_agent_neither_decides_nor_delivers() -> None:
    async def main(cluster: Branch) -> None:
        cluster.fail("branch")
        await until(lambda: cluster.states() == {State.DOWN})
        await until(lambda: cluster.sent == ["DOWN: web"])
        assert cluster.agent.sent == []
        assert "branch" not in cluster.server.decided_by
        assert all("branch" not in row.claims for row in cluster.server.notifications.values())

    run(main, locations=("branch",))


def test_agent_without_shared_monitors_is_not_a_voter() -> None:
    async def whole() -> None:
        cluster = Branch(FakeClock(), "fra", "hel")
        cluster.join(monitors=())
        async with cluster:
            view = cluster.nodes["fra"].node.view()
            assert {node.name for node in view.membership.nodes} == {"fra", "hel", "branch"}
            assert view.membership.known_locations == view.membership.live_locations == {"fra", "hel"}
            assert cluster.agent.node.view().votes == {}

    run_in_fake_time(whole)


def test_monitors_of_the_host_are_reported() -> None:
    class Bound(FakeMonitor):
        uses_network = False

    async def main(cluster: Branch) -> None:
        async def found() -> Reason:
            return Reason.OK

        cluster.agent.add(Bound(monitor_settings("nginx"), cluster.agent.tools, found))
        cluster.agent.configure()
        await until(lambda: ("branch", "nginx") in cluster.server.host_monitors)
        await until(lambda: cluster.server.host_monitors["branch", "nginx"].state is State.UP)
        await until(lambda: "nginx" in cluster.nodes["fra"].node.view().host_monitors.get("branch", {}))
        assert ("nginx", "branch") not in cluster.server.votes

    run(main)


def test_monitors_of_the_host_alert_there_and_are_unknown_when_the_agent_is_lost() -> None:
    class Bound(FakeMonitor):
        uses_network = False

    async def main(cluster: Branch) -> None:
        agent, fra = cluster.agent, cluster.nodes["fra"]

        async def found() -> Reason:
            return agent.bad.get("disk", Reason.OK)

        def shown() -> tuple[str, State, Reason, State]:
            (each,) = host_monitors(fra.node.view())
            return each.name, each.state, each.reason, each.reported_state

        agent.add(Bound(monitor_settings("disk"), agent.tools, found))
        agent.configure()
        await until(lambda: bool(fra.node.view().host_monitors.get("branch")))
        agent.bad["disk"] = Reason.DISK_FULL
        await until(lambda: shown() == ("branch/disk", State.DOWN, Reason.DISK_FULL, State.DOWN))
        await until(lambda: agent.sent == ["DOWN: disk"])
        # Even while no hub responds, and nothing of it is lost.
        cluster.hubs.unreachable |= {FRA, HEL}
        del agent.bad["disk"]
        await until(lambda: agent.sent == ["DOWN: disk", "UP: disk"])
        await until(lambda: shown()[1:3] == (State.UNKNOWN, Reason.NODE_LOST))
        cluster.hubs.unreachable.clear()
        await until(lambda: shown() == ("branch/disk", State.UP, Reason.OK, State.UP))
        await agent.kill()
        await until(lambda: shown() == ("branch/disk", State.UNKNOWN, Reason.NODE_LOST, State.UP))
        assert cluster.sent == ["DOWN: disk", "UP: disk"]
        cluster.join()
        await cluster.agent.begin()
        # It has another configuration.
        await until(lambda: not host_monitors(fra.node.view()))

    run(main)


def test_agents_share_the_checks_of_their_location() -> None:
    names = tuple(f"web-{number}" for number in range(40))

    async def whole() -> None:
        cluster = Branch(FakeClock(), "fra", "hel", monitors=names)
        cluster.join()
        other = cluster.nodes["branch2"] = NodeWorld(
            cluster.server, "branch2", "branch", monitors=names, hubs=cluster.hubs
        )
        async with cluster:
            checked = [set(world.node._assignment.checked_here()) for world in (cluster.agent, other)]
            assert checked[0] | checked[1] == set(names)
            assert not checked[0] & checked[1]
            assert all(checked)

    run_in_fake_time(whole)


def test_agent_reports_to_the_next_hub_and_loses_no_vote() -> None:
    async def main(cluster: Branch) -> None:
        assert {url for url, _ in cluster.hubs.bodies} == {FRA}
        cluster.hubs.unreachable.add(FRA)
        cluster.fail("branch")
        await until(lambda: votes_of(cluster) == {"web": State.DOWN})
        assert cluster.hubs.bodies[-1][0] == HEL
        view = cluster.agent.node.view().agent
        assert view is not None
        assert [(hub.url, hub.is_current, hub.error) for hub in view.hubs] == [
            (FRA, False, "connection refused; check `hub` in [cluster]"),
            (HEL, True, None),
        ]  # fmt: skip
        # It stays live, and gets the decisions from the other hub.
        await asyncio.sleep(LIVE_S)
        assert cluster.server.is_live("branch")
        cluster.fail("branch", "hel", "fra")
        await until(lambda: cluster.states() == {State.DOWN})

    run(main)


def test_agent_reports_at_once_when_a_hub_responds_again() -> None:
    async def main(cluster: Branch) -> None:
        cluster.hubs.unreachable |= {FRA, HEL}
        await asyncio.sleep(40)
        for _ in range(3):
            cluster.hubs.unreachable.clear()
            count = len(cluster.hubs.bodies)
            await asyncio.sleep(2.5)
            assert len(cluster.hubs.bodies) > count
            cluster.hubs.unreachable |= {FRA, HEL}
            await asyncio.sleep(17)

    run(main)


def test_report_whose_answer_was_lost_is_repeated_without_an_effect() -> None:
    async def main(cluster: Branch) -> None:
        cluster.hubs.loses_answer = True
        await until(lambda: not cluster.hubs.loses_answer)
        await asyncio.sleep(0.1)
        (_, lost), (url, repeated) = cluster.hubs.bodies[-2:]
        assert url == HEL
        assert repeated["number"] == lost["number"]
        hub = cluster.nodes["hel"].node.hub
        assert hub is not None
        assert (hub.counters.repeated, hub.counters.rejected) == (1, 0)

    run(main)


def test_vote_is_spooled_until_it_is_acknowledged() -> None:
    async def main(cluster: Branch) -> None:
        kept = cluster.agent.history.kept  # type: ignore[attr-defined]  # a MemoryHistory
        assert not any(key.startswith(SPOOL_PREFIX) for key in kept)
        cluster.hubs.unreachable |= {FRA, HEL}
        cluster.fail("branch")
        await until(lambda: SPOOL_PREFIX + "web" in kept)
        view = cluster.agent.node.view().agent
        assert view is not None
        assert view.spooled_votes == 1
        cluster.hubs.unreachable.clear()
        await until(lambda: votes_of(cluster) == {"web": State.DOWN})
        assert not any(key.startswith(SPOOL_PREFIX) for key in kept)

    run(main)


def test_restart_of_the_agent_loses_no_vote() -> None:
    async def main(cluster: Branch) -> None:
        cluster.hubs.unreachable |= {FRA, HEL}
        cluster.fail("branch")
        kept = cluster.agent.history.kept  # type: ignore[attr-defined]  # a MemoryHistory
        await until(lambda: SPOOL_PREFIX + "web" in kept)
        await cluster.agent.kill()
        await asyncio.sleep(2 * LIVE_S)
        assert votes_of(cluster) == {"web": State.UP}
        # No check after the start is as the vote: it was made before.
        agent = cluster.join(kept=kept)
        agent.bad["web"] = Reason.PROBER_EXHAUSTED
        await agent.begin()
        await until(lambda: votes_of(cluster) == {"web": State.DOWN})

    run(main)


def test_spooled_votes_of_another_location_are_discarded() -> None:
    async def main(cluster: Branch) -> None:
        cluster.hubs.unreachable |= {FRA, HEL}
        cluster.fail("branch")
        kept = cluster.agent.history.kept  # type: ignore[attr-defined]  # a MemoryHistory
        await until(lambda: SPOOL_PREFIX + "web" in kept)
        await cluster.agent.kill()
        agent = NodeWorld(cluster.server, "branch", "elsewhere", hubs=cluster.hubs, kept=kept)
        assert agent.cluster_parts is not None
        assert agent.cluster_parts.votes.take() == []
        await agent.close()
        cluster.join(kept={})
        await cluster.agent.begin()

    run(main)


def test_agent_without_a_hub_notifies_alone_and_merges_on_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main(cluster: Branch) -> None:
        cluster.hubs.unreachable |= {FRA, HEL}
        cluster.fail("branch")
        await until(lambda: cluster.agent.sent == ["DOWN: web"], ALONE_AFTER_S + 60)
        assert cluster.agent.node.view().alone_since is not None
        assert cluster.states() == {State.UP, State.DOWN}
        cluster.hubs.unreachable.clear()
        await until(lambda: cluster.agent.node.view().alone_since is None)
        cluster.fail()
        await until(lambda: cluster.states() == {State.UP})
        await asyncio.sleep(60)
        assert sorted(cluster.sent) == ["DOWN: web", "UP: web"]
        assert "every hub of the cluster is unavailable; checks continue" in caplog.text
        assert "alone: no hub of the cluster has responded for 1m" in caplog.text
        assert "a hub of the cluster responds again after" in caplog.text

    run(main)


@pytest.mark.parametrize("locations", [(), ("branch",)], ids=["up for the others", "checked here only"])
def test_notifier_that_only_the_agent_has_gets_its_recovery_from_the_agent(
    locations: tuple[str, ...],
) -> None:
    """No node could deliver it."""

    async def main(cluster: Branch) -> None:
        agent = cluster.agent
        agent.alerts.apply(alert_settings(AlertRoute(("sms", "ops")), names=("sms", "ops")))
        agent.configure()
        cluster.hubs.unreachable = {FRA, HEL}
        cluster.fail("branch")
        await until(lambda: agent.sent == ["DOWN: web", "DOWN: web"])
        cluster.hubs.unreachable = set()
        await until(lambda: agent.node.view().alone_since is None)
        cluster.fail()
        await until(lambda: agent.sent[2:] == ["UP: web"])
        await until(lambda: cluster.sent.count("UP: web") == 2)
        await asyncio.sleep(60)
        notifications = cluster.server.notifications.values()
        assert {(row.notifier, row.status) for row in notifications} == {("ops", DeliveryStatus.SENT.value)}
        # By the agent to "sms", and by a node to "ops".
        assert (agent.sent.count("UP: web"), cluster.sent.count("UP: web")) == (1, 2)

    run(main, locations=locations)


def test_agent_that_is_alone_again_continues_the_alert_of_its_own_notifier() -> None:
    async def main(cluster: Branch) -> None:
        agent = cluster.agent
        agent.alerts.apply(alert_settings(AlertRoute(("sms",)), names=("sms",)))
        agent.configure()
        cluster.fail("branch")
        for _ in range(2):
            cluster.hubs.unreachable = {FRA, HEL}
            await until(lambda: agent.node.view().alone_since is not None)
            await until(lambda: agent.sent == ["DOWN: web"])
            await asyncio.sleep(60)
            cluster.hubs.unreachable = set()
            await until(lambda: agent.node.view().alone_since is None)
        cluster.fail()
        await until(lambda: agent.sent == ["DOWN: web", "UP: web"])
        await asyncio.sleep(60)
        assert agent.sent == ["DOWN: web", "UP: web"]

    run(main, locations=("branch",))


def test_pauses_of_a_node_apply_to_the_agent_and_those_of_the_agent_do_not_spread() -> None:
    async def main(cluster: Branch) -> None:
        cluster.nodes["hel"].interventions.pause("web", "kim", "work")
        await until(lambda: cluster.states() == {State.PAUSED})
        cluster.nodes["fra"].interventions.resume("web", "kim")
        await until(lambda: cluster.states() == {State.UP})
        cluster.agent.interventions.pause("web", "kim", None)
        await asyncio.sleep(30)
        assert cluster.nodes["fra"].state("web") is State.UP
        cluster.agent.interventions.resume("web", "kim")
        await until(lambda: votes_of(cluster) == {"web": State.UP})

    run(main)


def test_long_queue_is_divided_and_completed_by_the_last_report() -> None:
    async def main(cluster: Branch) -> None:
        store = HubStore(HubSettings((FRA,), Secret("a-token")), cluster.hubs, cluster.server.clock)
        double = Node("office", "office", True, "1.0", "hash")
        votes = [vote("office", State.UP, monitor=f"web-{number}") for number in range(1100)]
        cluster.hubs.bodies.clear()
        membership = await store.beat(double, votes)
        bodies = [body for _, body in cluster.hubs.bodies if body["node"] == "office"]
        assert [(len(body["votes"]), body["is_complete"]) for body in bodies] == [
            (500, False),
            (500, False),
            (100, True),
        ]
        assert "office" in membership.live_nodes()
        assert sum(location == "office" for _, location in cluster.server.votes) == 1100
        await store.close()

    run(main)


def test_name_of_a_live_node_is_rejected(caplog: pytest.LogCaptureFixture) -> None:
    async def main(cluster: Branch) -> None:
        double = NodeWorld(cluster.server, "branch", "other", hubs=hubs_of(cluster))
        await double.begin()
        await asyncio.sleep(60)
        assert (
            "this node does not take part in the cluster: HTTP 409: another daemon takes part" in caplog.text
        )
        assert double.node.view().alone_since is None
        assert {node.location for node in cluster.server.members()} == {"fra", "hel", "branch"}
        await double.end()

    run(main)


def hubs_of(cluster: Branch) -> FakeHubs:
    return FakeHubs(fra=cluster.nodes["fra"], hel=cluster.nodes["hel"])


def test_database_of_the_hub_away_fails_over_to_a_hub_that_has_it() -> None:
    async def main(cluster: Branch) -> None:
        cluster.nodes["fra"].database.is_disconnected = True
        await asyncio.sleep(4)
        cluster.fail("branch")
        await until(lambda: votes_of(cluster) == {"web": State.DOWN})
        assert cluster.hubs.bodies[-1][0] == HEL
        cluster.nodes["fra"].database.is_disconnected = False
        cluster.fail()
        await until(lambda: votes_of(cluster) == {"web": State.UP})

    run(main)
