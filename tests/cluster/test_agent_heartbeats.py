"""Heartbeats of jobs that agents receive and forward to their hubs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from monitord.cluster.heartbeats import SPOOL_PREFIX
from monitord.cluster.model import LIVE_S, Membership
from monitord.errors import ControlError
from monitord.model import State
from monitord.monitors.heartbeat.monitor import Heartbeat
from tests.cluster.test_agent import FRA, HEL, Branch
from tests.cluster.test_heartbeats import add, ping, ping_for
from tests.cluster.worlds import NodeWorld, until
from tests.fakes import FakeClock, run_in_fake_time

SPOOLED = SPOOL_PREFIX + "job"


def run(main: Callable[[Branch], Awaitable[None]]) -> None:
    """Run two nodes, and an agent with no shared monitor but the heartbeat monitor "job", which it has received."""

    async def whole() -> None:
        cluster = Branch(FakeClock(), "fra", "hel")
        cluster.join(monitors=())
        async with cluster:
            for world in cluster.nodes.values():
                add(world)
            ping(cluster.agent)
            await asyncio.sleep(20)
            assert cluster.states("job") == {State.UP}
            await main(cluster)

    run_in_fake_time(whole)


def test_heartbeat_that_an_agent_receives_counts_for_all() -> None:
    async def main(cluster: Branch) -> None:
        await ping_for(10, cluster.agent)
        await ping_for(4, cluster.agent, cluster.nodes["hel"])
        assert cluster.sent == []
        last = cluster.server.heartbeats["job"].last_signal_at
        await until(lambda: cluster.states("job") == {State.DOWN}, 120)
        await until(lambda: cluster.sent == ["DOWN: job"])
        assert last is not None
        assert (cluster.server.decisions["job"].since - last).total_seconds() == 120
        ping(cluster.agent)
        await until(lambda: cluster.states("job") == {State.UP}, 15)
        await ping_for(3, cluster.agent)
        assert cluster.sent == ["DOWN: job", "UP: job"]

    run(main)


def test_agent_that_only_receives_heartbeats_is_not_a_voter() -> None:
    async def main(cluster: Branch) -> None:
        view = cluster.nodes["fra"].node.view()
        assert view.membership.known_locations == {"fra", "hel"}
        assert ("job", "branch") not in cluster.server.votes
        assert cluster.agent.node._assignment.checked_here() == []

    run(main)


@pytest.mark.parametrize("outage_s", [7, 25, 90])
def test_outage_of_the_hubs_at_the_deadline_is_not_a_missed_heartbeat(outage_s: int) -> None:
    async def main(cluster: Branch) -> None:
        # The next heartbeat must arrive within two minutes.
        ping(cluster.agent)
        await asyncio.sleep(116)
        cluster.hubs.unreachable |= {FRA, HEL}
        ping(cluster.agent)
        await asyncio.sleep(outage_s)
        cluster.hubs.unreachable.clear()
        await asyncio.sleep(30)
        ping(cluster.agent)
        await asyncio.sleep(30)
        assert cluster.sent == []
        assert [state for name, state in cluster.server.transitions if name == "job"] == ["up"]
        await until(lambda: cluster.sent == ["DOWN: job"], 240)

    run(main)


def test_heartbeat_is_spooled_until_it_is_acknowledged_and_survives_a_crash() -> None:
    async def main(cluster: Branch) -> None:
        kept = cluster.agent.history.kept  # type: ignore[attr-defined]  # a MemoryHistory
        assert SPOOLED not in kept
        cluster.hubs.unreachable |= {FRA, HEL}
        ping(cluster.agent)
        sent_at = cluster.agent.clock.now()
        view = cluster.agent.node.view().agent
        assert view is not None
        assert view.spooled_heartbeats == 1
        await until(lambda: SPOOLED in kept)
        await cluster.agent.kill()
        await asyncio.sleep(2 * LIVE_S)
        agent = cluster.join(monitors=(), kept=kept)
        await agent.begin()
        add(agent)
        await until(lambda: cluster.server.heartbeats["job"].last_signal_at == sent_at)
        await until(lambda: SPOOLED not in agent.history.kept)  # type: ignore[attr-defined]
        assert cluster.sent == []

    run(main)


def test_report_whose_answer_was_lost_adds_no_signal() -> None:
    async def main(cluster: Branch) -> None:
        await asyncio.sleep(1)  # between two reports
        ping(cluster.agent)
        cluster.hubs.loses_answer = True
        await until(lambda: not cluster.hubs.loses_answer)
        await asyncio.sleep(20)
        (lost, repeated) = [body for _, body in cluster.hubs.bodies if body["heartbeats"]][-2:]
        assert lost == repeated
        assert len(cluster.server.heartbeats["job"].ends) == 2

    run(main)


def test_agent_corrects_the_time_if_its_clock_is_wrong() -> None:
    async def main(cluster: Branch) -> None:
        assert cluster.agent.cluster_parts is not None
        assignment, heartbeats = (
            cluster.agent.cluster_parts.assignment,
            cluster.agent.cluster_parts.heartbeats,
        )
        now = cluster.agent.clock.now()
        for offset_s, expected in ((0.5, now), (30.0, now - timedelta(seconds=30))):
            nodes = [replace(node, time_offset_s=offset_s) for node in assignment.membership.nodes]
            assignment.membership = Membership(tuple(nodes))
            heartbeats.forget("job")
            heartbeats.receive("job", Heartbeat(), now)
            assert heartbeats.facts("job").last_signal_at == expected

    run(main)


def test_agent_rejects_heartbeats_of_monitors_of_other_locations() -> None:
    async def main(cluster: Branch) -> None:
        add(cluster.agent, "hq", locations=("fra", "hel"))
        with pytest.raises(ControlError) as caught:
            ping(cluster.agent, name="hq")
        assert str(caught.value) == (
            "hq accepts no heartbeats from agents at the location branch; send them to a node, or add "
            '"branch" to `locations` of the monitor'
        )
        add(cluster.agent, "own", locations=("fra", "branch"))
        ping(cluster.agent, name="own")
        await until(lambda: "own" in cluster.server.heartbeats)

    run(main)


def test_nodes_check_all_heartbeat_monitors_of_a_location_with_agents() -> None:
    names = [f"job-{number}" for number in range(20)]

    async def whole() -> None:
        cluster = Branch(FakeClock(), "fra", "hel")
        cluster.join()
        beside = cluster.nodes["fra-agent"] = NodeWorld(cluster.server, "fra-agent", "fra", hubs=cluster.hubs)
        async with cluster:
            for world in cluster.nodes.values():
                for name in names:
                    add(world, name)
            await asyncio.sleep(60)
            assert {name for name, place in cluster.server.votes if place == "fra"} == {"web", *names}
            assert not set(names).intersection(beside.node._assignment.checked_here())
            # The agent withdraws none of the votes of the node.
            await asyncio.sleep(200)
            assert {vote.state for (_, place), vote in cluster.server.votes.items() if place == "fra"} <= {
                State.UP,
                State.DOWN,
            }

    run_in_fake_time(whole)
