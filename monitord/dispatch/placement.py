"""Which monitors the nodes of a cluster share, and which of them this node checks.

The dispatcher asks when it adds a monitor, and after `Dispatcher.reassign`.
"""

from typing import Any, Protocol

from monitord.monitors import Monitor


class Placement(Protocol):
    """The part of this node in the checks of a cluster. Its answers may change, followed by `Dispatcher.reassign`."""

    def is_shared(self, monitor: Monitor[Any]) -> bool:
        """Whether the cluster decides the state of this monitor."""
        ...

    def is_checked_here(self, name: str) -> bool:
        """Whether this node checks the shared monitor of this name. It is not called for other monitors."""
        ...


class LocalPlacement:
    """The placement of a daemon without a cluster: it checks all of its monitors, and decides their states."""

    def is_shared(self, monitor: Monitor[Any]) -> bool:
        del monitor
        return False

    def is_checked_here(self, name: str) -> bool:
        del name
        return True
