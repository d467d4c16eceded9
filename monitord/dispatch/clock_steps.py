"""Detection of changes of the wall clock, and the shift of the times of this run.

A duration is the difference of two times. If the clock is set in between, as by NTP after a boot, the duration is
wrong: an escalation (`after` of a route) is due at once or hours late, and a silence ends early. The monotonic clock
and CLOCK_BOOTTIME show by how much the wall clock was set.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitord.clock import Clock

MIN_CLOCK_STEP_S = 2.0
"""Smaller changes are ignored: NTP corrects small errors gradually."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A change of the wall clock by `by`.

    `run_started_at` and `changed_at` are the start of this run and the time of the change, both on the clock before the
    change.
    """

    run_started_at: datetime
    changed_at: datetime
    by: timedelta

    def shift_past(self, at: datetime) -> datetime:
        """Return a past time on the new clock. Times of earlier runs are not shifted, but limited to the present."""
        shifted = at + self.by if self.run_started_at <= at <= self.changed_at else at
        return min(shifted, self.changed_at + self.by)

    def shift_past_or_none(self, at: datetime | None) -> datetime | None:
        return None if at is None else self.shift_past(at)

    def shift_future(self, at: datetime) -> datetime:
        """Return a future time on the new clock, so that the remaining duration stays the same."""
        return at + self.by if at > self.changed_at else at


class ClockSteps:
    """Detector of changes of the wall clock. Call `poll` before each use of the wall clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._run_started_at: datetime | None = None
        self._offset_s = 0.0

    def poll(self) -> ClockStep | None:
        """Return the change since the last call; None if the clock was not set."""
        now = self._clock.now()
        offset_s = now.timestamp() - self._clock.monotonic_s() - self._clock.suspended_s()
        by_s, self._offset_s = offset_s - self._offset_s, offset_s
        if self._run_started_at is None:
            self._run_started_at = now
            return None
        if abs(by_s) < MIN_CLOCK_STEP_S:
            return None
        by = timedelta(seconds=by_s)
        step = ClockStep(self._run_started_at, now - by, by)
        self._run_started_at += by
        return step
