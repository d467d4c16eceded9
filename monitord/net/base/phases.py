"""Where the time of an exchange goes: a stopwatch that is always in one phase or in none."""

import time
from enum import Enum

MAX_QUEUED_RATIO = 0.1
"""A timeout counts against the peer while at least nine tenths of the time were its own."""


class Phase(Enum):
    """The parts of an exchange, in the order in which they happen."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    PROCESSING = "processing"  # from the connection that stands to the head of the response
    TRANSFER = "transfer"


class PhaseTimer:
    """Phases may come again (redirects); their times add up. `current` stays what it was last, for a failure to
    name."""

    __slots__ = ("_entered_at", "_runs", "_seconds", "_started_at", "current", "queued_s")

    def __init__(self, resolve_s: float = 0.0, queued_s: float = 0.0) -> None:
        """`resolve_s`: what resolving took, when that was done beforehand for several; `queued_s`: the same."""
        self.queued_s = queued_s
        """Time that this host took from the exchange before it could begin: part of no phase, nor of the total."""
        self._entered_at = time.monotonic()
        self._started_at = self._entered_at - resolve_s
        self._seconds: dict[Phase, float] = {Phase.RESOLVE: resolve_s} if resolve_s else {}
        self._runs = False
        self.current = Phase.RESOLVE

    def enter(self, phase: Phase) -> None:
        self.pause()
        self.current = phase
        self._runs = True

    def pause(self) -> None:
        """What follows belongs to no phase."""
        now = time.monotonic()
        if self._runs:
            self._seconds[self.current] = self._seconds.get(self.current, 0.0) + now - self._entered_at
        self._entered_at = now
        self._runs = False

    def discount(self, queued_s: float) -> None:
        """Leave out time of the current phase that passed in a queue of this host."""
        self.queued_s += queued_s
        self._entered_at += queued_s
        self._started_at += queued_s

    def has_lost_time(self) -> bool:
        """Whether queues of this host took so much of the time that the peer cannot be blamed for a timeout."""
        return self.queued_s > MAX_QUEUED_RATIO * (self.queued_s + self.elapsed_s())

    def read(self) -> dict[Phase, float]:
        """Seconds of each phase that was entered, up to now."""
        self.pause()
        return dict(self._seconds)

    def elapsed_s(self) -> float:
        """Since the timer was made, without what was discounted."""
        return time.monotonic() - self._started_at
