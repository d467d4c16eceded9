"""The interventions of users of this node, which are queued until they are in the database."""

from monitord.cluster.model import Intervention, InterventionKind
from monitord.cluster.store import ClusterStore

MAX_QUEUED = 20_000


class PublishedInterventions:
    """The newest intervention on each monitor, of each kind, and on each silence."""

    def __init__(self, database: ClusterStore) -> None:
        self._database = database
        self._queued: dict[tuple[InterventionKind, str], Intervention] = {}

    def publish(self, intervention: Intervention) -> None:
        """Queue an intervention for the database."""
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
