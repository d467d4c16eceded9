"""The knowledge of a node about its cluster, for monitors of the type `cluster`. `cluster.node` provides it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

MAX_DECISION_LAG_S = 30.0
"""A live node that has not compared all votes with its decisions for longer is reported, and the others decide."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A known node of the cluster.

    `configuration` None: it need not be that of the others. `unseen_s`: for how long this node has waited for a
    heartbeat of it, at most `heartbeat_age_s`. `is_isolated`: its host has probably lost connectivity.
    """

    name: str
    location: str
    is_live: bool = True
    heartbeat_age_s: float = 0.0
    unseen_s: float = 0.0
    configuration: str | None = None
    clock_offset_s: float = 0.0
    decision_lag_s: float = 0.0
    is_isolated: bool = False


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """The cluster as one node sees it, from memory.

    `watched_s`: since when it has seen the heartbeats without an interruption. `database_latency_s`: duration of its
    last heartbeat, one transaction; None: the database does not respond. `is_alone`: it decides and notifies without
    the others. `differing_s`: for how long the configurations of live nodes have differed, 0: they are equal.
    """

    nodes: tuple[NodeFacts, ...] = ()
    watched_s: float = 0.0
    database_latency_s: float | None = None
    unavailable_since: datetime | None = None
    error: str = ""
    is_alone: bool = False
    differing_s: float = 0.0


ClusterFactsSource = Callable[[], ClusterFacts | None]
"""Returns what this node knows; None if this daemon is not a node of a cluster."""


def no_cluster_facts() -> None:
    """The facts of a daemon without [cluster]."""
