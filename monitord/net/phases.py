"""Where the time of an exchange goes: a stopwatch that is always in one phase or in none."""

import time
from enum import Enum


class Phase(Enum):
    """The parts of an exchange, in the order in which they happen."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    PROCESSING = "processing"  # from the connection that stands to the head of the response
    TRANSFER = "transfer"


class PhaseTimer:
    """Phases may come again (redirects); their times add up. `current` stays what it was last, for a fault to name."""

    __slots__ = ("_entered_at", "_runs", "_seconds", "_started_at", "current")

    def __init__(self, resolve_s: float = 0.0) -> None:
        """`resolve_s`: what resolving took, when that was done beforehand for several."""
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

    def read(self) -> dict[Phase, float]:
        """Seconds of each phase that was entered, up to now."""
        self.pause()
        return dict(self._seconds)

    def elapsed_s(self) -> float:
        """Since the timer was made."""
        return time.monotonic() - self._started_at
