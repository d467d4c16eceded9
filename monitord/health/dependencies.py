"""What the parents of a monitor say of it: behind one that is down, a failure is not the monitor's own.

| of `depends_on` (all are needed)      | of `depends_on_any` (one is enough)    | parents  |
|---------------------------------------|----------------------------------------|----------|
| one is down or unreachable            |                                        | down     |
|                                       | each is down or unreachable            | down     |
| one fails softly, or has not been     |                                        | failing  |
|   checked since the failure           |                                        |          |
|                                       | each does so, is down or unreachable   | failing  |
| otherwise                             | otherwise                              | well     |

A parent that is pending, unknown or in a window counts as well; for a paused one, its own parents count.
"""

from collections.abc import Collection
from enum import IntEnum


class Parents(IntEnum):
    """Of one parent, or of all of them together; the higher the worse."""

    WELL = 0
    FAILING = 1  # not confirmed, or not known yet
    DOWN = 2


def parents_of(needed: Collection[Parents], alternatives: Collection[Parents] = ()) -> Parents:
    """All together."""
    return max(max(needed, default=Parents.WELL), min(alternatives, default=Parents.WELL))
