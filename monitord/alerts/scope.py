"""The alerts and deliveries of this daemon: all, unless it is a node of a cluster."""

from collections.abc import Callable, Collection, Sequence

from monitord.alerts.lifecycle import Alert
from monitord.alerts.outbox import Delivery


class AlertScope:
    """The scope of a daemon that is not a node of a cluster. A node overrides all methods.

    In a cluster, the alerts of shared monitors are kept in the database, and their notifications are claimed from it.
    """

    holds_claimed: bool = False
    """Whether claimed deliveries of an earlier run are held until their claim is certain."""

    location: str = ""
    """The location of this node in its cluster; "" without a cluster."""

    def is_shared(self, monitor: str) -> bool:
        """Whether the nodes of a cluster decide the state of this monitor."""
        del monitor
        return False

    def is_evaluated_here(self, monitor: str) -> bool:
        """Whether this daemon evaluates the alert of this monitor."""
        del monitor
        return True

    def is_delivered_here(self, notifier: str) -> bool:
        """Whether this node delivers the notifications of shared monitors for this notifier."""
        del notifier
        return False

    def on_alert(self, monitor: str, alert: Alert | None) -> None:
        """Called with the alert of a monitor after each change by this daemon; None: it has ended."""

    def on_finished(self, delivery: Delivery) -> None:
        """Called with each delivery that has ended."""

    def change_alert(self, monitor: str, change: Callable[[Alert], Alert]) -> None:
        """Change the alert of a shared monitor, if it has one. `change` returns the same alert if nothing changes."""

    async def certain_claims(self, deliveries: Sequence[Delivery]) -> Collection[Delivery]:
        """Return those of these claimed deliveries that this node may attempt now. Takes a few seconds at most."""
        return deliveries
