"""Timing of the phases of an exchange."""

import time
from enum import Enum

MAX_QUEUED_RATIO = 0.1
"""A timeout is the peer's failure if no more than this share of the time passed in queues of this host."""


class Phase(Enum):
    """The parts of an exchange, in the order in which they happen."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    PROCESSING = "processing"  # from the open connection to the end of the response head
    TRANSFER = "transfer"


class PhaseTimer:
    """A stopwatch that is in one phase or paused.

    Phases can be entered repeatedly (redirects): their times are added up. `current` is the last phase entered.
    """

    __slots__ = ("_entered_at", "_is_running", "_seconds", "_started_at", "current", "queued_s")

    def __init__(self, resolve_s: float = 0.0, queued_s: float = 0.0) -> None:
        """Start with the times of an earlier name resolution, if several exchanges share it."""
        self.queued_s = queued_s
        """Time spent in queues of this host, in seconds. Not part of any phase or of the total."""
        self._entered_at = time.monotonic()
        self._started_at = self._entered_at - resolve_s
        self._seconds: dict[Phase, float] = {Phase.RESOLVE: resolve_s} if resolve_s else {}
        self._is_running = False
        self.current = Phase.RESOLVE

    def enter(self, phase: Phase) -> None:
        self.pause()
        self.current = phase
        self._is_running = True

    def pause(self) -> None:
        """End the current phase."""
        now = time.monotonic()
        if self._is_running:
            self._seconds[self.current] = self._seconds.get(self.current, 0.0) + now - self._entered_at
        self._entered_at = now
        self._is_running = False

    def discount(self, queued_s: float) -> None:
        """Exclude time spent in a queue of this host from the current phase."""
        self.queued_s += queued_s
        self._entered_at += queued_s
        self._started_at += queued_s

    def has_lost_time(self) -> bool:
        """Return whether a timeout is caused by queues of this host rather than by the peer."""
        return self.queued_s > MAX_QUEUED_RATIO * (self.queued_s + self.elapsed_s())

    def read(self) -> dict[Phase, float]:
        """Pause, and return the seconds spent in each phase entered so far."""
        self.pause()
        return dict(self._seconds)

    def elapsed_s(self) -> float:
        """Return the time since the timer was created, without the discounted time."""
        return time.monotonic() - self._started_at
