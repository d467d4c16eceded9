"""Detection of probe errors of this process: stalls of the event loop, and suspensions of the machine.

A check during which the loop was stalled may have missed a response that arrived in time. A check that started just
after the machine was suspended may have found no network. Such failures give no information about the monitored
service.

A timer on the event loop measures its own delay.
"""

import asyncio
from collections import deque

from monitord.clock import Clock
from monitord.model import Reason

TICK_INTERVAL_S = 0.5
MIN_TICK_INTERVAL_S = 0.05
TICKS_PER_TIMEOUT = 8
"""Short timeouts need a finer measurement."""

MAX_LAG_RATIO = 0.25
"""If lags of the loop took more than this part of its timeout, a check may have missed a response."""

MIN_LAG_S = 0.1
"""Smaller lags are usual and do not count."""

MAX_LAGS = 1000
STALL_S = 1.0
"""A lag above this is a stall: longer than a garbage collection, shorter than most timeouts."""

IGNORE_AFTER_STALL_S = 2.0
"""Checks that were due during a stall start together after it, and are slow for that reason."""

MIN_SUSPENSION_S = 0.5
"""The machine was suspended if CLOCK_BOOTTIME has gained this much on CLOCK_MONOTONIC."""

IGNORE_AFTER_SUSPEND_S = 15.0
"""Links, addresses and name servers become available one after the other: failures of checks that start within this
time are inconclusive as well."""


class StallDetector:
    """Detector of event loop stalls and suspensions. Runs between `start` and `stop`, on the running loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tick_due_at_s = 0.0
        self._stalled_until_s = float("-inf")
        self._ignored_until_s = float("-inf")
        self._ignored_reason = Reason.PROBER_SUSPENDED
        self._suspended_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.tick_interval_s = TICK_INTERVAL_S
        self._lags: deque[tuple[float, float]] = deque(maxlen=MAX_LAGS)  # time of the tick, and its lag
        self.max_lag_s = 0.0
        self.stall_count = 0

    def start(self) -> None:
        self._suspended_s = self._clock.suspended_s()
        self._set_timer()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def has_stalled_since(self, moment_s: float) -> bool:
        """Return whether the loop has been stalled since this monotonic time, is stalled now, or recovered less than
        IGNORE_AFTER_STALL_S ago."""
        if self._timer is not None and self._clock.monotonic_s() - self._tick_due_at_s > STALL_S:
            return True
        return self._stalled_until_s > moment_s

    def configure(self, shortest_timeout_s: float) -> None:
        """Measure finely enough for checks with this timeout. Needs the running loop."""
        interval_s = min(TICK_INTERVAL_S, shortest_timeout_s / TICKS_PER_TIMEOUT)
        self.tick_interval_s = max(MIN_TICK_INTERVAL_S, interval_s)
        if self._timer is not None and self._clock.monotonic_s() < self._tick_due_at_s:
            self._timer.cancel()
            self._set_timer()

    def lag_since_s(self, moment_s: float) -> float:
        """Return the sum of event loop lags since this monotonic time, in seconds.

        It is a lower bound: only lags above MIN_LAG_S are recorded.
        """
        lag_sum_s = 0.0
        for ticked_at, lag_s in reversed(self._lags):
            if ticked_at < moment_s:
                break
            lag_sum_s += lag_s
        if self._timer is not None:
            lag_s = self._clock.monotonic_s() - self._tick_due_at_s
            lag_sum_s += lag_s if lag_s > MIN_LAG_S else 0.0
        return lag_sum_s

    def probe_error_since(self, moment_s: float, timeout_s: float) -> Reason | None:
        """Return the probe error of a check that started at this time and has this timeout, if there is one."""
        self._detect_suspension()
        if moment_s < self._ignored_until_s:
            return self._ignored_reason
        if self.has_stalled_since(moment_s) or self.lag_since_s(moment_s) > MAX_LAG_RATIO * timeout_s:
            return Reason.PROBER_STALLED
        return None

    def ignore_failures_for(self, duration_s: float, reason: Reason) -> None:
        """Make failures of checks that start within this time inconclusive, for this reason."""
        self._ignored_until_s = max(self._ignored_until_s, self._clock.monotonic_s() + duration_s)
        self._ignored_reason = reason

    def _detect_suspension(self) -> None:
        suspended_s = self._clock.suspended_s()
        if suspended_s - self._suspended_s > MIN_SUSPENSION_S:
            self.ignore_failures_for(IGNORE_AFTER_SUSPEND_S, Reason.PROBER_SUSPENDED)
        self._suspended_s = suspended_s

    def _set_timer(self) -> None:
        self._tick_due_at_s = self._clock.monotonic_s() + self.tick_interval_s
        self._timer = asyncio.get_running_loop().call_later(self.tick_interval_s, self._tick)

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        lag_s = now_s - self._tick_due_at_s
        self.max_lag_s = max(self.max_lag_s, lag_s)
        if lag_s > MIN_LAG_S:
            self._lags.append((now_s, lag_s))
        if lag_s > STALL_S:
            self.stall_count += 1
            self._stalled_until_s = now_s + IGNORE_AFTER_STALL_S
        self._detect_suspension()
        self._set_timer()
