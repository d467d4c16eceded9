"""What the parents of a monitor say of it: behind one that is down, a failure is not the monitor's own.

| of `depends_on` (all are needed)      | of `depends_on_any` (one is enough)    | parents  |
|---------------------------------------|----------------------------------------|----------|
| one is down or unreachable            |                                        | down     |
|                                       | each is down or unreachable            | down     |
| one fails softly                      |                                        | failing  |
|                                       | each fails softly, is down or          | failing  |
|                                       |   unreachable                          |          |
| otherwise                             | otherwise                              | well     |

A parent that is pending, paused, unknown or in a window says nothing, and counts as well.
"""

from collections.abc import Collection
from enum import IntEnum


class Parents(IntEnum):
    """Of one parent, or of all of them together; the higher the worse."""

    WELL = 0
    FAILING = 1  # softly: not believed yet
    DOWN = 2


def parents_of(needed: Collection[Parents], alternatives: Collection[Parents] = ()) -> Parents:
    """All together."""
    return max(max(needed, default=Parents.WELL), min(alternatives, default=Parents.WELL))
