"""The store of an agent: a node without access to the database, which reports to hubs over HTTP instead.

The node of an agent is the same as that of others (`node.ClusterNode`): its heartbeats with votes are reports, and the
answers contain what others read from the database. An agent decides and delivers nothing, so those operations do
nothing here. While no hub responds, the node is alone as without the database.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

from monitord.clock import Clock
from monitord.cluster.model import (
    AgentReport,
    AssignedMessage,
    Changes,
    ClaimedNotification,
    ClusterOverview,
    ConfigurationDifferences,
    DeliveryResult,
    HostReport,
    Intervention,
    Membership,
    NewDecision,
    Node,
    NodeShard,
    Role,
    SharedHeartbeat,
    StoredReport,
    Tally,
    Vote,
)
from monitord.cluster.report_json import (
    MAX_ALERTS,
    MAX_HOST_NAMES,
    Alerts,
    FeedPosition,
    ReportAnswer,
    answer_of,
    encoded_heartbeat,
    encoded_host_monitor,
    encoded_report,
    encoded_vote,
    parts_of,
)
from monitord.cluster.settings import HubSettings
from monitord.cluster.view import AgentView, HubStatus
from monitord.errors import ClusterError, NodeNameError
from monitord.net import HttpClient, HttpExchange, HttpFailure, HttpRequest
from monitord.text import plain, shortened

PATH = "/api/v1/reports"
ATTEMPT_S = 4.0
"""The limit of a request to one hub. With two attempts, a heartbeat is still recent."""
REPORT_S = 8.0
"""The limit of a report, with all attempts."""
SHORTEST_BACKOFF_S, LONGEST_BACKOFF_S = 2.0, 8.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024

NOTHING: Sequence[str] = ()

_OK, _CONFLICT = 200, 409
_HINTS = {
    400: "use the same release on agent and hub",
    401: "write the token of the hub in `token` of [cluster]",
    403: 'give the token rights = "report" in [status.tokens.NAME] of the hub',
    404: "write the address of a node with `database` in [cluster]",
    421: "add the name in the URL to allowed_hosts in [status] of the hub",
}
_CONNECTION_HINT = "check `hub` in [cluster]"


@dataclass(slots=True)
class _HubState:
    """A hub, and why the last report did not reach it. `retry_at_s`: it is not tried before."""

    request: HttpRequest
    error: str | None = None
    retry_at_s: float = 0.0
    backoff_s: float = SHORTEST_BACKOFF_S

    @property
    def url(self) -> str:
        return self.request.target.shown_origin


@dataclass(slots=True)
class _Received:
    """The contents of the answers since the last call of `changes`, the newest at the end."""

    decisions: list[Any] = field(default_factory=list)
    votes: list[Any] = field(default_factory=list)
    interventions: list[Any] = field(default_factory=list)


class HubStore:
    """The operations of an agent. See `database.ClusterDatabase` for what they do in a node."""

    def __init__(self, settings: HubSettings, client: HttpClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._run = secrets.token_hex(8)
        self._number = 0
        self._acknowledged = 0
        self._acknowledged_at: datetime | None = None
        self._hubs = [
            _HubState(
                HttpRequest(
                    url=url.rstrip("/") + PATH,
                    method="POST",
                    headers=(("Content-Type", "application/json"),),
                    bearer_token=settings.token.reveal(),
                    tls=settings.tls,
                    follow_redirects=False,
                    reuse_connection=True,
                    read_body=True,
                    max_body_bytes=MAX_ANSWER_BYTES,
                )
            )
            for url in settings.urls
        ]
        self._current = 0
        self._lock = asyncio.Lock()
        self._node: Node | None = None
        self._position: FeedPosition | None = None
        self._received = _Received()
        self._has_changes = asyncio.Event()
        self._membership = Membership()

    def view(self, spooled_votes: int, spooled_heartbeats: int) -> AgentView:
        return AgentView(
            tuple(
                HubStatus(hub.url, number == self._current, hub.error)
                for number, hub in enumerate(self._hubs)
            ),
            self._acknowledged,
            self._acknowledged_at,
            spooled_votes,
            spooled_heartbeats,
        )

    async def open(self) -> None:
        """The first report connects."""

    async def close(self) -> None:
        """Close the connections to the hubs."""
        for hub in self._hubs:
            await self._client.forget(hub.request)

    async def beat(
        self,
        node: Node,
        votes: Sequence[Vote],
        host: HostReport | None = None,
        heartbeats: Sequence[SharedHeartbeat] = (),
    ) -> Membership:
        """Report the heartbeat, the votes, the monitors of the host and the heartbeats of jobs.

        A long queue is divided; the last report completes the heartbeat.

        Raises ClusterError if no hub has stored the whole, and NodeNameError if another daemon has the name.
        """
        node = replace(node, role=Role.AGENT)
        host = HostReport() if host is None else host
        of_host = parts_of(encoded_host_monitor(each) for each in host.monitors)
        of_jobs = parts_of(map(encoded_heartbeat, heartbeats))
        *parts, last = zip_longest(parts_of(map(encoded_vote, votes)), of_host, of_jobs, fillvalue=NOTHING)
        names = [each.monitor for each in host.monitors] if host.is_complete else None
        if names is not None and len(names) > MAX_HOST_NAMES:
            names = None  # removed monitors remain
        was_stale = False
        async with self._lock:
            self._node = node
            for part in parts:
                answer = await self._report(AgentReport(node, self._run, 0, is_complete=False), *part)
                was_stale = was_stale or answer.membership.was_stale
            answer = await self._report(AgentReport(node, self._run, 0, host_names=names), *last)
            was_stale = was_stale or answer.membership.was_stale
            while not answer.page.is_last:
                answer = await self._report(AgentReport(node, self._run, 0))
        self._membership = replace(answer.membership, was_stale=was_stale)
        return self._membership

    async def merge(self, node: str, alerts: Alerts) -> Alerts:
        """Merge the alerts of alone mode into those of the cluster, through a hub. Raises ClusterError."""
        del node
        results: dict[str, Mapping[str, Any] | None] = {}
        names = sorted(alerts)
        async with self._lock:
            if self._node is None:
                raise ClusterError("alerts cannot be merged before the first report")
            for start in range(0, len(names), MAX_ALERTS):
                part = {name: alerts[name] for name in names[start : start + MAX_ALERTS]}
                answer = await self._report(AgentReport(self._node, self._run, 0), alerts=part)
                results.update(answer.alerts or {})
        return results

    async def changes(self) -> Changes:
        """Return what the answers have contained since the last call."""
        received, self._received = self._received, _Received()
        return Changes(tuple(received.decisions), tuple(received.votes), tuple(received.interventions))

    async def wait(self, timeout_s: float) -> None:
        """Wait until an answer contains changes, or for `timeout_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._has_changes.wait()
        self._has_changes.clear()

    # -- reports ------------------------------------------------------------------------------------------

    async def _report(
        self,
        report: AgentReport,
        votes: Sequence[str] = (),
        host_monitors: Sequence[str] = (),
        heartbeats: Sequence[str] = (),
        alerts: Alerts | None = None,
    ) -> ReportAnswer:
        """Send a report, under the next number, to the current hub or to the next hubs.

        Votes, monitors and heartbeats are encoded. Raises ClusterError if no hub has stored it.
        """
        self._number += 1
        report = replace(report, number=self._number)
        body = encoded_report(
            report, votes, self._clock.now(), self._position, alerts, host_monitors, heartbeats
        )
        limit_s = self._clock.monotonic_s() + REPORT_S
        for step in range(len(self._hubs)):
            number = (self._current + step) % len(self._hubs)
            hub, now_s = self._hubs[number], self._clock.monotonic_s()
            # The current hub is always tried: a heartbeat that waits for a hub to be due is too late after an outage.
            if (step > 0 and now_s < hub.retry_at_s) or now_s >= limit_s:
                continue
            try:
                answer = await self._send(hub, body, min(ATTEMPT_S, limit_s - now_s))
            except NodeNameError:
                raise
            except ClusterError as error:
                hub.error = str(error)
                hub.retry_at_s = self._clock.monotonic_s() + hub.backoff_s
                hub.backoff_s = min(2 * hub.backoff_s, LONGEST_BACKOFF_S)
                continue
            hub.error, hub.backoff_s, hub.retry_at_s = None, SHORTEST_BACKOFF_S, 0.0
            self._current = number
            self._take(answer)
            return answer
        # The next report begins with the first hub that is due.
        self._current = min(range(len(self._hubs)), key=lambda number: self._hubs[number].retry_at_s)
        errors = [f"{hub.url}: {hub.error}" for hub in self._hubs if hub.error]
        raise ClusterError("; ".join(errors) or "no hub has responded in time")

    async def _send(self, hub: _HubState, body: bytes, limit_s: float) -> ReportAnswer:
        outcome = await self._client.fetch(hub.request, deadline=time.monotonic() + limit_s, body=body)
        if isinstance(outcome, HttpFailure):
            raise ClusterError(plain(outcome.detail), hint=_CONNECTION_HINT)
        if outcome.status != _OK:
            problem = _problem(outcome)
            if outcome.status == _CONFLICT:
                raise NodeNameError(problem)
            raise ClusterError(problem, hint=_HINTS.get(outcome.status, ""))
        try:
            return answer_of(json.loads(outcome.body or b""))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ClusterError(
                f"the answer is not that of a hub: {shortened(plain(repr(error)), 100)}", hint=_HINTS[404]
            ) from None

    def _take(self, answer: ReportAnswer) -> None:
        self._acknowledged, self._acknowledged_at = answer.acknowledged, self._clock.now()
        self._position = answer.page.position
        changes = answer.page.changes
        self._received.decisions += changes.decisions
        self._received.votes += changes.votes
        self._received.interventions += changes.interventions
        if changes != Changes():
            self._has_changes.set()

    # -- operations of nodes with the database ----------------------------------------------------------------

    async def record(self, reports: Sequence[AgentReport]) -> tuple[Membership, Sequence[StoredReport]]:
        raise NotImplementedError

    async def tally(
        self,
        node: str,
        shards: Collection[int] | None = None,
        monitors: Collection[str] | None = None,
        after: str = "",
    ) -> Tally:
        del node, shards, monitors, after
        membership = self._membership
        return Tally(membership.live_locations, membership.known_locations, is_stale=True)

    async def decide(self, node: str, decisions: Sequence[NewDecision]) -> frozenset[str]:
        del node, decisions
        return frozenset()

    async def claim(
        self, node: str, notifiers: Collection[str], limit: int, others: Collection[str] = ()
    ) -> Sequence[ClaimedNotification]:
        del node, notifiers, limit, others
        return ()

    async def renew(self, node: str, ids: Collection[str]) -> Mapping[str, AssignedMessage | None]:
        del node, ids
        return {}

    async def assign_message(
        self, node: str, before: Mapping[str, str | None], message: AssignedMessage
    ) -> bool:
        del node, before, message
        return False

    async def release(self, node: str, ids: Collection[str]) -> None:
        """Do nothing: an agent claims nothing."""

    async def leave(self, notifiers: Collection[str]) -> None:
        """Do nothing: no notifier is assigned to an agent."""

    async def finish(self, node: str, results: Sequence[DeliveryResult]) -> None:
        """Do nothing: an agent delivers nothing for the cluster."""

    async def write_intervention(self, intervention: Intervention) -> None:
        """Do nothing: the interventions of users of an agent apply to this host only."""

    async def publish_monitors(self, node: str, shards: Sequence[NodeShard]) -> None:
        """Do nothing: an agent decides nothing, and counts as having all monitors that its location is to check."""

    async def link_key(self) -> bytes | None:
        """Return None: the links of an agent are about its host, which serves them."""
        return None

    async def prune(self, keep_days: float) -> int:
        del keep_days
        return 0

    async def write_configuration(self, node: str, digest: str, sections: Mapping[str, str]) -> None:
        """Do nothing: the sections of an agent are not compared."""

    async def differences(self, node: str) -> Mapping[str, ConfigurationDifferences]:
        del node
        return {}

    async def configured(self, keys: Collection[str]) -> frozenset[str] | None:
        del keys
        return None

    async def overview(self, node: str = "") -> ClusterOverview:
        del node
        return ClusterOverview(self._membership, 0, "", 0.0)


def _problem(outcome: HttpExchange) -> str:
    """Return the status of a response, with the text of the hub."""
    detail = ""
    with suppress(ValueError, AttributeError, RecursionError):
        detail = str(json.loads(outcome.body or b"").get("detail") or "")
    shown = shortened(" ".join(plain(detail).split()), 300)
    return f"HTTP {outcome.status}" + (f": {shown}" if shown else "")
