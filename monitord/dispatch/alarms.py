"""The alarms of all monitors: a heap, and a single timer of the event loop for the earliest alarm.

A monitor has at most one alarm, identified by its ticket. Its obsolete alarms stay in the heap until they are due, and
are dropped then. Times are seconds of the monotonic clock.
"""

import asyncio
import heapq
from collections.abc import Callable

from monitord.clock import Clock
from monitord.dispatch.cycle import NO_TICKET
from monitord.dispatch.entry import MonitorEntry

EARLY_S = 0.0015
"""A timer can fire this much early: uvloop counts whole milliseconds."""


class Alarms:
    """`on_due` is called with the monitor and the time of its alarm, and must not raise."""

    def __init__(self, clock: Clock, on_due: Callable[[MonitorEntry, float], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._heap: list[tuple[float, int, MonitorEntry]] = []
        self._last_ticket = NO_TICKET
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._is_running = False

    def start(self) -> None:
        """Start the timer. Needs a running event loop."""
        self._is_running = True
        self.update_timer()

    def stop(self) -> None:
        """Stop the timer. May be called twice."""
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def set(self, entry: MonitorEntry, due_at: float) -> None:
        """Replace the alarm of this monitor. Call `update_timer` when all alarms are set."""
        self._last_ticket += 1
        entry.cycle.ticket = self._last_ticket
        entry.cycle.due_at = due_at
        heapq.heappush(self._heap, (due_at, entry.cycle.ticket, entry))

    @staticmethod
    def clear(entry: MonitorEntry) -> None:
        """Remove the alarm of this monitor."""
        entry.cycle.ticket = NO_TICKET

    def update_timer(self) -> None:
        """Set the timer to the earliest alarm."""
        if not self._is_running:
            return
        self._drop_obsolete()
        earliest = self._heap[0][0] if self._heap else float("inf")
        if self._timer is not None:
            if earliest == self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_at = earliest
        if self._heap:
            delay_s = max(0.0, earliest - self._clock.monotonic_s())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def overdue_s(self) -> float:
        """Return how long the earliest alarm is overdue, in seconds; 0.0 if none is."""
        if not self._is_running:
            return 0.0
        self._drop_obsolete()
        return max(0.0, self._clock.monotonic_s() - self._heap[0][0]) if self._heap else 0.0

    def _ring(self) -> None:
        self._timer = None
        now_s = self._clock.monotonic_s() + EARLY_S
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            due_at, ticket, entry = heapq.heappop(heap)
            if ticket == entry.cycle.ticket:
                self._on_due(entry, due_at)
        self.update_timer()

    def _drop_obsolete(self) -> None:
        heap = self._heap
        while heap and heap[0][1] != heap[0][2].cycle.ticket:
            heapq.heappop(heap)
