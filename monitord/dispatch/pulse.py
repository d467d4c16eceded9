"""Whether the prober itself was at failure: the event loop beats, and measures how late its own beat came.

A check that ran while the loop stood still may have missed an answer that was there in time; one that began just after
the machine slept found a network that was not there yet. Such a failure says nothing about what is watched.
"""

import asyncio
from collections import deque

from monitord.clock import Clock
from monitord.model import Reason

BEAT_EVERY_S = 0.5
SHORTEST_BEAT_S = 0.05
BEATS_IN_A_TIMEOUT = 8
"""With a short timeout the loop is measured more finely."""

LOST_SHARE = 0.25
"""A check that lost so much of its timeout to standstills of the loop may have missed an answer."""

LAG_S = 0.1
"""A beat that is less late than this is usual, and counts for nothing."""

MOST_LAGS = 1000
STALL_S = 1.0
"""A beat that is later than this is a stall: longer than any garbage collection, shorter than most timeouts."""

SETTLE_AFTER_STALL_S = 2.0
"""All that was due meanwhile begins at once then, and is slow for that reason."""

SUSPENDED_S = 0.5
"""The machine slept when CLOCK_BOOTTIME gained this much on CLOCK_MONOTONIC."""

SETTLE_AFTER_SUSPEND_S = 15.0
"""Links, addresses and name servers come back one after the other; failures that begin meanwhile are inconclusive,
too."""


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
        self.beat_every_s = BEAT_EVERY_S
        self._lags: deque[tuple[float, float]] = deque(maxlen=MOST_LAGS)  # when the beat came, and how late
        self.max_lag_s = 0.0
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

    def configure(self, shortest_timeout_s: float) -> None:
        """Measure finely enough for checks with this timeout. On the running loop."""
        self.beat_every_s = max(SHORTEST_BEAT_S, min(BEAT_EVERY_S, shortest_timeout_s / BEATS_IN_A_TIMEOUT))
        if self._timer is not None and self._clock.monotonic_s() < self._beat_due_at:
            self._timer.cancel()
            self._aim()

    def lost_since_s(self, moment_s: float) -> float:
        """For how long the loop stood still after this moment of the monotonic clock, at least."""
        lost_s = 0.0
        for came_at_s, lag_s in reversed(self._lags):
            if came_at_s < moment_s:
                break
            lost_s += lag_s
        if self._timer is not None:
            lag_s = self._clock.monotonic_s() - self._beat_due_at
            lost_s += lag_s if lag_s > LAG_S else 0.0
        return lost_s

    def failure_since(self, moment_s: float, timeout_s: float) -> Reason | None:
        """What was wrong with the prober itself during a check that began at this moment and has this timeout."""
        self._look_for_suspend()
        if moment_s < self._settled_at:
            return self._unsettled_by
        if self.has_stalled_since(moment_s) or self.lost_since_s(moment_s) > LOST_SHARE * timeout_s:
            return Reason.PROBER_LATE
        return None

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
        self._beat_due_at = self._clock.monotonic_s() + self.beat_every_s
        self._timer = asyncio.get_running_loop().call_later(self.beat_every_s, self._beat)

    def _beat(self) -> None:
        now_s = self._clock.monotonic_s()
        lag_s = now_s - self._beat_due_at
        self.max_lag_s = max(self.max_lag_s, lag_s)
        if lag_s > LAG_S:
            self._lags.append((now_s, lag_s))
        if lag_s > STALL_S:
            self.stalls += 1
            self._stalled_until = now_s + SETTLE_AFTER_STALL_S
        self._look_for_suspend()
        self._aim()
