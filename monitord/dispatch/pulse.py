"""Whether the prober itself was at fault: the event loop beats, and measures how late its own beat came.

A check that ran while the loop stood still may have missed an answer that was there in time; one that began just after
the machine slept found a network that was not there yet. Such a failure says nothing about what is watched.
"""

import asyncio

from monitord.clock import Clock
from monitord.model import Reason

BEAT_EVERY_S = 0.5
STALL_S = 1.0
"""A beat that is later than this is a stall: longer than any garbage collection, shorter than most timeouts."""

SETTLE_AFTER_STALL_S = 2.0
"""All that was due meanwhile begins at once then, and is slow for that reason."""

SUSPENDED_S = 0.5
"""The machine slept when CLOCK_BOOTTIME gained this much on CLOCK_MONOTONIC."""

SETTLE_AFTER_SUSPEND_S = 15.0
"""Links, addresses and name servers come back one after the other; failures that begin meanwhile are unsure, too."""


class LoopPulse:
    """Beats on the running loop from `start` to `stop`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beat_due_at = 0.0
        self._stalled_until = float("-inf")
        self._settled_at = float("-inf")
        self._unsettled_by = Reason.PROBER_SUSPENDED
        self._suspended_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.worst_lag_s = 0.0
        self.stalls = 0
        self.suspends = 0

    def start(self) -> None:
        self._suspended_s = self._clock.suspended_s()
        self._aim()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def has_stalled_since(self, moment_s: float) -> bool:
        """True when the loop stood still at some time after this moment of the monotonic clock, or does until now."""
        if self._timer is not None and self._clock.monotonic_s() - self._beat_due_at > STALL_S:
            return True
        return self._stalled_until > moment_s

    def fault_since(self, moment_s: float) -> Reason | None:
        """What was wrong with the prober itself at some time after this moment of the monotonic clock."""
        self._look_for_suspend()
        if moment_s < self._settled_at:
            return self._unsettled_by
        return Reason.PROBER_LATE if self.has_stalled_since(moment_s) else None

    def settle(self, seconds: float, reason: Reason) -> None:
        """Failures of checks that begin within the next seconds are not to be believed, for this reason."""
        self._settled_at = max(self._settled_at, self._clock.monotonic_s() + seconds)
        self._unsettled_by = reason

    def _look_for_suspend(self) -> None:
        suspended_s = self._clock.suspended_s()
        if suspended_s - self._suspended_s > SUSPENDED_S:
            self.suspends += 1
            self.settle(SETTLE_AFTER_SUSPEND_S, Reason.PROBER_SUSPENDED)
        self._suspended_s = suspended_s

    def _aim(self) -> None:
        self._beat_due_at = self._clock.monotonic_s() + BEAT_EVERY_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_EVERY_S, self._beat)

    def _beat(self) -> None:
        now_s = self._clock.monotonic_s()
        lag_s = now_s - self._beat_due_at
        self.worst_lag_s = max(self.worst_lag_s, lag_s)
        if lag_s > STALL_S:
            self.stalls += 1
            self._stalled_until = now_s + SETTLE_AFTER_STALL_S
        self._look_for_suspend()
        self._aim()
