"""The reports of agents, which a hub writes, with a real server."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from monitord.cluster.database import ClusterDatabase
from monitord.cluster.model import (
    LIVE_S,
    AgentReport,
    HostMonitor,
    Membership,
    Node,
    ReportOutcome,
    Role,
    SharedHeartbeat,
    StoredReport,
    Vote,
)
from monitord.model import Reason, State
from monitord.monitors.heartbeat.shared import HeartbeatFacts
from tests.cluster.database.conftest import Connect, Sql
from tests.cluster.votes import BEGAN, vote

# Each test creates a database.
pytestmark = pytest.mark.slow

UP, DOWN = State.UP, State.DOWN
STORED, REPEATED, CONFLICT = ReportOutcome.STORED, ReportOutcome.REPEATED, ReportOutcome.CONFLICT


def agent(name: str = "branch1", *, is_ready: bool = True, shares_checks: bool = True) -> Node:
    """The location of "branch1" is "branch"."""
    return Node(
        name,
        name[:-1],
        is_ready,
        "1.0",
        "hash",
        0.5,
        7,
        role=Role.AGENT,
        shares_checks=shares_checks,
        is_isolated=True,
    )


def report(
    number: int = 1,
    *votes: Vote,
    node: Node | None = None,
    run: str = "run",
    is_complete: bool = True,
) -> AgentReport:
    return AgentReport(node or agent(), run, number, votes, is_complete)


async def record(
    database: ClusterDatabase, *reports: AgentReport
) -> tuple[Membership, Sequence[StoredReport]]:
    return await database.record(reports)


def votes_in(sql: Sql) -> list[tuple[object, ...]]:
    return sql("SELECT monitor, location, state, node FROM vote ORDER BY monitor, location")


async def test_report_is_a_heartbeat_with_votes(connect: Connect, sql: Sql) -> None:
    database = await connect()
    membership, (first,) = await record(database, report(1, vote("branch", DOWN)))
    assert first == StoredReport(STORED, 1, was_stale=True)
    (known,) = membership.nodes
    assert known == replace(agent(), time_offset_s=known.time_offset_s)
    assert known.is_live
    assert votes_in(sql) == [("shop", "branch", "down", "branch1")]
    assert sql("SELECT monitor, version FROM decision") == [("shop", 0)]
    _, (second,) = await record(database, report(2))
    assert second == StoredReport(STORED, 2, was_stale=False)


async def test_name_of_a_node_of_another_location_needs_a_token_for_that_location(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    await database.beat(Node("fra1", "fra", True, "1.0", "hash"), [])
    sql("UPDATE node SET seen_at = 'epoch' RETURNING 1")  # its host restarts
    taken = replace(agent("fra1"), location="branch")
    limited = replace(report(1, vote("branch", DOWN), node=taken), permitted_locations=("branch",))
    assert (await record(database, limited))[1] == [StoredReport(ReportOutcome.FORBIDDEN)]
    assert sql("SELECT location, role FROM node") == [("fra", "node")]
    assert votes_in(sql) == []
    both = replace(limited, permitted_locations=("branch", "fra"))
    assert (await record(database, both))[1] == [StoredReport(STORED, 1, was_stale=True)]


async def test_repeated_report_changes_nothing(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await record(database, report(1, vote("branch", UP)))
    await record(database, report(2, vote("branch", DOWN)))
    before = sql("SELECT * FROM node"), sql("SELECT * FROM vote")
    for number in (1, 2):
        _, (repeated,) = await record(database, report(number, vote("branch", UP)))
        assert repeated == StoredReport(REPEATED, 2)
        assert (sql("SELECT * FROM node"), sql("SELECT * FROM vote")) == before


async def test_number_is_known_to_every_hub(connect: Connect) -> None:
    first, second = await connect(), await connect()
    await record(first, report(7))
    _, (repeated,) = await record(second, report(7))
    assert repeated == StoredReport(REPEATED, 7)


async def test_numbers_of_a_new_run_begin_again(connect: Connect) -> None:
    database = await connect()
    await record(database, report(7, run="before"))
    await record(database, report(8, node=agent(is_ready=False), run="before"))
    _, (stored,) = await record(database, report(1, run="after"))
    assert (stored.outcome, stored.acknowledged) == (STORED, 1)


async def test_name_of_a_live_daemon_is_kept(connect: Connect, sql: Sql) -> None:
    database = await connect()
    await database.beat(replace(agent(), role=Role.NODE), [])
    _, (conflict,) = await record(database, report(1, vote("branch", DOWN)))
    assert conflict == StoredReport(CONFLICT)
    assert votes_in(sql) == []
    assert sql("SELECT role, number FROM node") == [("node", 0)]
    sql("UPDATE node SET seen_at = seen_at - %s * interval '1 second'", LIVE_S + 1)
    _, (stored,) = await record(database, report(1))
    assert stored.outcome is STORED
    _, (conflict,) = await record(database, report(9, run="another"))
    assert conflict == StoredReport(CONFLICT)
    assert sql("SELECT role, number, run FROM node") == [("agent", 1, "run")]


async def test_part_of_a_report_is_not_a_heartbeat(connect: Connect, sql: Sql) -> None:
    database = await connect()
    membership, _ = await record(database, report(1, vote("branch", DOWN), is_complete=False))
    assert membership.live_nodes() == ()
    assert votes_in(sql) == [("shop", "branch", "down", "branch1")]
    membership, (last,) = await record(database, report(2))
    assert last.was_stale
    assert membership.live_nodes() == ("branch1",)
    # While the rest of a later report is missing, the heartbeat before it grows old.
    sql("UPDATE node SET seen_at = seen_at - interval '5 seconds'")
    membership, _ = await record(database, report(3, is_complete=False))
    assert membership.live_nodes() == ("branch1",)
    assert membership.nodes[0].seen_ago_s >= 5


async def test_agent_that_is_not_ready_keeps_the_votes_of_live_nodes(connect: Connect, sql: Sql) -> None:
    database = await connect()
    other = agent("branch2")
    await record(database, report(1, node=other, run="other"))
    await record(database, report(2, vote("branch", UP, node="branch2"), node=other, run="other"))
    await record(database, report(1, vote("branch", DOWN), node=agent(is_ready=False)))
    assert votes_in(sql) == [("shop", "branch", "up", "branch2")]
    await record(database, report(2, vote("branch", DOWN)))
    assert votes_in(sql) == [("shop", "branch", "down", "branch1")]


async def test_reports_of_a_hundred_agents_are_written_at_once(connect: Connect, sql: Sql) -> None:
    database = await connect()
    reports = [
        report(1, vote(f"place{number:02}", DOWN), node=agent(f"place{number:02}1"), run=f"run {number}")
        for number in range(100)
    ]
    membership, outcomes = await record(database, *reports)
    assert {outcome.outcome for outcome in outcomes} == {STORED}
    assert len(membership.live_locations) == 100
    assert sql("SELECT count(*), count(DISTINCT xmin::text) FROM vote") == [(100, 1)]
    # Of these, one repeats its report and one has another daemon's name.
    again = [replace(each, number=2) for each in reports]
    again[3] = reports[3]
    again[4] = replace(again[4], run="another")
    _, outcomes = await record(database, *again)
    assert [n for n, each in enumerate(outcomes) if each.outcome is not STORED] == [3, 4]
    assert (outcomes[3].outcome, outcomes[4].outcome) == (REPEATED, CONFLICT)


async def test_monitors_of_the_host_are_those_of_the_last_report(connect: Connect, sql: Sql) -> None:
    database = await connect()

    def monitors() -> list[tuple[object, ...]]:
        return sql("SELECT node, monitor, state FROM host_monitor ORDER BY monitor")

    disk, nginx = (
        HostMonitor("branch1", name, "unit", ("web",), DOWN, BEGAN, Reason.REFUSED, "")
        for name in ("disk", "nginx")
    )
    await record(database, replace(report(1), host_monitors=(disk, nginx), host_names=("disk", "nginx")))
    assert monitors() == [("branch1", "disk", "down"), ("branch1", "nginx", "down")]
    await record(database, replace(report(2), host_monitors=(replace(nginx, state=UP),)))
    assert monitors() == [("branch1", "disk", "down"), ("branch1", "nginx", "up")]
    await record(database, replace(report(2), host_names=()))  # repeated
    await record(database, replace(report(3), host_names=("nginx",)))
    assert monitors() == [("branch1", "disk", None), ("branch1", "nginx", "up")]


async def test_agent_without_shared_monitors_is_not_a_voter(connect: Connect) -> None:
    database = await connect()
    await database.beat(Node("fra1", "fra", True, "1.0", "hash"), [vote("fra", DOWN)])
    await record(database, report(1, node=agent("office1", shares_checks=False), run="office"))
    await record(database, report(1))
    tally = await database.tally("fra1")
    assert tally.live_locations == tally.known_locations == {"fra", "branch"}


async def test_clock_of_an_agent_is_compared_with_that_of_the_database(connect: Connect) -> None:
    database = await connect()
    (node,) = (await database.beat(Node("fra1", "fra", True, "1.0", "hash"), [])).nodes
    membership, _ = await record(database, report(node=replace(agent(), time_offset_s=2.0)))
    offsets = {each.name: each.time_offset_s for each in membership.nodes}
    assert offsets["branch1"] - node.time_offset_s == pytest.approx(2.0, abs=600)


async def test_votes_of_two_agents_of_a_location_on_a_monitor_can_arrive_together(
    connect: Connect, sql: Sql
) -> None:
    database = await connect()
    await record(
        database,
        report(1, vote("branch", UP), run="one"),
        report(1, vote("branch", DOWN, node="branch2"), node=agent("branch2"), run="other"),
    )
    assert votes_in(sql) == [("shop", "branch", "down", "branch2")]


async def test_heartbeats_of_jobs_are_merged_with_those_of_other_nodes(connect: Connect, sql: Sql) -> None:
    database = await connect()
    own = HeartbeatFacts(BEGAN, "fra1", last_signal_at=BEGAN, message="from the node")
    await database.beat(
        Node("fra1", "fra", True, "1.0", "hash"), [], heartbeats=[SharedHeartbeat("job", own)]
    )
    later = BEGAN + timedelta(seconds=60)
    received = [
        SharedHeartbeat("job", HeartbeatFacts(later, "branch1", last_signal_at=later)),
        SharedHeartbeat("sync", HeartbeatFacts(later, "branch1", last_signal_at=later)),
    ]
    for number in (1, 1, 2):
        await record(database, replace(report(number), heartbeats=received))
        rows = sql("SELECT monitor, facts ->> 'began_at', facts ->> 'node' FROM heartbeat ORDER BY monitor")
        assert rows == [
            ("job", BEGAN.isoformat(), "branch1"),
            ("sync", later.isoformat(), "branch1"),
        ]


async def test_absence_of_an_agent_is_recorded(connect: Connect, sql: Sql) -> None:
    async def absence() -> int | None:
        """Return the length of the last absence in minutes."""
        membership, _ = await record(database, report(next(numbers), node=agent("other1"), run="other"))
        (node,) = [node for node in membership.nodes if node.name == "branch1"]
        if node.absent_ago_s is None or node.back_ago_s is None:
            return None
        return int((node.absent_ago_s - node.back_ago_s) / 60)

    def pass_time(seconds: float) -> None:
        for column in ("seen_at", "absent_from", "back_at"):
            sql(
                f"UPDATE node SET {column} = {column} - %s * interval '1 second' WHERE {column} <> 'epoch'",
                seconds,
            )

    database, numbers = await connect(), count(1)
    await record(database, report(1))
    await record(database, report(2))
    assert await absence() is None
    pass_time(60)
    # A part of the queue is not a heartbeat: the absence lasts until the queue is complete.
    await record(database, report(3, is_complete=False))
    assert await absence() is None
    await record(database, report(4))
    assert await absence() == 1
    await record(database, report(5))
    assert await absence() == 1
    # The same after a restart, whose first report may be a part.
    pass_time(600)
    await record(database, report(1, run="after", is_complete=False))
    await record(database, report(2, run="after"))
    assert await absence() == 10
