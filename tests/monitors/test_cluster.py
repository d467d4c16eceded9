"""The type `cluster`: the nodes of the cluster, and its database."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Reason, Verdict
from monitord.monitors.cluster import VOCABULARY, ClusterMonitor, ClusterOptions
from monitord.monitors.cluster_facts import ClusterFacts, NodeFacts
from tests.configurations import errors_of, options_of
from tests.fakes import FakeClock, monitor_settings
from tests.worlds import real_tools

NODES = (
    NodeFacts("mon1", "fra", configuration="a"),
    NodeFacts("mon2", "fra", configuration="a"),
    NodeFacts("mon3", "hel", configuration="a"),
)
FACTS = ClusterFacts(NODES, watched_s=3600.0, database_latency_s=0.004)

Make = Callable[..., ClusterMonitor]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with real_tools() as tools:

        def make(
            facts: ClusterFacts | None = FACTS,
            *nodes: str,
            grace_s: float = 30.0,
            up_when: str | None = None,
            degraded_when: str | None = None,
        ) -> ClusterMonitor:
            settings = monitor_settings(type_name="cluster", options=ClusterOptions(grace_s, nodes))
            if up_when is not None:
                settings = replace(settings, up_when=(parse_condition(up_when, VOCABULARY),))
            if degraded_when is not None:
                settings = replace(settings, degraded_when=(parse_condition(degraded_when, VOCABULARY),))
            return ClusterMonitor(settings, replace(tools, clock=FakeClock(), cluster=lambda: facts))

        yield make


def with_node(name: str, **changes: object) -> ClusterFacts:
    """The facts with another state of one node."""
    nodes = tuple(
        replace(node, **changes) if node.name == name else node  # type: ignore[arg-type]  # its fields
        for node in NODES
    )
    return replace(FACTS, nodes=nodes)


def lost(name: str, seconds: float = 60.0) -> ClusterFacts:
    return with_node(name, is_live=False, heartbeat_age_s=seconds, unseen_s=seconds)


def test_options_are_read(tmp_path: Path) -> None:
    assert options_of(ClusterMonitor, tmp_path, "") == ClusterOptions(30.0, ())
    written = 'grace = "2m"\nnodes = ["mon1", "mon2", "mon1"]'
    assert options_of(ClusterMonitor, tmp_path, written) == ClusterOptions(120.0, ("mon1", "mon2"))


def test_host_without_a_cluster_is_an_error(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, '[monitors.nodes]\ntype = "cluster"\n')
    assert error.partition("monitors.nodes.")[2] == (
        "type: this host is not a node of a cluster; configure [cluster] with database and location, "
        "or remove the monitor"
    )


async def test_complete_cluster_passes(make: Make) -> None:
    seen = await make().check()
    assert seen.reason is Reason.OK
    assert seen.detail == "3 nodes at 2 locations, a heartbeat takes 0.004 s"
    assert seen.fields == {
        "cluster.nodes": 3,
        "cluster.stale_nodes": 0,
        "cluster.stale_locations": 0,
        "cluster.isolated_nodes": 0,
        "cluster.configurations": 1,
        "cluster.clock_offset": 0.0,
        "cluster.decision_lag": 0.0,
        "cluster.database_latency": 0.004,
    }


async def test_lost_node_is_a_warning_while_its_location_has_another_one(make: Make) -> None:
    monitor = make(lost("mon2"))
    since = datetime.fromtimestamp(monitor.tools.clock.now().timestamp() - 60, UTC)
    seen = await monitor.check()
    assert seen.reason is Reason.CLUSTER_NODE_LOST
    assert seen.detail == f"no heartbeats from mon2 since {since:%Y-%m-%d %H:%M:%S} UTC"
    assert judge(seen, monitor.settings, None).verdict is Verdict.WARN
    assert (seen.fields["cluster.stale_nodes"], seen.fields["cluster.stale_locations"]) == (1, 0)


async def test_lost_location_is_a_failure(make: Make) -> None:
    monitor = make(lost("mon3"))
    seen = await monitor.check()
    assert seen.reason is Reason.CLUSTER_LOCATION_LOST
    assert seen.detail.startswith("no node at hel sends heartbeats: mon3 since ")
    assert judge(seen, monitor.settings, None).verdict is Verdict.FAIL
    assert seen.fields["cluster.stale_locations"] == 1


async def test_node_is_lost_after_grace(make: Make) -> None:
    assert (await make(lost("mon2"), grace_s=59.0).check()).reason is Reason.CLUSTER_NODE_LOST
    assert (await make(lost("mon2"), grace_s=60.0).check()).reason is Reason.OK


async def test_node_that_has_just_begun_to_watch_waits_for_the_others(make: Make) -> None:
    facts = with_node("mon3", is_live=False, heartbeat_age_s=9000.0, unseen_s=5.0)
    assert (await make(replace(facts, watched_s=5.0)).check()).reason is Reason.OK
    assert (await make(replace(FACTS, watched_s=5.0), "mon1", "mon9").check()).reason is Reason.OK


async def test_only_the_configured_nodes_are_watched(make: Make) -> None:
    assert (await make(lost("mon3"), "mon1", "mon2").check()).reason is Reason.OK
    seen = await make(lost("mon3"), "mon3").check()
    assert seen.reason is Reason.CLUSTER_LOCATION_LOST
    assert seen.fields["cluster.nodes"] == 1
    # Another node of its location is alive, although this monitor does not watch it.
    assert (await make(lost("mon2"), "mon2").check()).reason is Reason.CLUSTER_NODE_LOST


async def test_configured_node_without_any_heartbeat_is_lost(make: Make) -> None:
    seen = await make(FACTS, "mon1", "mon9").check()
    assert (seen.reason, seen.detail) == (
        Reason.CLUSTER_NODE_LOST,
        "no node has ever had the name mon9",
    )
    assert seen.fields["cluster.stale_nodes"] == 1


async def test_different_configurations_are_a_warning_after_a_rolling_reload(make: Make) -> None:
    facts = with_node("mon3", configuration="b")
    seen = await make(replace(facts, differing_s=600.0)).check()
    assert (seen.reason, seen.fields["cluster.configurations"]) == (Reason.OK, 2)
    seen = await make(replace(facts, differing_s=601.0)).check()
    assert seen.reason is Reason.CONFIGURATIONS_DIFFER
    assert seen.detail.startswith("the nodes have had 2 different configurations for 10 minutes")


@pytest.mark.parametrize(
    ("facts", "reason", "detail"),
    [
        (
            with_node("mon2", clock_offset_s=-2.5),
            Reason.CLUSTER_CLOCK_OFFSET,
            "clocks differ from that of the database: mon2 -2.5 s",
        ),
        (
            replace(FACTS, database_latency_s=1.5),
            Reason.CLUSTER_SLOW,
            "a heartbeat takes 1.5 s in the database",
        ),
        (with_node("mon3", decision_lag_s=45.0), Reason.CLUSTER_SLOW, "decisions are late: mon3 45 s"),
    ],
    ids=["clock", "database", "decisions"],
)
async def test_large_values_are_a_warning(
    make: Make, facts: ClusterFacts, reason: Reason, detail: str
) -> None:
    monitor = make(facts)
    seen = await monitor.check()
    assert (seen.reason, seen.detail) == (reason, detail)
    assert judge(seen, monitor.settings, None).verdict is Verdict.WARN


async def test_values_of_a_lost_node_do_not_count(make: Make) -> None:
    facts = lost("mon2")
    old = tuple(
        replace(node, clock_offset_s=9.0, decision_lag_s=99.0, is_isolated=True)
        if node.name == "mon2"
        else node
        for node in facts.nodes
    )
    seen = await make(replace(facts, nodes=old)).check()
    assert seen.reason is Reason.CLUSTER_NODE_LOST
    assert (seen.fields["cluster.clock_offset"], seen.fields["cluster.decision_lag"]) == (0.0, 0.0)
    assert seen.fields["cluster.isolated_nodes"] == 0


async def test_most_severe_problem_decides_and_all_are_named(make: Make) -> None:
    facts = replace(lost("mon3"), database_latency_s=2.0)
    seen = await make(facts).check()
    assert seen.reason is Reason.CLUSTER_LOCATION_LOST
    assert seen.detail.endswith("; a heartbeat takes 2.0 s in the database")


async def test_node_that_decides_alone_fails(make: Make) -> None:
    since = datetime(2026, 1, 31, 18, tzinfo=UTC)
    facts = replace(
        FACTS, database_latency_s=None, unavailable_since=since, error="connection refused", is_alone=True
    )
    seen = await make(facts).check()
    assert seen.reason is Reason.CLUSTER_ALONE
    assert seen.detail == (
        "this node decides alone, because the database has not responded since 2026-01-31 18:00:00 UTC: "
        "connection refused"
    )


async def test_short_outage_of_the_database_is_inconclusive(make: Make) -> None:
    seen = await make(replace(FACTS, database_latency_s=None, error="timeout")).check()
    assert (seen.reason, seen.detail) == (
        Reason.CLUSTER_UNKNOWN,
        "the database is unavailable: timeout",
    )
    assert seen.reason.is_inconclusive
    assert (await make(None).check()).reason is Reason.CLUSTER_UNKNOWN


async def test_conditions_replace_the_rules(make: Make) -> None:
    monitor = make(lost("mon3"), up_when="cluster.stale_nodes <= 1")
    assert judge(await monitor.check(), monitor.settings, None).verdict is Verdict.PASS
    monitor = make(lost("mon2"), degraded_when="cluster.isolated_nodes > 0")
    assert judge(await monitor.check(), monitor.settings, None).verdict is Verdict.PASS
    monitor = make(with_node("mon2", is_isolated=True), degraded_when="cluster.isolated_nodes > 0")
    assert judge(await monitor.check(), monitor.settings, None).verdict is Verdict.WARN
