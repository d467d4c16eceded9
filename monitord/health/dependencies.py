"""The state of the parents of a monitor: if they are down, its failures are not its own.

| `depends_on` (all are needed)         | `depends_on_any` (one is enough)       | parents   |
|---------------------------------------|----------------------------------------|-----------|
| one is down or unreachable            |                                        | down      |
|                                       | each is down or unreachable            | down      |
| one has a soft failure, or has not    |                                        | failing   |
|   been checked since the failure      |                                        |           |
|                                       | each has one, is down or unreachable   | failing   |
| otherwise                             | otherwise                              | available |

A parent that is pending, unknown or in a maintenance window counts as available; for a paused one, its own parents
count.
"""

from collections.abc import Collection
from enum import IntEnum


class Parents(IntEnum):
    """The state of one parent, or of all together; higher is worse."""

    AVAILABLE = 0
    FAILING = 1  # a soft failure, or not checked since the failure
    DOWN = 2


def parents_of(needed: Collection[Parents], alternatives: Collection[Parents] = ()) -> Parents:
    """The state of all parents together."""
    return max(max(needed, default=Parents.AVAILABLE), min(alternatives, default=Parents.AVAILABLE))
