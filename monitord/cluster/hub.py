"""This node as a hub: it writes the reports of agents to the database, and answers with the changes of the cluster.

Reports that arrive at the same time are written in one transaction, up to a hundred. A report is acknowledged after
the commit, and its number is stored with it, so that an agent can repeat it to any hub.
"""

import asyncio
import logging
import secrets
import shlex
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from monitord.cluster.model import (
    AgentReport,
    Changes,
    ClusterDecision,
    Intervention,
    Membership,
    ReportOutcome,
    Role,
    StoredReport,
    Vote,
)
from monitord.cluster.report_json import Alerts, FeedPage, FeedPosition, ReportAnswer, ReportRequest
from monitord.cluster.store import ClusterStore
from monitord.cluster.view import ReportCounters
from monitord.errors import ClusterError, NodeNameError
from monitord.text import joined

log = logging.getLogger("monitord")

REPORTS_PER_TRANSACTION = 100
VOTES_PER_TRANSACTION = 5000
MAX_QUEUED = 1000
"""Reports that wait for the database. An agent whose report is rejected repeats it, here or to another hub."""
ANSWER_TIMEOUT_S = 10.0
CHANGES_PER_ANSWER = 500
COMPACT_AFTER = 1000

Change = ClusterDecision | Vote | Intervention


class ChangeFeed:
    """The newest version of each decision, vote and intervention, in the order of the changes.

    A position is valid for the `run` of this hub only: from another hub, an agent gets everything again.
    """

    def __init__(self) -> None:
        self.run = secrets.token_hex(8)
        self._items: dict[tuple[object, ...], tuple[int, Change]] = {}
        self._log: list[tuple[int, tuple[object, ...]]] = []
        self._number = 0

    def note(self, item: Change) -> None:
        """Add a change."""
        self._number += 1
        key = _key(item)
        self._items[key] = self._number, item
        self._log.append((self._number, key))
        if len(self._log) > 2 * len(self._items) + COMPACT_AFTER:
            self._log = [(number, key) for number, key in self._log if self._is_newest(number, key)]

    def forget(self, monitor: str) -> None:
        """Drop what is known about a monitor that no longer exists."""
        for key in [key for key in self._items if key[:2] in {("decision", monitor), ("vote", monitor)}]:
            del self._items[key]

    def page(self, position: FeedPosition | None, *, includes_shared: bool) -> FeedPage:
        """Return the changes after a position. `includes_shared`: also decisions and votes.

        An agent that gets its first shared monitors gets everything again.
        """
        run = self.run if includes_shared else f"{self.run}-interventions"
        after = position.number if position is not None and position.hub == run else 0
        items: list[Change] = []
        start = bisect_right(self._log, after, key=lambda entry: entry[0])
        for index in range(start, len(self._log)):
            number, key = self._log[index]
            if self._is_newest(number, key):
                item = self._items[key][1]
                if includes_shared or isinstance(item, Intervention):
                    items.append(item)
                    if len(items) == CHANGES_PER_ANSWER:
                        after = number
                        break
            after = number
        return FeedPage(
            FeedPosition(run, after),
            Changes(
                tuple(item for item in items if isinstance(item, ClusterDecision)),
                tuple(item for item in items if isinstance(item, Vote)),
                tuple(item for item in items if isinstance(item, Intervention)),
            ),
            is_last=after == (self._log[-1][0] if self._log else after),
        )

    def _is_newest(self, number: int, key: tuple[object, ...]) -> bool:
        newest = self._items.get(key)
        return newest is not None and newest[0] == number


def _key(item: Change) -> tuple[object, ...]:
    match item:
        case ClusterDecision():
            return ("decision", item.monitor)
        case Vote():
            return ("vote", item.monitor, item.location)
        case Intervention():
            return ("intervention", item.kind, item.key)


@dataclass(frozen=True, slots=True)
class _Waiting:
    report: AgentReport
    stored: "asyncio.Future[tuple[Membership, StoredReport]]"


class Hub:
    """Accepts reports while `step` is repeated. `feed` is filled by the node."""

    def __init__(
        self,
        database: ClusterStore,
        is_for_location: Callable[[str, str], bool],
        has_notifier: Callable[[str], bool],
    ) -> None:
        """`is_for_location`: whether a location, the second argument, is to check a monitor.

        `has_notifier`: whether a notifier of this name is configured.
        """
        self._database = database
        self._is_for_location = is_for_location
        self._has_notifier = has_notifier
        self._warned_about: set[str] = set()
        self._queue: deque[_Waiting] = deque()
        self._has_reports = asyncio.Event()
        self._is_closed = False
        self.feed = ChangeFeed()
        self.counters = ReportCounters()

    async def accept(self, request: ReportRequest) -> ReportAnswer:
        """Write a report, and return the answer after the commit.

        Raises NodeNameError if another daemon is live under the name of the agent, or if the name is that of a node
        of a location that the token does not permit, and ClusterError if the report is not written: the agent repeats
        it.
        """
        try:
            membership, stored = await self._write(self._permitted(request.report))
        except ClusterError:
            self._count(rejected=1)
            raise
        self._count(
            stored=stored.outcome is ReportOutcome.STORED,
            repeated=stored.outcome is ReportOutcome.REPEATED,
            rejected=stored.outcome in {ReportOutcome.CONFLICT, ReportOutcome.FORBIDDEN},
        )
        node = request.report.node
        if stored.outcome is ReportOutcome.FORBIDDEN:
            raise NodeNameError(
                f"{node.name} is the name of a node of another location, which the token does not permit",
                hint="give the agent a different name: node in [cluster]; or, if that node has been shut down "
                f"permanently: monitorctl cluster remove {shlex.quote(node.name)}",
            )
        if stored.outcome is ReportOutcome.CONFLICT:
            raise NodeNameError(
                f"another daemon takes part in the cluster as the node {node.name}",
                hint="give each node and agent a different name: node in [cluster], by default the name of the host",
            )
        alerts: Alerts | None = None
        if request.alerts is not None:
            merged = {
                monitor: self._closable(alert)
                for monitor, alert in request.alerts.items()
                if self._is_for_location(monitor, node.location)
            }
            alerts = await self._database.merge(node.name, merged)
        # A fleet of agents that check only their own hosts is not of interest to the others.
        members = [
            each
            for each in membership.nodes
            if each.role is Role.NODE or each.shares_checks or each.name == node.name
        ]
        return ReportAnswer(
            stored.acknowledged,
            replace(membership, nodes=tuple(members), was_stale=stored.was_stale),
            self.feed.page(request.position, includes_shared=node.follows_decisions),
            alerts,
        )

    def _closable(self, alert: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return the record of an alert without notifiers that only the agent has, which closes it there itself."""
        if alert is None:
            return None
        notifiers = {
            name: progress for name, progress in alert["notifiers"].items() if self._has_notifier(name)
        }
        return {**alert, "notifiers": notifiers}

    def _permitted(self, report: AgentReport) -> AgentReport:
        """Drop heartbeats of jobs whose monitors are not for the location of the agent.

        A heartbeat applies at all locations, and the token of the agent may be limited to its own.
        """
        node = report.node
        dropped = {
            each.monitor
            for each in report.heartbeats
            if not self._is_for_location(each.monitor, node.location)
        }
        if not dropped:
            return report
        if node.name not in self._warned_about:
            self._warned_about.add(node.name)
            log.warning(
                "cluster: dropped heartbeats of %s from the agent %s: its location %s is not in `locations` of "
                "these monitors",
                joined(sorted(dropped)),
                node.name,
                node.location,
            )
        return replace(report, heartbeats=[each for each in report.heartbeats if each.monitor not in dropped])

    def _count(self, *, stored: int = 0, repeated: int = 0, rejected: int = 0) -> None:
        before = self.counters
        self.counters = ReportCounters(
            before.stored + stored, before.repeated + repeated, before.rejected + rejected
        )

    async def _write(self, report: AgentReport) -> tuple[Membership, StoredReport]:
        if self._is_closed:
            raise ClusterError("the hub is stopping", hint="report to another node of the cluster")
        if len(self._queue) >= MAX_QUEUED:
            raise ClusterError(
                "too many reports wait for the database", hint="report to another node of the cluster"
            )
        waiting = _Waiting(report, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._has_reports.set()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await waiting.stored
        except TimeoutError:
            raise ClusterError("the database has not stored the report in time") from None
        finally:
            waiting.stored.cancel()

    def close(self) -> None:
        """Reject reports from now on."""
        self._is_closed = True
        for each in self._queue:
            if not each.stored.done():
                each.stored.set_exception(ClusterError("the hub is stopping"))
        self._queue.clear()

    async def step(self) -> None:
        """Wait for reports, and write them in one transaction. A failure of the database is one of the callers."""
        await self._has_reports.wait()
        batch = self._take()
        if not batch:
            self._has_reports.clear()
            return
        try:
            membership, outcomes = await self._database.record([each.report for each in batch])
        except BaseException as error:
            failure = error if isinstance(error, ClusterError) else ClusterError("the hub is stopping")
            for each in batch:
                if not each.stored.done():
                    each.stored.set_exception(failure)
            if not isinstance(error, ClusterError):
                raise
            return
        for each, outcome in zip(batch, outcomes, strict=True):
            if not each.stored.done():
                each.stored.set_result((membership, outcome))

    def _take(self) -> Sequence[_Waiting]:
        """Remove reports of different agents from the queue. Those whose client is gone are dropped."""
        batch: dict[str, _Waiting] = {}
        later: deque[_Waiting] = deque()
        votes = 0
        while self._queue and len(batch) < REPORTS_PER_TRANSACTION and votes < VOTES_PER_TRANSACTION:
            waiting = self._queue.popleft()
            if waiting.stored.done():
                continue
            if waiting.report.node.name in batch:
                later.append(waiting)
                continue
            batch[waiting.report.node.name] = waiting
            votes += len(waiting.report.votes)
        self._queue.extendleft(reversed(later))
        return list(batch.values())
