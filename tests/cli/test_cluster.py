"""`monitorctl cluster`: the cluster of a fake view, and `init` and `remove` with a real PostgreSQL."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from monitord.cli.cluster import initialization_lines
from monitord.cli.cluster import main as database_main
from monitord.cli.commands.cluster import cluster_lines
from monitord.cli.control_command import main
from monitord.cluster.database import ClusterDatabase, Initialization
from monitord.cluster.model import ConfigurationDifferences, Membership, Role
from monitord.cluster.view import (
    AgentView,
    ClusterView,
    DatabaseView,
    HubStatus,
    ReportCounters,
    UnknownLocation,
)
from monitord.dispatch.cycle import NO_TIMER
from monitord.model import State
from monitord.net import Resolver
from monitord.status.model.cluster import cluster_json
from monitord.web import Server
from tests.cluster_views import NODES, SINCE, cluster_view, host_monitor, node
from tests.database_servers import PASSWORD, Database, postgresql
from tests.endpoint import endpoint, make_world
from tests.fakes import FakeClock

VIEW = cluster_view({"good": {"fra": State.DOWN, "hel": State.DOWN, "nyc": State.UP}})


def shown(view: ClusterView) -> list[str]:
    return cluster_lines(cluster_json(view), max_columns=None)


def same(name: str, location: str, **more: Any) -> ClusterView:
    """The view with three nodes with one configuration, and this fourth one."""
    return replace(VIEW, membership=Membership((NODES[0], *NODES[2:], node(name, location, **more))))


def test_nodes_and_locations_are_listed() -> None:
    lines = shown(VIEW)
    assert lines[0] == "node mon1 at fra: 4 of 4 nodes and 3 of 3 locations live, 1 shared monitor"
    table = [line.split() for line in lines]
    assert next(row for row in table if row[:1] == ["mon1*"])[:7] == [
        "mon1*",
        "fra",
        "node",
        "live",
        "1s",
        "ago",
        "2",
    ]
    assert ["hel", "yes", "1", "down"] in table
    assert lines[-2:] == [
        "database (PostgreSQL 15.8): connected, a heartbeat takes 3.1 ms, 2 notifications queued",
        "reports of agents to this node: 5 stored, 1 repeated, 0 rejected",
    ]


def test_node_that_does_not_decide_is_a_problem() -> None:
    line = "mon3 has not compared the votes with its decisions for 1m: see its journal"
    slow = replace(NODES[2], decision_lag_s=60.0)
    assert line in shown(replace(VIEW, membership=Membership((*NODES[:2], slow, NODES[3]))))
    stopped = replace(slow, is_ready=False)
    assert line not in shown(replace(VIEW, membership=Membership((*NODES[:2], stopped, NODES[3]))))


def test_agents_are_marked_and_need_not_have_the_same_monitors() -> None:
    agent = node("branch1", "branch", role=Role.AGENT, configuration="other")
    lines = shown(replace(VIEW, membership=Membership((NODES[0], *NODES[2:], agent))))
    assert any(line.split()[:4] == ["branch1", "branch", "agent", "live"] for line in lines)
    assert not any("from those of this node" in line for line in lines)
    # Those of one location share its checks.
    other = replace(agent, name="branch2", configuration="another")
    view = replace(VIEW, node="branch1", membership=Membership((*NODES, agent, other)))
    assert "the monitors, routes or notifiers of branch2 differ from those of this node" in shown(view)
    assert not any("mon1" in line and "from those of this node" in line for line in shown(view))


def test_agent_shows_its_hubs_and_reports() -> None:
    hubs = (
        HubStatus("https://mon1", is_current=False, error="HTTP 503: the database does not respond"),
        HubStatus("https://mon2", is_current=True),
        HubStatus("https://mon3", is_current=False),
    )
    view = replace(VIEW, reports=ReportCounters(), agent=AgentView(hubs, 1201, SINCE, 3, 1))
    assert shown(view)[-4:] == [
        "agent: report 1201 acknowledged at 2026-01-01 12:00:00 UTC, 3 votes and 1 heartbeat spooled",
        "hub https://mon1: HTTP 503: the database does not respond",
        "hub https://mon2 (current): available",
        "hub https://mon3: not used",
    ]
    never = replace(view, agent=AgentView(hubs[:1]), alone_since=SINCE)
    assert "agent: no report acknowledged yet, 0 votes and 0 heartbeats spooled" in shown(never)
    assert any("it rejoins the cluster when a hub responds" in line for line in shown(never))


@pytest.mark.parametrize(
    ("view", "problem"),
    [
        (VIEW, "the monitors, routes or notifiers of mon2 differ from those of this node"),
        (
            replace(
                VIEW,
                differences={
                    "mon2": ConfigurationDifferences(
                        ("monitors.web", "monitors.mail"), ("notifiers.ops",), ("monitors.api",), 9
                    )
                },
            ),
            "the configuration of mon2 differs from that of this node: it lacks monitors.web and monitors.mail, "
            "it also has notifiers.ops, monitors.api differs, and 5 more differences",
        ),
        (same("mon9", "syd", is_isolated=True), "mon9 is isolated: nearly all of its network checks fail"),
        (same("mon9", "syd", seen_ago_s=7200.0), "monitorctl cluster remove mon9"),
        (
            same("mon9", "syd", time_offset_s=-4.0),
            "mon9: its clock differs by -4.0 s from that of the database",
        ),
        (same("mon9", "syd", version="1.1"), "the nodes have several versions: 1.0, 1.1"),
        (
            replace(VIEW, database=DatabaseView(error="connection refused", unavailable_since=SINCE)),
            "this node has not been connected to the cluster since 2026-01-01 12:00:00 UTC: connection refused",
        ),
        (
            replace(VIEW, unknown_locations=(UnknownLocation("hle", ("a", "b"), ("ops",)),)),
            "no node is at the location hle in `locations` of monitor a, monitor b and notifier ops",
        ),
        (
            replace(VIEW, unknown_locations=(UnknownLocation("hle", (), ("ops",)),)),
            "no node is at the location hle in `locations` of notifier ops",
        ),
        (
            replace(VIEW, unknown_locations=(UnknownLocation("hle", tuple("abcdefg"), ()),)),
            "of monitor a, monitor b, monitor c, monitor d, monitor e and 2 other monitors",
        ),
        (
            replace(VIEW, alone_since=SINCE),
            "this node has decided and notified alone since 2026-01-01 12:00:00 UTC",
        ),
    ],
)
def test_problem_is_explained(view: ClusterView, problem: str) -> None:
    assert any(problem in line for line in shown(view))


def test_disconnected_node_shows_no_values_of_the_database() -> None:
    database = DatabaseView(
        error="connection refused", unavailable_since=SINCE, latency_s=0.003, queued_notifications=2
    )
    lines = shown(replace(VIEW, database=database, reports=ReportCounters()))
    assert lines[-1] == "database: not connected"
    assert "the nodes and votes are shown as they were at the last connection" in lines
    never = shown(ClusterView("mon1", "fra", database=database))
    assert not any("NODE" in line or "last connection" in line for line in never)


def test_clock_without_an_offset_has_no_negative_sign() -> None:
    text = "\n".join(shown(same("mon9", "syd", time_offset_s=-0.0001)))
    assert "+0.000 s" in text
    assert "-0.000 s" not in text


async def test_status_shows_that_this_node_is_not_connected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = replace(VIEW, database=DatabaseView(error="no route", unavailable_since=SINCE), alone_since=SINCE)
    async with endpoint(tmp_path, cluster=lambda: view) as at:
        await asyncio.to_thread(main, ["--socket", str(at.path), "status"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "this node has not been connected to the cluster since 2026-01-01 12:00:00 UTC: no route",
        "this node has decided and notified alone since 2026-01-01 12:00:00 UTC; "
        "it rejoins the cluster when the database responds",
    ]


async def test_exit_status_shows_whether_something_needs_attention(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for view, expected in ((VIEW, 1), (same("mon9", "syd"), 0)):
        async with endpoint(tmp_path, cluster=lambda view=view: view) as at:  # type: ignore[misc]
            assert await asyncio.to_thread(main, ["--socket", str(at.path), "cluster"]) == expected
    async with endpoint(tmp_path) as at:
        assert await asyncio.to_thread(main, ["--socket", str(at.path), "cluster"]) == 1
    assert "this host is not a node of a cluster" in capsys.readouterr().err


async def test_show_and_status_have_the_view_of_each_location(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with endpoint(tmp_path, cluster=lambda: VIEW) as at:
        await asyncio.to_thread(main, ["--socket", str(at.path), "show", "good"])
        text = capsys.readouterr().out
        await asyncio.to_thread(main, ["--socket", str(at.path), "explain", "good"])
        sentences = capsys.readouterr().out
        await asyncio.to_thread(main, ["--socket", str(at.path), "status"])
        lines = capsys.readouterr().out.splitlines()
    words = " ".join(text.split())
    assert "quorum 2 of 3 votes are needed for a change (quorum majority)" in words
    assert "at fra down since 2026-01-01 12:00:00 UTC, connection refused (node mon1)" in words
    assert "Location nyc: up since 2026-01-01 12:00:00 (node mon4)." in sentences
    assert any("good" in line and "[down at fra and hel, up at nyc]" in line for line in lines)
    assert not any("bad" in line and " at " in line for line in lines)


async def test_status_has_the_monitors_of_other_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitors = {"mon3": {"disk": host_monitor("mon3", "disk", State.DOWN, acknowledged_by="kim")}}
    view = replace(VIEW, host_monitors=monitors)

    async with endpoint(tmp_path, cluster=lambda: view) as at:

        async def status(*arguments: str) -> tuple[int, str]:
            code = await asyncio.to_thread(main, ["--socket", str(at.path), "status", *arguments])
            return code, capsys.readouterr().out

        lines = (await status())[1].splitlines()
        assert any(line.split()[:3] == ["down", "mon3/disk", "disk"] for line in lines)
        assert any("[acknowledged] 97 % used" in line for line in lines)
        code, text = await status("mon3/*")
        assert (code, "mon3/disk" in text, "good" in text) == (2, True, False)
        assert "mon3/disk" not in (await status("--this-host"))[1]
        shown = json.loads((await status("--json", "--type", "disk"))[1])
        assert shown["monitors"] == []
        assert [each["name"] for each in shown["host_monitors"]] == ["mon3/disk"]
        for command in ("results", "explain", "ack"):
            assert await asyncio.to_thread(main, ["--socket", str(at.path), command, "mon3/disk"]) == 1
            error = "mon3/disk belongs to the host of node mon3; run monitorctl there, with the name disk"
            assert error in capsys.readouterr().err


async def test_show_has_what_the_cluster_knows_about_a_monitor_of_another_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = host_monitor("mon3", "disk", State.DOWN, acknowledged_by="kim", maintenance="night")
    lost = replace(node("mon2", "fra"), seen_ago_s=60.0)
    view = replace(
        VIEW,
        membership=Membership((NODES[0], lost, *NODES[2:])),
        membership_at=SINCE,
        host_monitors={"mon3": {"disk": disk}, "mon2": {"unit": host_monitor("mon2", "unit", State.UP)}},
    )

    async with endpoint(tmp_path, cluster=lambda: view) as at:

        async def run(*arguments: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(main, ["--socket", str(at.path), *arguments])
            return code, *capsys.readouterr()

        code, text, _ = await run("show", "mon3/disk")
        assert code == 0
        assert text.startswith("mon3/disk (disk) has been down for ")
        words = " ".join(text.split())
        for expected in (
            "reason disk_full",
            "result 97 % used",
            "acknowledged by kim",
            "maintenance night",
            "tags host",
            "reported 1s ago by the node mon3 at hel details",
            "details on mon3: monitorctl show disk",
        ):
            assert expected in words
        words = " ".join((await run("show", "mon2/unit"))[1].split())
        assert "mon2/unit (disk) has been unknown for " in words
        assert "reason node_lost" in words
        assert "reported 1m ago by the node mon2 at fra: up" in words
        shown = json.loads((await run("show", "--json", "mon3/disk"))[1])
        assert (shown["name"], shown["state"]) == ("mon3/disk", "down")
        shown = json.loads((await run("show", "--json", "good", "mon*/*"))[1])
        assert [each["name"] for each in shown["monitors"]] == ["good"]
        assert [each["name"] for each in shown["host_monitors"]] == ["mon3/disk", "mon2/unit"]
        code, _, error = await run("explain", "mon3/disk")
        assert code != 0
        assert "mon3/disk belongs to the host of node mon3; run monitorctl there, with the name disk" in error
        code, _, error = await run("show", "mon3/nothing")
        assert code != 0
        assert "no monitor has the name 'mon3/nothing'" in error


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    setup = (
        f"CREATE ROLE monitord LOGIN PASSWORD '{PASSWORD}';\nCREATE ROLE guest LOGIN PASSWORD '{PASSWORD}';"
    )
    with postgresql(setup=setup) as running:
        yield running


def conninfo(server: Database, user: str = "postgres", password: str = PASSWORD) -> str:
    return f"host=127.0.0.1 port={server.port} dbname=postgres user={user} password={password}"


async def test_status_shows_no_old_result_of_a_monitor_that_another_node_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world(cluster=lambda: VIEW)
    try:
        await world.dispatcher.check_now("good")
        world.dispatcher.entries["good"].cycle.timer_id = NO_TIMER
        async with Server(world.status_application, path=tmp_path / "status.sock"):
            await asyncio.to_thread(main, ["--socket", str(tmp_path / "status.sock"), "status"])
    finally:
        await world.close()
    (line,) = (line for line in capsys.readouterr().out.splitlines() if " good " in line)
    assert line.split() == ["up", "good", "fake", "-", "[down", "at", "fra", "and", "hel]", "HTTP", "200"]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Awaitable[Done]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in a thread: it has an event loop of its own."""

    async def run_command(*arguments: str) -> Done:
        status = await asyncio.to_thread(database_main, arguments)
        return Done(status, *capsys.readouterr())

    return run_command


async def test_tables_are_created_once_and_a_node_is_removed(server: Database, run: Run) -> None:
    database = ["--database", conninfo(server)]
    refused = await run("init", "--database", conninfo(server, "guest"))
    assert refused.status == 1
    assert "permission denied" in refused.err
    first, second = await run("init", *database), await run("init", *database)
    assert (first.status, second.status) == (0, 0), first.err
    assert first.out.startswith("created the tables, version 1\nserver: PostgreSQL ")
    assert second.out.startswith("the tables are up to date, version 1\n")
    assert json.loads((await run("init", *database, "--json")).out)["version"] == 1

    store = ClusterDatabase(conninfo(server), FakeClock(), Resolver())
    try:
        await store.beat(node("mon1", "fra"), ())
        await store.beat(node("mon2", "fra", is_ready=False), ())
    finally:
        await store.close()
    live = await run("remove", "mon1", *database)
    assert live.status == 1
    assert "mon1 is live" in live.err
    assert (await run("remove", "mon2", *database)).out == "removed mon2\n"
    unknown = await run("remove", "mon2", *database)
    assert unknown.status == 1
    assert "known nodes: mon1" in unknown.err


@pytest.mark.parametrize("arguments", [("init",), ("remove", "mon1")])
async def test_password_is_never_printed(server: Database, run: Run, arguments: tuple[str, ...]) -> None:
    for wrong in (conninfo(server, password="s3cret-9"), "host=127.0.0.1 pasword=s3cret-9", "s3cret-9"):
        done = await run(*arguments, "--database", wrong)
        assert done.status == 1
        assert "monitorctl cluster: " in done.err
        assert "s3cret-9" not in done.out + done.err


async def test_database_comes_from_the_configuration(server: Database, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text(f'[cluster]\ndatabase = "{conninfo(server)}"\nlocation = "fra"\n')
    assert (await run("init", "--config", str(config))).status == 0
    config.write_text("")
    done = await run("init", "--config", str(config))
    assert done.status == 1
    assert "has no [cluster]; add [cluster] with database and location" in done.err
    config.write_text(
        '[cluster]\nhub = "https://mon1"\ntoken = "a-token-of-the-agents"\nlocation = "branch"\n'
    )
    done = await run("init", "--config", str(config))
    assert done.status == 1
    assert "makes this host an agent, which has no access to the database" in done.err


def test_wrong_words_are_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitord.cli", "cluster", "remove"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 64
    assert "cluster remove NODE" in done.stderr


def test_clock_that_differs_is_a_warning() -> None:
    done = Initialization(0, 1, "15.8", is_encrypted=True, time_offset_s=-3.5)
    lines = initialization_lines(done)
    assert lines[2:4] == [
        "connection: encrypted with TLS",
        "clock of this host: 3.500 s behind that of the database",
    ]
    assert lines[4].startswith("warning: the clocks differ")
    assert len(initialization_lines(replace(done, time_offset_s=0.1))) == 4
    assert initialization_lines(replace(done, warning="not verified"))[4] == "warning: not verified"
