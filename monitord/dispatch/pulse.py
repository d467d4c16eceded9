"""Whether the event loop itself was at fault: it beats, and measures how late its own beat came.

A check that ran while the loop stood still may have missed an answer that was there in time. Such a failure
says nothing about what is watched.
"""

import asyncio

from monitord.clock import Clock

BEAT_EVERY_S = 0.5
STALL_S = 1.0
"""A beat that is later than this is a stall: longer than any garbage collection, shorter than most timeouts."""


class LoopPulse:
    """Beats on the running loop from `start` to `stop`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beat_due_at = 0.0
        self._stalled_until = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self.worst_lag_s = 0.0
        self.stalls = 0

    def start(self) -> None:
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

    def _aim(self) -> None:
        self._beat_due_at = self._clock.monotonic_s() + BEAT_EVERY_S
        self._timer = asyncio.get_running_loop().call_later(BEAT_EVERY_S, self._beat)

    def _beat(self) -> None:
        now_s = self._clock.monotonic_s()
        lag_s = now_s - self._beat_due_at
        self.worst_lag_s = max(self.worst_lag_s, lag_s)
        if lag_s > STALL_S:
            self.stalls += 1
            self._stalled_until = now_s
        self._aim()
