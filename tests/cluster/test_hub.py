"""The hub: reports that arrive together, and the changes that it answers with."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from monitord.alerts.lifecycle import Alert, alert_record
from monitord.cluster.hub import CHANGES_PER_ANSWER, REPORTS_PER_TRANSACTION, ChangeFeed, Hub
from monitord.cluster.model import (
    AgentReport,
    Changes,
    ClusterDecision,
    Intervention,
    InterventionKind,
    Membership,
    Node,
    Role,
    SharedHeartbeat,
    StoredReport,
)
from monitord.cluster.report_json import FeedPage, FeedPosition, ReportRequest
from monitord.errors import ClusterError, NodeNameError
from monitord.model import Reason, State
from monitord.monitors.heartbeat.shared import HeartbeatFacts
from tests.cluster.fake_database import FakeDatabase, FakeServer
from tests.cluster.votes import BEGAN, vote
from tests.fakes import FakeClock


def decision(monitor: str, version: int = 1) -> ClusterDecision:
    return ClusterDecision(monitor, State.UP, BEGAN, Reason.OK, "", version)


PAUSE = Intervention(InterventionKind.PAUSE, "shop", {"by": "kim"})


def read_all(feed: ChangeFeed, position: FeedPosition | None = None) -> list[FeedPage]:
    pages = [feed.page(position, includes_shared=True)]
    while not pages[-1].is_last:
        pages.append(feed.page(pages[-1].position, includes_shared=True))
    return pages


def test_feed_returns_each_change_once_and_only_the_newest() -> None:
    feed = ChangeFeed()
    assert feed.page(None, includes_shared=True) == FeedPage(FeedPosition(feed.run, 0))
    feed.note(decision("shop", 1))
    feed.note(vote("fra", State.UP))
    feed.note(decision("shop", 2))
    feed.note(PAUSE)
    first = feed.page(None, includes_shared=True)
    assert first.changes == Changes((decision("shop", 2),), (vote("fra", State.UP),), (PAUSE,))
    assert feed.page(first.position, includes_shared=True).changes == Changes()
    feed.note(vote("fra", State.DOWN))
    assert feed.page(first.position, includes_shared=True).changes == Changes((), (vote("fra", State.DOWN),))


def test_position_of_another_hub_begins_again() -> None:
    feed = ChangeFeed()
    feed.note(PAUSE)
    assert feed.page(FeedPosition("another", 1), includes_shared=True).changes == Changes((), (), (PAUSE,))


def test_agent_without_shared_monitors_gets_interventions_only() -> None:
    feed = ChangeFeed()
    feed.note(decision("shop"))
    feed.note(PAUSE)
    page = feed.page(None, includes_shared=False)
    assert (page.changes, page.is_last) == (Changes((), (), (PAUSE,)), True)
    # With its first shared monitor, it gets everything.
    assert len(feed.page(page.position, includes_shared=True).changes.decisions) == 1


def test_long_feed_is_divided_and_survives_compaction() -> None:
    feed = ChangeFeed()
    names = [f"shop-{number}" for number in range(2 * CHANGES_PER_ANSWER + 1)]
    for version in range(1, 6):
        for name in names:
            feed.note(decision(name, version))
    pages = read_all(feed)
    assert [len(page.changes.decisions) for page in pages] == [CHANGES_PER_ANSWER, CHANGES_PER_ANSWER, 1]
    found = [each for page in pages for each in page.changes.decisions]
    assert found == [decision(name, 5) for name in names]
    assert len(feed._log) < 4 * len(names)
    feed.forget(names[0])
    assert len([each for page in read_all(feed) for each in page.changes.decisions]) == len(names) - 1


def request(name: str, number: int = 1) -> ReportRequest:
    return ReportRequest(
        AgentReport(Node(name, name, True, "1.0", "hash", role=Role.AGENT), f"run of {name}", number)
    )


class CountingDatabase(FakeDatabase):
    """Counts the reports of each transaction, which waits for `commits`."""

    def __init__(self) -> None:
        super().__init__(FakeServer(FakeClock()))
        self.sizes: list[int] = []
        self.begins = asyncio.Event()
        self.commits = asyncio.Event()

    async def record(self, reports: Sequence[AgentReport]) -> tuple[Membership, Sequence[StoredReport]]:
        self.sizes.append(len(reports))
        self.begins.set()
        await self.commits.wait()
        return await super().record(reports)


class Running:
    """A hub whose step is repeated, as the node does."""

    def __init__(self) -> None:
        self.database = CountingDatabase()
        self.hub = Hub(
            self.database,
            lambda monitor, location: (monitor, location) != ("hq", "branch"),
            lambda notifier: notifier == "ops",
        )
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            await self.hub.step()

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_reports_that_wait_are_written_in_one_transaction_and_answered_after_it() -> None:
    running = Running()
    answers = [asyncio.ensure_future(running.hub.accept(request(f"a{number}"))) for number in range(250)]
    await running.database.begins.wait()
    assert not any(answer.done() for answer in answers)
    running.database.commits.set()
    done = await asyncio.gather(*answers)
    assert {answer.acknowledged for answer in done} == {1}
    assert running.database.sizes == [REPORTS_PER_TRANSACTION, REPORTS_PER_TRANSACTION, 50]
    assert running.hub.counters.stored == 250
    await running.end()


async def test_two_reports_of_an_agent_are_written_one_after_the_other() -> None:
    running = Running()
    running.database.commits.set()
    answers = [asyncio.ensure_future(running.hub.accept(request("a", number))) for number in (1, 2)]
    assert [answer.acknowledged for answer in await asyncio.gather(*answers)] == [1, 2]
    assert running.database.sizes == [1, 1]
    await running.end()


async def test_report_is_not_acknowledged_if_the_database_fails() -> None:
    running = Running()
    running.database.commits.set()
    running.database.is_disconnected = True
    with pytest.raises(ClusterError, match="connection refused"):
        await running.hub.accept(request("a"))
    running.database.is_disconnected = False
    assert (await running.hub.accept(request("a"))).acknowledged == 1
    assert (running.hub.counters.stored, running.hub.counters.rejected) == (1, 1)
    await running.end()


async def test_name_of_a_live_node_is_rejected() -> None:
    running = Running()
    running.database.commits.set()
    await running.hub.accept(request("a"))
    other = ReportRequest(AgentReport(Node("a", "b", True, "1.0", "hash", role=Role.AGENT), "another run", 1))
    with pytest.raises(NodeNameError, match="another daemon takes part in the cluster as the node a"):
        await running.hub.accept(other)
    assert running.hub.counters.rejected == 1
    await running.end()


async def test_limited_token_cannot_take_the_name_of_a_node_of_another_location() -> None:
    running = Running()
    running.database.commits.set()
    await running.database.beat(Node("fra1", "fra", False, "1.0", "hash"), [])
    agent = Node("fra1", "branch", True, "1.0", "hash", role=Role.AGENT)
    limited = ReportRequest(AgentReport(agent, "run", 1, permitted_locations=("branch",)))
    with pytest.raises(NodeNameError) as caught:
        await running.hub.accept(limited)
    assert "fra1 is the name of a node of another location" in str(caught.value)
    assert running.hub.counters.rejected == 1
    # With a token for all locations, a host can be moved to another location, or become an agent.
    assert (await running.hub.accept(ReportRequest(AgentReport(agent, "run", 1)))).acknowledged == 1
    # The next reports are from the permitted location.
    again = ReportRequest(AgentReport(agent, "run", 2, permitted_locations=("branch",)))
    assert (await running.hub.accept(again)).acknowledged == 2
    await running.end()


async def test_alerts_of_monitors_of_other_locations_are_not_merged() -> None:
    running = Running()
    running.database.commits.set()
    alert = alert_record(Alert("a", "shop", "shop", BEGAN))
    for name in ("shop", "hq"):
        running.database.server.decisions[name] = replace(decision(name), alert=alert)
    ended = {"shop": alert, "hq": None}
    report = replace(request("branch"), alerts=ended)
    assert (await running.hub.accept(report)).alerts == {"shop": alert}
    await running.end()


async def test_hub_that_stops_rejects_the_reports_that_wait() -> None:
    running = Running()
    first = asyncio.ensure_future(running.hub.accept(request("a")))
    await running.database.begins.wait()
    second = asyncio.ensure_future(running.hub.accept(request("b")))
    await asyncio.sleep(0)
    await running.end()
    running.hub.close()
    for answer in (first, second):
        with pytest.raises(ClusterError, match="the hub is stopping"):
            await answer
    with pytest.raises(ClusterError, match="the hub is stopping"):
        await running.hub.accept(request("c"))


async def test_heartbeats_of_other_locations_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    running = Running()
    running.database.commits.set()
    agent = Node("branch1", "branch", True, "1.0", "hash", role=Role.AGENT)
    received = [
        SharedHeartbeat(name, HeartbeatFacts(BEGAN, "branch1", last_signal_at=BEGAN))
        for name in ("backup", "hq")
    ]
    for number in (1, 2):
        report = AgentReport(agent, "run", number, heartbeats=received)
        await running.hub.accept(ReportRequest(report))
    assert running.database.server.heartbeats.keys() == {"backup"}
    assert caplog.text.count("dropped heartbeats of hq from the agent branch1") == 1
    await running.end()


async def test_answer_has_the_nodes_and_the_agents_that_vote() -> None:
    running = Running()
    running.database.commits.set()
    await running.database.beat(Node("fra1", "fra", True, "1.0", "hash"), [])
    quiet = Node("office", "office", True, "1.0", "hash", role=Role.AGENT, shares_checks=False)
    own = await running.hub.accept(ReportRequest(AgentReport(quiet, "run", 1)))
    assert {node.name for node in own.membership.nodes} == {"fra1", "office"}
    other = await running.hub.accept(request("branch"))
    assert {node.name for node in other.membership.nodes} == {"fra1", "branch"}
    await running.end()
