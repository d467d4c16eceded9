"""The state of the parents of a monitor: if they are down, they cause its failures.

| `depends_on` (all are needed)         | `depends_on_any` (one is enough)       | parents   |
|---------------------------------------|----------------------------------------|-----------|
| one is down or unreachable            |                                        | down      |
|                                       | each is down or unreachable            | down      |
| one has a soft failure, or has not    |                                        | failing   |
|   been checked since the failure      |                                        |           |
|                                       | each has one, is down or unreachable   | failing   |
| otherwise                             | otherwise                              | available |

A parent that is pending, unknown or in a maintenance window counts as available; for a paused parent, its own parents
count.
"""

from collections.abc import Collection
from enum import IntEnum


class ParentState(IntEnum):
    """The state of one parent, or of all parents together; higher is worse."""

    AVAILABLE = 0
    FAILING = 1  # a soft failure, or not checked since the failure
    DOWN = 2


def combined_state(
    needed: Collection[ParentState], alternatives: Collection[ParentState] = ()
) -> ParentState:
    """Return the state of all parents together."""
    return max(max(needed, default=ParentState.AVAILABLE), min(alternatives, default=ParentState.AVAILABLE))
