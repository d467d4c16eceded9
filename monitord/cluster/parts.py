"""The parts of a node that the dispatcher, the sinks and the alerts use, complete before these are constructed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitord.alerts.outbox import SaveRecord
from monitord.clock import Clock
from monitord.cluster.agent import HubStore
from monitord.cluster.alone import AloneMode, NodeAlertScope
from monitord.cluster.assignment import Assignment
from monitord.cluster.delivering import Claims
from monitord.cluster.heartbeats import SharedHeartbeats
from monitord.cluster.host_monitors import HostMonitorSink
from monitord.cluster.publishing import PublishedInterventions
from monitord.cluster.settings import ClusterSettings
from monitord.cluster.spool import VoteSpool
from monitord.cluster.store import ClusterStore
from monitord.cluster.votes import VoteSink
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink


@dataclass(frozen=True, slots=True)
class ClusterParts:
    """`assignment` is the placement of the dispatcher, and `scope` that of the alerts.

    `agent`: the same object as `database` if this node is an agent, which reports to hubs; otherwise None.
    """

    database: ClusterStore
    assignment: Assignment
    votes: VoteSink
    host: HostMonitorSink
    heartbeats: SharedHeartbeats
    alone: AloneMode
    claims: Claims
    scope: NodeAlertScope
    interventions: PublishedInterventions
    agent: HubStore | None = None

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Votes of this location, monitors of this host, and the pauses of heartbeat monitors."""
        return self.votes, self.host, self.heartbeats

    @classmethod
    def of(
        cls,
        settings: ClusterSettings,
        database: ClusterStore,
        spool: VoteSpool | None,
        registry: Registry,
        clock: Clock,
        save: SaveRecord,
        records: Mapping[str, Mapping[str, Any]],
    ) -> "ClusterParts":
        """Construct all parts. `spool`: that of an agent. `records` were saved by an earlier run, with `save`."""
        is_agent = isinstance(database, HubStore)
        assignment = Assignment(registry, settings.node, settings.location, is_agent=is_agent)
        alone = AloneMode(assignment, save, records)
        claims = Claims(database, settings.node, clock)
        return cls(
            database,
            assignment,
            VoteSink(assignment, clock, spool),
            HostMonitorSink(assignment, registry),
            SharedHeartbeats(assignment, alone, clock, save, records, is_agent=is_agent),
            alone,
            claims,
            NodeAlertScope(assignment, alone, claims),
            PublishedInterventions(database),
            database if isinstance(database, HubStore) else None,
        )
