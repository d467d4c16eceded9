"""The operations on the database that a node uses: `database.ClusterDatabase` has them, with SQL and psycopg."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

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
    SharedHeartbeat,
    StoredReport,
    Tally,
    Vote,
)


class ClusterStore(Protocol):
    """See `database.ClusterDatabase`. All operations raise ClusterError if the database does not respond."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def beat(
        self,
        node: Node,
        votes: Sequence[Vote],
        host: HostReport | None = None,
        heartbeats: Sequence[SharedHeartbeat] = (),
    ) -> Membership: ...

    async def record(self, reports: Sequence[AgentReport]) -> tuple[Membership, Sequence[StoredReport]]: ...
    async def publish_monitors(self, node: str, shards: Sequence[NodeShard]) -> None: ...

    async def tally(
        self,
        node: str,
        shards: Collection[int] | None = None,
        monitors: Collection[str] | None = None,
        after: str = "",
    ) -> Tally: ...

    async def decide(self, node: str, decisions: Sequence[NewDecision]) -> frozenset[str]: ...

    async def changes(self) -> Changes: ...

    async def wait(self, timeout_s: float) -> None: ...

    async def claim(
        self, node: str, notifiers: Collection[str], limit: int, others: Collection[str] = ()
    ) -> Sequence[ClaimedNotification]: ...

    async def renew(self, node: str, ids: Collection[str]) -> Mapping[str, AssignedMessage | None]: ...

    async def assign_message(
        self, node: str, before: Mapping[str, str | None], message: AssignedMessage
    ) -> bool: ...

    async def release(self, node: str, ids: Collection[str]) -> None: ...

    async def leave(self, notifiers: Collection[str]) -> None: ...

    async def finish(self, node: str, results: Sequence[DeliveryResult]) -> None: ...

    async def write_intervention(self, intervention: Intervention) -> None: ...

    async def merge(
        self, node: str, alerts: Mapping[str, Mapping[str, Any] | None]
    ) -> Mapping[str, Mapping[str, Any] | None]: ...

    async def link_key(self) -> bytes | None: ...

    async def prune(self, keep_days: float) -> int: ...

    async def write_configuration(self, node: str, digest: str, sections: Mapping[str, str]) -> None: ...

    async def differences(self, node: str) -> Mapping[str, ConfigurationDifferences]: ...

    async def configured(self, keys: Collection[str]) -> frozenset[str] | None: ...

    async def overview(self, node: str = "") -> ClusterOverview: ...
