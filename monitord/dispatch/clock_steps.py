"""Detection of changes of the wall clock, and the shift of the times of this run.

A duration is the difference of two times. If the clock is set in between, as by NTP after a boot, the duration is
wrong: `after` has passed at once or does not pass for hours, and a silence ends early. The monotonic clock and
CLOCK_BOOTTIME show by how much the wall clock was set.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitord.clock import Clock

STEP_S = 2.0
"""Smaller changes are ignored: NTP corrects small errors gradually."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A change of the clock by `by`. In its old time, the daemon started at `began_at`, and now was `before`."""

    began_at: datetime
    before: datetime
    by: timedelta

    def moment(self, moment: datetime) -> datetime:
        """A past time in the new time. Times of earlier runs are not shifted, but limited to the present."""
        shifted = moment + self.by if self.began_at <= moment <= self.before else moment
        return min(shifted, self.before + self.by)

    def moment_or_none(self, moment: datetime | None) -> datetime | None:
        return None if moment is None else self.moment(moment)

    def end(self, until: datetime) -> datetime:
        """A future time in the new time, with the same remaining duration."""
        return until + self.by if until > self.before else until


class ClockSteps:
    """Call `poll` before each use of the wall clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at: datetime | None = None
        self._offset_s = 0.0

    def poll(self) -> ClockStep | None:
        """The step since the last call; None if there was none."""
        now = self._clock.now()
        offset_s = now.timestamp() - self._clock.monotonic_s() - self._clock.suspended_s()
        by_s, self._offset_s = offset_s - self._offset_s, offset_s
        if self._began_at is None:
            self._began_at = now
            return None
        if abs(by_s) < STEP_S:
            return None
        by = timedelta(seconds=by_s)
        step = ClockStep(self._began_at, now - by, by)
        self._began_at += by
        return step
