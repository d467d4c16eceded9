"""The database of a cluster in memory, with the semantics of `monitord.cluster.database.ClusterDatabase`.

`FakeServer` has the tables, on the clock of the test; each node has a `FakeDatabase`. Both can be made unavailable.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitord.clock import Clock
from monitord.cluster.merging import merged
from monitord.cluster.model import (
    CONCLUSIVE,
    LIVE_S,
    AgentReport,
    AssignedMessage,
    Candidate,
    Changes,
    ClaimedNotification,
    ClusterDecision,
    ClusterOverview,
    ConfigurationDifferences,
    DeliveryResult,
    HostMonitor,
    HostReport,
    Intervention,
    Membership,
    NewDecision,
    Node,
    NodeShard,
    ReportOutcome,
    SharedHeartbeat,
    StoredReport,
    Tally,
    Vote,
)
from monitord.cluster.sharding import shard_of
from monitord.errors import ClusterError, NodeNameError
from monitord.model import State
from monitord.monitors.heartbeat.shared import HeartbeatFacts, facts_json, facts_of
from monitord.monitors.heartbeat.shared import merged as merged_facts

_SESSIONS = {"beat": "heart", "renew": "claims", "assign_message": "claims"}
_ROUND_TRIPS = {"beat": 7, "claim": 4}

CLAIM_S = 10.0
OVERDUE_S = 15.0


@dataclass
class Row:
    """A notification. `claims`: the nodes that have claimed it, in order. `is_left`: any node may claim it."""

    id: str
    notifier: str
    body: Mapping[str, Any]
    copy_to: str | None
    created_at_s: float
    claimed_by: str | None = None
    claimed_until_s: float = 0.0
    status: str | None = None
    delivered_by: str | None = None
    message: AssignedMessage | None = None
    claims: list[str] = field(default_factory=list)
    is_left: bool = False

    @property
    def message_key(self) -> str | None:
        return None if self.message is None else self.message.key

    @property
    def message_at(self) -> datetime | None:
        return None if self.message is None else self.message.at

    @property
    def monitor(self) -> object:
        return self.body["monitor"]


class FakeServer:
    """The tables. `transitions`: monitor and state of each decision, in order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.is_down = False
        self.nodes: dict[str, tuple[Node, float]] = {}
        self.configurations: dict[str, tuple[str, dict[str, str]]] = {}
        self.votes: dict[tuple[str, str], Vote] = {}
        self.decisions: dict[str, ClusterDecision] = {}
        self.notifications: dict[str, Row] = {}
        self.interventions: dict[tuple[str, str], Intervention] = {}
        self.host_monitors: dict[tuple[str, str], HostMonitor] = {}
        self.heartbeats: dict[str, HeartbeatFacts] = {}
        self.absences: dict[str, tuple[float, float]] = {}
        self.node_shards: dict[tuple[str, int], NodeShard] = {}
        self.link_key = bytes(32)
        self.transitions: list[tuple[str, str]] = []
        self.decided_by: list[str] = []
        self.decided_at_once: list[int] = []
        self.clients: list[FakeDatabase] = []
        self.runs: dict[str, FakeDatabase] = {}
        self.reports: dict[str, tuple[str, int]] = {}  # run and number

    def wake(self) -> None:
        for client in self.clients:
            client.woken.set()

    def live_locations(self) -> frozenset[str]:
        return Membership(self.members()).live_locations

    def members(self) -> tuple[Node, ...]:
        now_s = self.clock.monotonic_s()
        members = []
        for name, (node, seen_s) in self.nodes.items():
            absent_s, back_s = self.absences.get(name, (None, None))
            members.append(
                replace(
                    node,
                    seen_ago_s=now_s - seen_s,
                    absent_ago_s=None if absent_s is None else now_s - absent_s,
                    back_ago_s=None if back_s is None else now_s - back_s,
                )
            )
        return tuple(members)

    def is_fresh(self, name: str) -> bool:
        return any(node.name == name and node.seen_ago_s <= LIVE_S for node in self.members())

    def is_live(self, name: str) -> bool:
        return any(node.name == name and node.is_live for node in self.members())


class FakeDatabase:
    """The operations of one node, which cannot reach the server while it `is_disconnected`.

    `hides_others`: it sees no other node. `disconnects_at`: the operation and whether it takes effect before the
    connection is lost permanently. `bug`: raised by heartbeats; `tally_bug`: by decisions. `round_trip_s`: the
    duration of a statement; those of a session wait for each other. `holds_answers`: the node is stopped, so that it
    does not read the answer to a heartbeat until this is set.
    """

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.is_disconnected = False
        self.hides_others = False
        self.disconnects_at: tuple[str, bool] | None = None
        self.bug: Exception | None = None
        self.tally_bug: Exception | None = None
        self.round_trip_s = 0.0
        self.holds_answers: asyncio.Event | None = None
        self._sessions: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.woken = asyncio.Event()
        self._seen: Changes | None = None
        server.clients.append(self)

    @property
    def is_connected(self) -> bool:
        return not (self.is_disconnected or self.server.is_down)

    async def _reach(self, operation: str = "") -> float:
        """Take a moment, as a network does. Return the time."""
        if self.round_trip_s:
            async with self._sessions[_SESSIONS.get(operation, "work")]:
                await asyncio.sleep(self.round_trip_s * _ROUND_TRIPS.get(operation, 1))
        await asyncio.sleep(0.001)
        if not self.is_connected:
            self._seen = None
            raise ClusterError("connection refused")
        return self.server.clock.monotonic_s()

    async def _begin(self, operation: str) -> float:
        now_s = await self._reach(operation)
        if self.disconnects_at == (operation, False):
            self._disconnect()
        return now_s

    def _end(self, operation: str) -> None:
        if self.disconnects_at == (operation, True):
            self._disconnect()

    def _disconnect(self) -> None:
        self.is_disconnected, self.disconnects_at = True, None
        raise ClusterError("the server closed the connection")

    async def open(self) -> None:
        await self._reach()

    async def close(self) -> None:
        if self in self.server.clients:
            self.server.clients.remove(self)

    async def beat(
        self,
        node: Node,
        votes: Sequence[Vote],
        host: HostReport | None = None,
        heartbeats: Sequence[SharedHeartbeat] = (),
    ) -> Membership:
        now_s = await self._reach("beat")
        if self.bug is not None:
            raise self.bug
        server = self.server
        if server.is_live(node.name) and server.runs.get(node.name) is not self:
            raise NodeNameError(f"another daemon takes part in the cluster as the node {node.name}")
        was_fresh = server.is_fresh(node.name)
        if node.name in server.nodes and not (was_fresh and server.runs.get(node.name) is self):
            server.absences[node.name] = server.nodes[node.name][1], now_s
        server.runs[node.name] = self
        server.nodes[node.name] = node, now_s
        self._vote(node, votes, was_fresh=was_fresh)
        host = host or HostReport()
        names = [each.monitor for each in host.monitors] if host.is_complete else None
        self._report_host(node.name, host.monitors, names)
        self._receive(heartbeats)
        members = tuple(each for each in server.members() if each.name == node.name or not self.hides_others)
        if self.holds_answers is not None:
            await self.holds_answers.wait()
        return Membership(members, was_stale=not was_fresh)

    async def record(self, reports: Sequence[AgentReport]) -> tuple[Membership, Sequence[StoredReport]]:
        now_s = await self._begin("record")
        server = self.server
        outcomes = []
        for report in reports:
            node, name = report.node, report.node.name
            known = server.nodes.get(name)
            if (
                known is not None
                and report.permitted_locations
                and known[0].location not in report.permitted_locations
            ):
                outcomes.append(StoredReport(ReportOutcome.FORBIDDEN))
                continue
            run, number = server.reports.get(name, ("", 0))
            if run == report.run and report.number <= number:
                outcomes.append(StoredReport(ReportOutcome.REPEATED, number))
                continue
            if run != report.run and server.is_live(name):
                outcomes.append(StoredReport(ReportOutcome.CONFLICT))
                continue
            was_fresh = server.is_fresh(name)
            if report.is_complete and name in server.nodes:
                known_run, _ = server.reports.get(name, ("", 0))
                if not (was_fresh and known_run == report.run):
                    server.absences[name] = server.nodes[name][1], now_s
            server.reports[name] = report.run, report.number
            if report.is_complete:
                server.nodes[name] = node, now_s
            elif name not in server.nodes:
                server.nodes[name] = replace(node, is_ready=False), now_s
            self._vote(node, report.votes, was_fresh=was_fresh)
            self._report_host(name, report.host_monitors, report.host_names)
            self._receive(report.heartbeats)
            outcomes.append(StoredReport(ReportOutcome.STORED, report.number, was_stale=not was_fresh))
        self._end("record")
        return Membership(server.members()), outcomes

    def _receive(self, heartbeats: Sequence[SharedHeartbeat]) -> None:
        server = self.server
        for received in heartbeats:
            facts = facts_of(facts_json(received.facts))
            known = server.heartbeats.get(received.monitor, facts)
            server.heartbeats[received.monitor] = merged_facts(known, facts)
        if heartbeats:
            server.wake()

    def _report_host(self, node: str, monitors: Sequence[HostMonitor], names: Sequence[str] | None) -> None:
        self.server.host_monitors.update({(node, each.monitor): each for each in monitors})
        for key, each in self.server.host_monitors.items():
            if names is not None and each.node == node and each.monitor not in names:
                self.server.host_monitors[key] = replace(each, state=None)
        if monitors:
            self.server.wake()

    def _vote(self, node: Node, votes: Sequence[Vote], *, was_fresh: bool) -> None:
        server = self.server
        for vote in votes:
            before = server.votes.get((vote.monitor, vote.location))
            replaces = (
                was_fresh and node.is_ready and (before is None or vote.checked_at >= before.checked_at)
            )
            if replaces or before is None or before.node == node.name or not server.is_live(before.node):
                server.votes[vote.monitor, vote.location] = vote
        if votes:
            server.wake()

    async def publish_monitors(self, node: str, shards: Sequence[NodeShard]) -> None:
        await self._reach()
        if shards and self.holds_answers is not None:
            await self.holds_answers.wait()
        if self._has_name(node):
            self.server.node_shards.update({(node, each.shard): each for each in shards})
            if shards:
                self.server.wake()

    async def tally(
        self,
        node: str,
        shards: Collection[int] | None = None,
        monitors: Collection[str] | None = None,
        after: str = "",
    ) -> Tally:
        await self._reach()
        if self.tally_bug is not None:
            raise self.tally_bug
        server, live = self.server, self.server.live_locations()
        names = {name for name, location in server.votes if location in live}
        candidates = []
        for name in sorted(names):
            if (shards is not None and shard_of(name) not in shards) or name <= after:
                continue
            if monitors is not None and name not in monitors:
                continue
            votes = tuple(
                vote
                for (monitor, location), vote in sorted(server.votes.items())
                if monitor == name and location in live and vote.state in CONCLUSIVE
            )
            decision = server.decisions.get(name)
            if any(decision is None or vote.state is not decision.state for vote in votes):
                candidates.append(Candidate(name, votes, decision))
        known = Membership(server.members()).known_locations
        is_stale = not server.is_live(node) or not self._has_name(node)
        return Tally(live, known, is_stale, tuple(candidates))

    async def decide(self, node: str, decisions: Sequence[NewDecision]) -> frozenset[str]:
        now_s = await self._reach()
        server = self.server
        server.decided_at_once.append(len(decisions))
        decided: set[str] = set()
        for new in decisions:
            after = new.after
            current = server.decisions.get(after.monitor)
            version = 0 if current is None else current.version
            if version != (0 if new.before is None else new.before.version) or not (
                server.is_live(node) and self._has_name(node)
            ):
                continue
            if current is None or current.state is not after.state:
                server.transitions.append((after.monitor, after.state.value))
            server.decided_by.append(node)
            server.decisions[after.monitor] = replace(after, version=version + 1)
            decided.add(after.monitor)
            if after.state is State.PENDING:
                server.heartbeats.pop(after.monitor, None)
            for notification, copy_to in new.notifications:
                server.notifications.setdefault(
                    notification.id,
                    Row(notification.id, notification.notifier, notification.as_json(), copy_to, now_s),
                )
        if decided:
            server.wake()
        return frozenset(decided)

    async def changes(self) -> Changes:
        await self._reach()
        server = self.server
        now = Changes(
            tuple(server.decisions.values()),
            tuple(server.votes.values()),
            tuple(server.interventions.values()),
            tuple(server.host_monitors.values()),
            tuple(SharedHeartbeat(name, facts) for name, facts in server.heartbeats.items()),
            tuple(server.node_shards.values()),
        )
        before, self._seen = self._seen or Changes(), now
        seen = set(map(id, before.node_shards))  # there are thousands, which are never edited
        return Changes(
            tuple(decision for decision in now.decisions if decision not in before.decisions),
            tuple(vote for vote in now.votes if vote not in before.votes),
            tuple(each for each in now.interventions if each not in before.interventions),
            tuple(each for each in now.host_monitors if each not in before.host_monitors),
            tuple(each for each in now.heartbeats if each not in before.heartbeats),
            tuple(each for each in now.node_shards if id(each) not in seen),
        )

    async def wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.woken.wait()
        self.woken.clear()

    async def claim(
        self, node: str, notifiers: Collection[str], limit: int, others: Collection[str] = ()
    ) -> Sequence[ClaimedNotification]:
        now_s = await self._begin("claim")

        def is_elsewhere(row: Row) -> bool:
            return row.claimed_by not in {None, node} and row.claimed_until_s >= now_s

        rows: list[Row] = []
        for row in sorted(self._open(), key=lambda row: (row.created_at_s, row.id)):
            is_for_node = row.notifier in notifiers or (
                row.notifier in others and (row.claims or row.is_left or now_s - row.created_at_s > OVERDUE_S)
            )
            is_free = (row.claimed_by is None or row.claimed_until_s < now_s) and self._has_name(node)
            if (
                is_for_node
                and is_free
                and not any(map(is_elsewhere, self._earlier(row)))
                and len(rows) < limit
            ):
                rows.append(row)
        messages = {(row.notifier, row.message_key) for row in rows if row.message_key is not None}
        rows += [
            row
            for row in self._open()
            if (row.notifier, row.message_key) in messages and row not in rows and not is_elsewhere(row)
        ]
        for row in rows:
            row.claimed_by, row.claimed_until_s = node, now_s + CLAIM_S
            row.claims.append(node)
        self._end("claim")
        return [
            ClaimedNotification(row.id, row.body, row.copy_to, row.message_key, row.message_at)
            for row in rows
        ]

    async def renew(self, node: str, ids: Collection[str]) -> Mapping[str, AssignedMessage | None]:
        now_s = await self._begin("renew")
        rows = [row for row in self._rows(ids) if self._is_claimed(row, node)]
        for row in rows:
            row.claimed_until_s = now_s + CLAIM_S
        self._end("renew")
        return {row.id: row.message for row in rows}

    async def assign_message(
        self, node: str, before: Mapping[str, str | None], message: AssignedMessage
    ) -> bool:
        now_s = await self._begin("assign_message")
        rows = [row for row in self._rows(before) if self._is_claimed(row, node)]
        if len(rows) != len(before) or any(row.message_key != before[row.id] for row in rows):
            return False
        for row in rows:
            row.message, row.claimed_until_s = message, now_s + CLAIM_S
        self._end("assign_message")
        return True

    async def release(self, node: str, ids: Collection[str]) -> None:
        await self._begin("release")
        for row in self._rows(ids):
            if self._is_claimed(row, node):
                row.claimed_by = None
        self._end("release")

    async def leave(self, notifiers: Collection[str]) -> None:
        await self._begin("leave")
        for row in self._open():
            row.is_left |= row.notifier in notifiers
        self._end("leave")

    async def finish(self, node: str, results: Sequence[DeliveryResult]) -> None:
        await self._begin("finish")
        for result in results:
            for row in self._rows([result.id]):
                if row.status is None and (row.claimed_by == node or result.status == "sent"):
                    row.status, row.delivered_by = result.status, result.delivered_by
        self._end("finish")

    def _has_name(self, node: str) -> bool:
        return self.server.runs.get(node, self) is self

    def _is_claimed(self, row: Row, node: str) -> bool:
        return row.claimed_by == node and row.status is None and self._has_name(node)

    def _open(self) -> list[Row]:
        return [row for row in self.server.notifications.values() if row.status is None]

    def _earlier(self, row: Row) -> list[Row]:
        """Return the earlier notifications about the monitor to this notifier that have not been delivered."""
        return [
            other
            for other in self._open()
            if (other.notifier, other.monitor) == (row.notifier, row.monitor)
            and (other.created_at_s, other.id) < (row.created_at_s, row.id)
        ]

    def _rows(self, ids: Collection[str]) -> list[Row]:
        return [self.server.notifications[key] for key in ids if key in self.server.notifications]

    async def write_intervention(self, intervention: Intervention) -> None:
        await self._reach()
        self.server.interventions[intervention.kind.value, intervention.key] = intervention
        self.server.wake()

    async def merge(
        self, node: str, alerts: Mapping[str, Mapping[str, Any] | None]
    ) -> Mapping[str, Mapping[str, Any] | None]:
        await self._reach()
        if not self.server.is_fresh(node):
            raise ClusterError("no heartbeat")
        results = {}
        for name, local in alerts.items():
            decision = self.server.decisions.get(name)
            if decision is None:
                continue
            results[name] = alert = merged(decision.alert, local)
            if alert is not decision.alert:
                self.server.decisions[name] = replace(decision, alert=alert, version=decision.version + 1)
        self.server.wake()
        return results

    async def link_key(self) -> bytes | None:
        await self._reach()
        return self.server.link_key

    async def prune(self, keep_days: float) -> int:
        del keep_days
        await self._reach()
        return 0

    async def write_configuration(self, node: str, digest: str, sections: Mapping[str, str]) -> None:
        await self._reach()
        self.server.configurations[node] = digest, dict(sections)

    async def differences(self, node: str) -> Mapping[str, ConfigurationDifferences]:
        await self._reach()
        known, own = self._sections(), self._sections().get(node, {})
        found = {}
        for name, sections in known.items():
            missing = tuple(sorted(own.keys() - sections.keys()))
            added = tuple(sorted(sections.keys() - own.keys()))
            changed = tuple(sorted(key for key in own.keys() & sections.keys() if own[key] != sections[key]))
            if total := len(missing) + len(added) + len(changed):
                found[name] = ConfigurationDifferences(missing, added, changed, total)
        return found

    async def configured(self, keys: Collection[str]) -> frozenset[str] | None:
        await self._reach()
        known = self._sections()
        if any(node.is_recent and node.name not in known for node in self.server.members()):
            return None
        return frozenset(key for key in keys if any(key in sections for sections in known.values()))

    def _sections(self) -> dict[str, dict[str, str]]:
        """The sections of the nodes with a recent heartbeat, if they are those of the heartbeat."""
        stored = self.server.configurations
        return {
            node.name: stored[node.name][1]
            for node in self.server.members()
            if node.is_recent and stored.get(node.name, (None, {}))[0] == node.configuration
        }

    async def overview(self, node: str = "") -> ClusterOverview:
        await self._reach()
        queued = sum(row.status is None for row in self.server.notifications.values())
        digest, _ = self.server.configurations.get(node, (None, {}))
        return ClusterOverview(
            Membership(self.server.members()),
            1,
            "15.8",
            0.001,
            undelivered=queued,
            configuration=digest,
        )
