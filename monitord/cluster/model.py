"""The values of a cluster, all frozen: node, vote, decision, intervention.

Each node runs the checks of its location. The state that follows from the checks of a location is its *vote*; the state
that follows from all votes is the *decision*. Times of nodes are compared by the clock of the database only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Literal

from monitord.model import Reason, State
from monitord.monitors.cluster_facts import MAX_DECISION_LAG_S
from monitord.monitors.heartbeat.shared import HeartbeatFacts
from monitord.notifiers import Notification

LIVE_S = 10.0
"""A node is live if its last heartbeat is at most this old, in seconds, by the clock of the database."""

Quorum = Literal["majority", "any", "all"] | int
"""How many of the voters must agree on a problem: see `quorum.needed`."""

CONCLUSIVE = frozenset({State.UP, State.DEGRADED, State.DOWN, State.UNREACHABLE})
"""The states that are a vote."""


@dataclass(frozen=True, slots=True)
class Vote:
    """The state of a monitor at one location.

    `since`: the start of the state, by the clock of the node that has checked it.
    """

    monitor: str
    location: str
    state: State
    since: datetime
    reason: Reason
    detail: str
    excerpt: str
    node: str
    checked_at: datetime


class Role(Enum):
    """A node uses the database: it checks, decides and delivers. An agent reports to a hub, and only checks."""

    NODE = "node"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Node:
    """A daemon of the cluster, as its last heartbeat has described it.

    `configuration`: a digest of its monitors and routes. `lateness_s`: how late its checks start. `seen_ago_s`: age of
    the heartbeat. `time_offset_s`: its clock minus that of the database. `shares_checks`: it takes part in the checks
    of its location; an agent without shared monitors does not, and its location is none of the voters.
    `decision_lag_s`: time since it has compared all votes with its decisions. `is_isolated`: its host has probably
    lost connectivity.
    `absent_ago_s`, `back_ago_s`: when it was absent the last time, stopped or without the database; None: never.
    `follows_decisions`: it has shared monitors, which it shows even if it does not check them. Not stored.
    """

    name: str
    location: str
    is_ready: bool
    version: str
    configuration: str
    lateness_s: float = 0.0
    checked_monitors: int = 0
    seen_ago_s: float = 0.0
    time_offset_s: float = 0.0
    role: Role = Role.NODE
    shares_checks: bool = True
    decision_lag_s: float = 0.0
    is_isolated: bool = False
    absent_ago_s: float | None = None
    back_ago_s: float | None = None
    follows_decisions: bool = True

    @property
    def is_recent(self) -> bool:
        """Whether its heartbeat is recent: it is live, or it is starting."""
        return self.seen_ago_s <= LIVE_S

    @property
    def is_live(self) -> bool:
        """Whether it is ready and its heartbeat is recent."""
        return self.is_ready and self.is_recent


@dataclass(frozen=True, slots=True)
class Membership:
    """All known nodes.

    `was_stale`: the previous heartbeat of this node was older than `LIVE_S`, so that the votes that live nodes have on
    the same monitors at its location were kept. The node queues its votes again when it knows what it checks.
    """

    nodes: tuple[Node, ...] = ()
    was_stale: bool = False

    @property
    def live_locations(self) -> frozenset[str]:
        """The locations with a live node that checks shared monitors."""
        return frozenset(node.location for node in self.nodes if node.is_live and node.shares_checks)

    @property
    def known_locations(self) -> frozenset[str]:
        """The locations of all known nodes that check shared monitors."""
        return frozenset(node.location for node in self.nodes if node.shares_checks)

    def live_nodes(self) -> tuple[str, ...]:
        """The names of all live nodes and agents."""
        return tuple(node.name for node in self.nodes if node.is_live)

    def deciding_nodes(self) -> tuple[str, ...]:
        """The names of the live nodes with access to the database, among which the decisions are divided.

        A node whose decisions fail or take too long is not among them, unless this applies to all.
        """
        able = [node for node in self.nodes if node.is_live and node.role is Role.NODE]
        prompt = [node for node in able if node.decision_lag_s <= MAX_DECISION_LAG_S]
        return tuple(node.name for node in prompt or able)

    def checking_nodes(self, location: str, *, includes_agents: bool = True) -> tuple[str, ...]:
        """The names of the live nodes, and of the live agents, that share the checks of a location."""
        return tuple(
            node.name
            for node in self.nodes
            if node.is_live
            and node.shares_checks
            and node.location == location
            and (includes_agents or node.role is Role.NODE)
        )


@dataclass(frozen=True, slots=True)
class HostMonitor:
    """A monitor that belongs to the host of a node, as this node has last reported it. `state` None: it was removed.

    `reason` and `detail` are those of the result that has changed the state. `acknowledged_by`: who has acknowledged
    its incident. `maintenance`: the maintenance window that is open for it.
    """

    node: str
    monitor: str
    type_name: str
    tags: tuple[str, ...]
    state: State | None
    since: datetime | None
    reason: Reason
    detail: str
    acknowledged_by: str | None = None
    maintenance: str | None = None


@dataclass(frozen=True, slots=True)
class HostReport:
    """The monitors of the host of one node that have changed. `is_complete`: it has no others."""

    monitors: tuple[HostMonitor, ...] = ()
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class AgentReport:
    """The heartbeat and the votes of an agent. `number` counts the reports of the `run` of an agent from 1.

    `is_complete`: with it, the agent has reported all votes that it had queued. The others are parts of a long queue,
    and no heartbeats. `host_monitors`: those of the host of the agent that have changed; `host_names`: of all its
    monitors, so that others were removed; None: there may be others. `heartbeats`: the signals of jobs that it has
    received. `permitted_locations`: those of the token with which it was sent; empty: all.
    """

    node: Node
    run: str
    number: int
    votes: Sequence[Vote] = ()
    is_complete: bool = True
    host_monitors: Sequence[HostMonitor] = ()
    host_names: Sequence[str] | None = None
    heartbeats: Sequence["SharedHeartbeat"] = ()
    permitted_locations: Sequence[str] = ()


class ReportOutcome(Enum):
    """The result of writing a report.

    `CONFLICT`: another daemon is live under the name of the agent. `FORBIDDEN`: the name belongs to a node of a
    location for which the token of the report is not permitted; nodes that do not run keep their names.
    """

    STORED = "stored"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The outcome of a report. `acknowledged`: the number of the last report of the run that is stored.

    `was_stale`: as in `Membership`.
    """

    outcome: ReportOutcome
    acknowledged: int = 0
    was_stale: bool = False


@dataclass(frozen=True, slots=True)
class ClusterDecision:
    """The state that follows from the votes. `version` counts the changes; `alert`: the record of its alert, if any.

    `changes`: when the state has changed lately, and `is_flapping`: whether it has too often (`flapping`).

    `counted_at`: when the votes for a new decision were counted, by the clock of the database; the decision is not
    stored much later, when they may be out of date.
    """

    monitor: str
    state: State
    since: datetime
    reason: Reason
    detail: str
    version: int = 0
    alert: Mapping[str, Any] | None = None
    changes: tuple[datetime, ...] = ()
    is_flapping: bool = False
    counted_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision that is to replace `before`, with its notifications, each with its `copy_to` (`alerts.outbox`).

    `before` None: it is the first decision on the monitor.
    """

    before: ClusterDecision | None
    after: ClusterDecision
    notifications: Sequence[tuple[Notification, str | None]] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A monitor that may need another decision, with the conclusive votes of the live locations."""

    monitor: str
    votes: tuple[Vote, ...]
    decision: ClusterDecision | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Votes and live locations in one snapshot of the database.

    `is_stale`: the node that asks is not live, so that it must not decide. `counted_at`: by the clock of the database.
    `next_after`: there may be more candidates, after this name; None: these are all.
    """

    live_locations: frozenset[str]
    known_locations: frozenset[str]
    is_stale: bool
    candidates: tuple[Candidate, ...] = ()
    counted_at: datetime | None = None
    next_after: str | None = None


@dataclass(frozen=True, slots=True)
class SharedHeartbeat:
    """The signals of the job of a heartbeat monitor that nodes have received."""

    monitor: str
    facts: HeartbeatFacts


class InterventionKind(Enum):
    PAUSE = "pause"
    ACKNOWLEDGEMENT = "acknowledgement"
    SILENCE = "silence"
    LINK_USE = "link_use"


@dataclass(frozen=True, slots=True)
class Intervention:
    """A pause, an acknowledgement, a silence, or the use of an action link.

    `key`: the monitor, or the id of the silence or of the link. `record` None: ended.
    """

    kind: InterventionKind
    key: str
    record: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class NodeShard:
    """The shared monitors that a node has in a shard, each with a hash of its settings."""

    node: str
    shard: int
    monitors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """The rows that have changed since the last poll. Rows may be repeated."""

    decisions: tuple[ClusterDecision, ...] = ()
    votes: tuple[Vote, ...] = ()
    interventions: tuple[Intervention, ...] = ()
    host_monitors: tuple[HostMonitor, ...] = ()
    heartbeats: tuple[SharedHeartbeat, ...] = ()
    node_shards: tuple[NodeShard, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimedNotification:
    """A notification that this node delivers. `body`: `Notification.as_json`. `copy_to`: see `alerts.outbox`.

    `message_key`, `message_at`: of the message in which another node has attempted it; None: none has.
    """

    id: str
    body: Mapping[str, Any] = field(default_factory=dict)
    copy_to: str | None = None
    message_key: str | None = None
    message_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AssignedMessage:
    """The message in which a notification was first attempted, or is about to be."""

    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of a claimed delivery: the last status, as in `alerts.outbox`."""

    id: str
    status: str
    response: str
    delivered_by: str


@dataclass(frozen=True, slots=True)
class ConfigurationDifferences:
    """The sections of the configuration in which a node differs from this node, by their keys: "monitors.web".

    `missing`: only this node has them. `added`: only the other node has them. `changed`: both do. These are the first
    of `total`.
    """

    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class ClusterOverview:
    """The cluster as the database describes it, for people.

    `latency_s`: the time that a statement takes, measured by this node. `undelivered`: notifications that no node has
    delivered yet; `oldest_undelivered_s`: the age of the oldest of them. `configuration`: the digest of the sections
    that this node has written (`ClusterStore.write_configuration`); None: it has not.
    """

    membership: Membership
    schema_version: int
    server_version: str
    latency_s: float
    decisions: int = 0
    undelivered: int = 0
    oldest_undelivered_s: float = 0.0
    configuration: str | None = None
