"""Monitor type `cluster`: the nodes of the cluster, and its database.

    type = "cluster"

All locations check it, and a quorum of them decides, as for any shared monitor: the loss of a node is one notification
of the rest. A check reads what the node has in memory from its last heartbeat, without the database.

| what                                                     | verdict       |
|----------------------------------------------------------|---------------|
| this node decides alone                                  | fail          |
| the database does not respond                            | inconclusive  |
| no node of a location sends heartbeats                   | fail          |
| another node sends no heartbeats                         | warn          |
| live nodes have different configurations for 10 minutes  | warn          |
| a clock, the database or the decisions of a node differ  | warn          |
|   or are late by more than the limits below              |               |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from monitord.clock import time_text
from monitord.conditions import COUNT, LATENCY, Bounds, FieldType, Vocabulary
from monitord.config import Table, check_location
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import CLUSTER, Monitor, Stopwatch
from monitord.monitors.cluster_facts import MAX_DECISION_LAG_S, ClusterFacts, NodeFacts
from monitord.text import counted, first_of, joined

CHECK_EVERY_S = 10.0
DEFAULT_GRACE_S = 30.0
SHORTEST_GRACE_S = 10.0
"""A node without a heartbeat for this time no longer has a vote (`cluster.model.LIVE_S`)."""
MAX_CLOCK_OFFSET_S = 2.0
MAX_DATABASE_LATENCY_S = 1.0
MAX_DIFFERING_S = 600.0
"""A rolling reload takes less."""
MAX_SHOWN = 5

_AGE = Bounds(least=0)
VOCABULARY = Vocabulary(
    {
        "cluster.nodes": FieldType.NUMBER,
        "cluster.stale_nodes": FieldType.NUMBER,
        "cluster.stale_locations": FieldType.NUMBER,
        "cluster.isolated_nodes": FieldType.NUMBER,
        "cluster.configurations": FieldType.NUMBER,
        "cluster.clock_offset": FieldType.DURATION,
        "cluster.decision_lag": FieldType.DURATION,
        "cluster.database_latency": FieldType.DURATION,
    },
    {
        **dict.fromkeys(
            (
                "cluster.nodes",
                "cluster.stale_nodes",
                "cluster.stale_locations",
                "cluster.isolated_nodes",
                "cluster.configurations",
            ),
            COUNT,
        ),
        "cluster.clock_offset": _AGE,
        "cluster.decision_lag": _AGE,
        "cluster.database_latency": LATENCY,
    },
)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """`grace_s`: a node without a heartbeat for this time is stale. `nodes`: their names; empty: all known nodes."""

    grace_s: float = DEFAULT_GRACE_S
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: Reason
    text: str


class ClusterMonitor(Monitor[ClusterOptions]):
    type_name: ClassVar[str] = CLUSTER
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY
    # `grace` has passed before a check fails. Latencies and offsets vary.
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=1, degrade_after=3)
    default_check_every_s: ClassVar[float] = CHECK_EVERY_S

    @classmethod
    def belongs_to_host(cls, options: ClusterOptions) -> bool:
        del options
        return False

    @classmethod
    def read_options(cls, table: Table) -> ClusterOptions:
        nodes = table.one_or_more("nodes", check_location, default=())
        return ClusterOptions(
            table.duration("grace", default=DEFAULT_GRACE_S, minimum=SHORTEST_GRACE_S),
            tuple(dict.fromkeys(nodes)),
        )

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        facts = self.tools.cluster()
        if facts is None:
            return watch.observation(Reason.CLUSTER_UNKNOWN, "this program is not a node of a cluster")
        if facts.is_alone:
            since = "" if facts.unavailable_since is None else f" since {time_text(facts.unavailable_since)}"
            detail = f"this node decides alone, because the database has not responded{since}: {facts.error}"
            return watch.observation(Reason.CLUSTER_ALONE, detail)
        if facts.database_latency_s is None:
            detail = facts.error or "no heartbeat has been written yet"
            return watch.observation(Reason.CLUSTER_UNKNOWN, f"the database is unavailable: {detail}")
        status = _Status.of(facts, self.options)
        problems = list(status.problems(self.tools.clock.now()))
        fields = status.fields()
        if not problems:
            return watch.observation(Reason.OK, status.summary, fields)
        reason = problems[0].reason
        if reason is Reason.CLUSTER_LOCATION_LOST and self.settings.up_when:
            reason = Reason.CONDITION_FAILED
        elif reason.is_warning and self.settings.degraded_when:
            reason = Reason.OK
        return watch.observation(reason, "; ".join(problem.text for problem in problems), fields)


@dataclass(frozen=True, slots=True)
class _Status:
    """The facts about the nodes that a monitor watches.

    `stale`: without a recent heartbeat. `unknown`: configured names that no node has had.
    """

    facts: ClusterFacts
    nodes: tuple[NodeFacts, ...]
    stale: tuple[NodeFacts, ...]
    unknown: tuple[str, ...]
    stale_locations: tuple[str, ...]

    @classmethod
    def of(cls, facts: ClusterFacts, options: ClusterOptions) -> "_Status":
        nodes = tuple(node for node in facts.nodes if not options.nodes or node.name in options.nodes)
        known = {node.name for node in nodes}
        has_waited = facts.watched_s > options.grace_s
        stale = tuple(node for node in nodes if node.unseen_s > options.grace_s)
        alive = {node.location for node in facts.nodes if node.unseen_s <= options.grace_s}
        return cls(
            facts,
            nodes,
            stale,
            tuple(name for name in options.nodes if has_waited and name not in known),
            tuple(sorted({node.location for node in stale} - alive)),
        )

    @property
    def live(self) -> Sequence[NodeFacts]:
        return [node for node in self.nodes if node.is_live and node not in self.stale]

    @property
    def configurations(self) -> int:
        """The number of different configurations. Nodes that are not watched count as well."""
        nodes = [node for node in self.facts.nodes if node.is_live and node.configuration is not None]
        return len({node.configuration for node in nodes})

    @property
    def clock_offset_s(self) -> float:
        return max((abs(node.clock_offset_s) for node in self.live), default=0.0)

    @property
    def decision_lag_s(self) -> float:
        return max((node.decision_lag_s for node in self.live), default=0.0)

    @property
    def summary(self) -> str:
        locations = len({node.location for node in self.nodes})
        return (
            f"{counted(len(self.nodes), 'node')} at {counted(locations, 'location')}, "
            f"a heartbeat takes {self.facts.database_latency_s or 0.0:.3f} s"
        )

    def fields(self) -> dict[str, FieldValue]:
        return {
            "cluster.nodes": len(self.nodes),
            "cluster.stale_nodes": len(self.stale) + len(self.unknown),
            "cluster.stale_locations": len(self.stale_locations),
            "cluster.isolated_nodes": sum(node.is_isolated for node in self.live),
            "cluster.configurations": self.configurations,
            "cluster.clock_offset": self.clock_offset_s,
            "cluster.decision_lag": self.decision_lag_s,
            "cluster.database_latency": self.facts.database_latency_s,
        }

    def problems(self, now: datetime) -> Iterator[_Problem]:
        """Yield what is wrong by default, the most severe problem first."""
        lost = [node for node in self.stale if node.location in self.stale_locations]
        if lost:
            yield _Problem(
                Reason.CLUSTER_LOCATION_LOST,
                f"no node at {joined(self.stale_locations)} sends heartbeats: {_lost_nodes(lost, now)}",
            )
        stale = [node for node in self.stale if node not in lost]
        if stale:
            yield _Problem(Reason.CLUSTER_NODE_LOST, f"no heartbeats from {_lost_nodes(stale, now)}")
        if self.unknown:
            names = first_of(self.unknown, MAX_SHOWN)
            yield _Problem(Reason.CLUSTER_NODE_LOST, f"no node has ever had the name {names}")
        if self.facts.differing_s > MAX_DIFFERING_S:
            yield _Problem(
                Reason.CONFIGURATIONS_DIFFER,
                f"the nodes have had {self.configurations} different configurations for 10 minutes; "
                "monitorctl cluster shows the differences",
            )
        fast = [node for node in self.live if abs(node.clock_offset_s) > MAX_CLOCK_OFFSET_S]
        if fast:
            offsets = first_of([f"{node.name} {node.clock_offset_s:+.1f} s" for node in fast], MAX_SHOWN)
            yield _Problem(Reason.CLUSTER_CLOCK_OFFSET, f"clocks differ from that of the database: {offsets}")
        latency_s = self.facts.database_latency_s or 0.0
        if latency_s > MAX_DATABASE_LATENCY_S:
            yield _Problem(Reason.CLUSTER_SLOW, f"a heartbeat takes {latency_s:.1f} s in the database")
        slow = [node for node in self.live if node.decision_lag_s > MAX_DECISION_LAG_S]
        if slow:
            lags = first_of([f"{node.name} {node.decision_lag_s:.0f} s" for node in slow], MAX_SHOWN)
            yield _Problem(Reason.CLUSTER_SLOW, f"decisions are late: {lags}")


def _lost_nodes(nodes: Sequence[NodeFacts], now: datetime) -> str:
    """ "mon3 since 2026-01-31 18:00:00 UTC" """
    return first_of(
        [f"{node.name} since {time_text(now - timedelta(seconds=node.heartbeat_age_s))}" for node in nodes],
        MAX_SHOWN,
    )
