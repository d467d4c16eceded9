"""The scheduler grid: arithmetic on times of the monotonic clock, in seconds. Pure.

Every monitor has a grid: points at intervals of its period, shifted by an offset, which is a stable hash of its name.
This distributes the checks of thousands of monitors evenly, and the grid is the same after a restart.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

TAKEOVER_WITHIN_S = 5.0
"""The first check of a monitor that this node takes over from another is due within this time, or its period."""

FIRST_CHECK_WITHIN_S = 10.0
"""The first check of a monitor is due within this time, or within its period if that is shorter."""

OFFSET_STEP_S = 0.05
"""Offsets are multiples of this, so that one wake-up of the event loop starts several checks, which saves CPU time."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The times at which one monitor is due."""

    period_s: float
    offset_s: float

    def next_after(self, moment_s: float) -> float:
        """The first point strictly after `moment_s`."""
        count = math.floor((moment_s - self.offset_s) / self.period_s) + 1
        point = count * self.period_s + self.offset_s
        # The division can round to `moment_s` itself.
        return point if point > moment_s else (count + 1) * self.period_s + self.offset_s

    def points_between(self, after_s: float, until_s: float) -> int:
        """The number of points after `after_s`, until and including `until_s`."""
        if until_s <= after_s:
            return 0
        return math.floor((until_s - self.offset_s) / self.period_s) - math.floor(
            (after_s - self.offset_s) / self.period_s
        )


def hash_fraction(name: str) -> float:
    """Return a number in [0, 1) that is derived from the name, and the same in every process and version."""
    return int.from_bytes(blake2b(name.encode(), digest_size=6).digest(), "big") / 2**48


def grid_of(name: str, period_s: float) -> Grid:
    """The grid of a monitor."""
    return Grid(period_s, _on_step(hash_fraction(name) * period_s, period_s))


def first_due(name: str, period_s: float, now_s: float, within_s: float = FIRST_CHECK_WITHIN_S) -> float:
    """The time of the first check of a monitor that starts now: soon, and distributed."""
    within_s = min(period_s, within_s)
    return now_s + _on_step(hash_fraction(name) * within_s, within_s)


def next_due(grid: Grid, due_s: float) -> float:
    """Return the first grid point that is at least half a period after `due_s`, so that a check off the grid (the first
    check, or a retry) is not followed by another check at once."""
    return grid.next_after(due_s + grid.period_s / 2)


def _on_step(offset_s: float, limit_s: float) -> float:
    # With a period of a few steps, rounding would undo the distribution.
    return math.floor(offset_s / OFFSET_STEP_S) * OFFSET_STEP_S if limit_s >= 20 * OFFSET_STEP_S else offset_s
