"""The operations of a node on the database of the cluster: `ClusterDatabase`.

Each operation is one transaction, and the database compares all times with its own clock.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from monitord.clock import Clock
from monitord.cluster.model import (
    Changes,
    ClaimedNotification,
    ClusterDecision,
    ClusterOverview,
    Intervention,
    Membership,
    Node,
    Tally,
    Vote,
)
from monitord.net.base.resolver import Resolver
from monitord.notifiers import Notification

CLAIM_S = 10.0
"""A claim on a notification ends this long after it was made or renewed, in seconds."""
OVERDUE_S = 15.0
"""A notification that has waited longer is delivered by any node that can."""


class ClusterDatabase:
    """The tables of the cluster, for one node. Owns its connections and the task that listens for changes.

    All operations raise ClusterError if the database does not respond; the next operation connects again. None blocks
    the event loop, and each has a limit in time.
    """

    def __init__(self, conninfo: str, clock: Clock, resolver: Resolver) -> None:
        """`conninfo`: a connection string or URI of libpq. Raises ClusterError if it is invalid."""

    @property
    def is_connected(self) -> bool:
        """Whether the last operation has reached the database."""
        raise NotImplementedError

    async def open(self) -> None:
        """Connect, and check that the tables are those of this release."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections. Raises nothing."""
        raise NotImplementedError

    async def beat(self, node: Node, votes: Sequence[Vote]) -> Membership:
        """Record the heartbeat and the votes in one transaction; wake the other nodes if there are votes.

        Votes in a state that is not conclusive replace earlier votes, and count as none. Of several votes on a monitor
        the last counts.
        """
        raise NotImplementedError

    async def tally(
        self, node: str, shards: Collection[int] | None = None, monitors: Collection[str] | None = None
    ) -> Tally:
        """Return the monitors whose votes may change the decision, and the live locations, in one snapshot.

        These are monitors with a vote of a live location that differs from the decision, or without a decision. Only
        monitors in `shards` and of these names; None: all.
        """
        raise NotImplementedError

    async def decide(
        self,
        node: str,
        before: ClusterDecision | None,
        after: ClusterDecision,
        notifications: Sequence[tuple[Notification, str | None]] = (),
    ) -> bool:
        """Replace a decision, and queue its notifications, in one transaction; wake the other nodes.

        `notifications`: each with its `copy_to`. A notification whose id exists is not queued again. False, with
        nothing changed: the decision is no longer `before`, or the node is not live.
        """
        raise NotImplementedError

    async def changes(self) -> Changes:
        """Return the rows that changed since the last call; all rows in the first call and after a reconnect."""
        raise NotImplementedError

    async def wait(self, timeout_s: float) -> None:
        """Wait until another node has changed something, or for `timeout_s` seconds. Raises nothing."""
        raise NotImplementedError

    async def claim(
        self, node: str, notifiers: Collection[str], limit: int, others: Collection[str] = ()
    ) -> Sequence[ClaimedNotification]:
        """Claim up to `limit` notifications for `CLAIM_S` seconds, the oldest first.

        `notifiers` are assigned to this node. For `others`, to which it can deliver as well, it claims only
        notifications that have waited for `OVERDUE_S`.
        """
        raise NotImplementedError

    async def renew(self, node: str, ids: Collection[str]) -> frozenset[str]:
        """Extend claims. Return the ids of the claims that this node still has."""
        raise NotImplementedError

    async def release(self, node: str, ids: Collection[str]) -> None:
        """End claims, so that other nodes can claim the notifications at once."""
        raise NotImplementedError

    async def finish(
        self, node: str, notification_id: str, status: str, response: str, delivered_by: str
    ) -> None:
        """Record the result of a delivery: the last status, as in `alerts.outbox`.

        A notification that was sent is recorded even after the claim has ended, and is not delivered again.
        """
        raise NotImplementedError

    async def write_intervention(self, intervention: Intervention) -> None:
        """Record a pause, an acknowledgement or a silence, or its end; wake the other nodes."""
        raise NotImplementedError

    async def merge(
        self, node: str, alerts: Mapping[str, Mapping[str, Any] | None]
    ) -> Mapping[str, Mapping[str, Any] | None]:
        """Merge the alerts of a node that was alone, by monitor (`merging.merged`), and return the results.

        None: the alert has ended there, with its closing notifications. A monitor without a decision is not in the
        result. An alert that the result does not continue (another id) is closed by the node itself.
        """
        raise NotImplementedError

    async def remove_node(self, name: str) -> bool:
        """Remove a node that has been shut down for good, with its location if no other node is there."""
        raise NotImplementedError

    async def prune(self, keep_days: float) -> int:
        """Delete older transitions, incidents and delivered notifications. Return the number of rows."""
        raise NotImplementedError

    async def overview(self) -> ClusterOverview:
        """Return the state of cluster and database, for people."""
        raise NotImplementedError
