"""The knowledge of a node about its cluster at one moment, for API, pages, commands and metrics.

`ClusterNode.view` composes it from the memory of the node, without the database, so that a request never waits.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitord.cluster.model import ConfigurationDifferences, HostMonitor, Membership, Vote


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """The database as the node has last seen it. None: not known yet.

    `error`: why it does not respond, in one line without a password. `unavailable_since`: the beginning of the outage,
    by the clock of the node. `latency_s`: duration of the last transaction of a heartbeat. `queued_notifications`: of
    the whole cluster, not delivered yet. `server_version`: as the server names it, such as "15.8".
    """

    is_available: bool = False
    error: str | None = None
    unavailable_since: datetime | None = None
    latency_s: float | None = None
    server_version: str | None = None
    schema_version: int | None = None
    queued_notifications: int | None = None


@dataclass(frozen=True, slots=True)
class HubStatus:
    """A hub of an agent. `is_current`: reports are sent to it. `error`: of the last report; None: it was accepted."""

    url: str
    is_current: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class AgentView:
    """The reports of an agent. `acknowledged`: the number of the last stored report, at `acknowledged_at`.

    `spooled_votes`: the changes that are not acknowledged yet. `spooled_heartbeats`: the monitors with heartbeats of
    their jobs that are not.
    """

    hubs: tuple[HubStatus, ...]
    acknowledged: int = 0
    acknowledged_at: datetime | None = None
    spooled_votes: int = 0
    spooled_heartbeats: int = 0


@dataclass(frozen=True, slots=True)
class ReportCounters:
    """The reports that this node has received as a hub since its start.

    `repeated`: were stored before. `rejected`: were not stored, because of the database or the name of the agent.
    """

    stored: int = 0
    repeated: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class ClusterCounters:
    """Totals since the start of the daemon.

    `decisions`: made by this node. `decisions_lost`: another node has decided the same at the same time.
    `notifications_claimed`: for delivery by this node.
    """

    decisions: int = 0
    decisions_lost: int = 0
    notifications_claimed: int = 0


@dataclass(frozen=True, slots=True)
class UnknownLocation:
    """A location without nodes, and the shared monitors and notifiers whose `locations` contain it."""

    name: str
    monitors: tuple[str, ...]
    notifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster as one node sees it.

    `node` and `location`: of this node. `votes`: by monitor and location, including locations that are not live. The
    inner mapping of a monitor is replaced when one of its votes changes, never edited: readers keep what they have
    composed as long as it is the same object. `shared`: the names of the monitors that the cluster decides, with or
    without a vote. `host_monitors`: those of the hosts of all nodes, by node and name; `host_revision` counts their
    changes. `differences`: by node, of those whose configuration differs from that of this node and is known.
    `membership_at`, `membership_age_s`: when `membership` was read, and the time since; the heartbeats in it are older
    by this.
    `is_settled`: the set of live locations has not changed for a few seconds (rule 2). `alone_since`: this node alerts
    without the cluster, since then; None: it does not. `agent`: this node has no database, and reports to hubs.
    """

    node: str
    location: str
    membership: Membership = Membership()  # noqa: RUF009 - frozen
    membership_age_s: float = 0.0
    membership_at: datetime | None = None
    is_settled: bool = False
    alone_since: datetime | None = None
    votes: Mapping[str, Mapping[str, Vote]] = field(default_factory=dict)
    host_monitors: Mapping[str, Mapping[str, HostMonitor]] = field(default_factory=dict)
    host_revision: int = 0
    shared: Collection[str] = frozenset()
    unknown_locations: tuple[UnknownLocation, ...] = ()
    differences: Mapping[str, ConfigurationDifferences] = field(default_factory=dict)
    database: DatabaseView = DatabaseView()
    counters: ClusterCounters = ClusterCounters()
    reports: ReportCounters = ReportCounters()
    agent: AgentView | None = None
