"""When a check is due: arithmetic on a grid of the monotonic clock, with nothing that waits.

Every monitor has a grid of its own: points one period apart, shifted by a phase that is a stable hash of
its name. So thousands of monitors spread by themselves, and a restart finds the same grid again.
Times are seconds of the monotonic clock.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

FIRST_CHECK_WITHIN_S = 10.0
"""The first check of a monitor comes within this time, or within its period if that is shorter."""

SLOT_S = 0.05
"""Phases are multiples of this, so that one wake-up starts several checks: each wake-up costs CPU of its own."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The moments at which one monitor is due."""

    period_s: float
    phase_s: float

    def next_after(self, moment_s: float) -> float:
        """The first point strictly after `moment_s`."""
        count = math.floor((moment_s - self.phase_s) / self.period_s) + 1
        point = count * self.period_s + self.phase_s
        # The division may round to the very point that is not to come again.
        return point if point > moment_s else (count + 1) * self.period_s + self.phase_s

    def points_between(self, after_s: float, until_s: float) -> int:
        """How many points lie after the one and not after the other."""
        if until_s <= after_s:
            return 0
        return math.floor((until_s - self.phase_s) / self.period_s) - math.floor(
            (after_s - self.phase_s) / self.period_s
        )


def share_of(name: str) -> float:
    """A stable number from 0 to 1 (exclusive) for a name: the same in every process and release."""
    return int.from_bytes(blake2b(name.encode(), digest_size=6).digest(), "big") / 2**48


def grid_of(name: str, period_s: float) -> Grid:
    """The grid of a monitor."""
    return Grid(period_s, _on_slot(share_of(name) * period_s, period_s))


def first_due(name: str, period_s: float, now_s: float) -> float:
    """When a monitor that starts now is checked for the first time: soon, and spread."""
    within_s = min(period_s, FIRST_CHECK_WITHIN_S)
    return now_s + _on_slot(share_of(name) * within_s, within_s)


def next_due(grid: Grid, due_s: float) -> float:
    """On the grid, but not so soon after a check that was not (the first, a retry) that it repeats it for nothing."""
    return grid.next_after(due_s + grid.period_s / 2)


def _on_slot(offset_s: float, limit_s: float) -> float:
    # A period of a few slots would lose its spread to rounding.
    return math.floor(offset_s / SLOT_S) * SLOT_S if limit_s >= 20 * SLOT_S else offset_s
