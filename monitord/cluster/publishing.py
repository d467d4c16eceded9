"""The interventions of users of all nodes. Those of this node are queued until they are in the database."""

from collections.abc import Sequence

from monitord.cluster.model import Intervention, InterventionKind
from monitord.cluster.store import ClusterStore

MAX_QUEUED = 20_000


class PublishedInterventions:
    """The newest intervention on each monitor, of each kind, and on each silence."""

    def __init__(self, database: ClusterStore) -> None:
        self._database = database
        self._queued: dict[tuple[InterventionKind, str], Intervention] = {}
        self._newest: dict[InterventionKind, dict[str, Intervention]] = {
            InterventionKind.PAUSE: {},
            InterventionKind.ACKNOWLEDGEMENT: {},
        }

    def newest(self, kind: InterventionKind) -> Sequence[Intervention]:
        """Return the newest pauses or acknowledgements, even of monitors that this node does not have yet."""
        return list(self._newest[kind].values())

    def note(self, intervention: Intervention) -> None:
        """Record an intervention from the database, or of this node, as the newest intervention."""
        if intervention.kind in self._newest:
            self._newest[intervention.kind][intervention.key] = intervention

    def publish(self, intervention: Intervention) -> None:
        """Queue an intervention for the database."""
        self.note(intervention)
        self._queued[intervention.kind, intervention.key] = intervention
        while len(self._queued) > MAX_QUEUED:
            del self._queued[next(iter(self._queued))]

    def is_outdated(self, intervention: Intervention) -> bool:
        """Whether a newer intervention of this node is about to replace one from the database."""
        return (intervention.kind, intervention.key) in self._queued

    async def write(self) -> None:
        """Write the queued interventions to the database. Raises ClusterError."""
        for key, intervention in list(self._queued.items()):
            await self._database.write_intervention(intervention)
            if self._queued.get(key) is intervention:
                del self._queued[key]
