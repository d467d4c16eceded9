"""The cluster in API, pages and metrics. Without [cluster] there is no view, and they show nothing of it.

The values of `monitord.cluster` are imported for type checking only: a daemon of a single host does not import them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Optional, Protocol

if TYPE_CHECKING:
    from monitord.cluster.view import ClusterView


class ClusterMember(Protocol):
    """This node of the cluster; `ClusterNode` implements it."""

    def view(self) -> "ClusterView":
        """Return what this node knows now: from memory, at once, and never raising.

        It is called for every request and up to ten times a second: `votes` and `shared` may be the node's own
        collections, not copies.
        """
        ...


ClusterSource = Callable[[], Optional["ClusterView"]]
"""Returns what this node knows of the cluster; None without [cluster]."""
