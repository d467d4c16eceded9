"""The check timers of all monitors: a heap, and a single timer handle of the event loop for the earliest of them.

A monitor has at most one timer, identified by `timer_id`. Its obsolete timers stay in the heap until they are due, and
are dropped then. Times are seconds of the monotonic clock.
"""

import asyncio
import heapq
from collections.abc import Callable

from monitord.clock import Clock
from monitord.dispatch.cycle import NO_TIMER
from monitord.dispatch.entry import MonitorEntry

TIMER_TOLERANCE_S = 0.0015
"""A timer that is due within this time is due now: a handle can fire early, as uvloop counts whole milliseconds."""

MAX_POPPED = 100
"""Maximum number of obsolete timers that are popped individually. If there are more, as after a reload, the heap is
rebuilt."""


class CheckTimers:
    """The timers of all monitors.

    `on_due` is called with the monitor and the time of its timer, and must not raise.
    """

    def __init__(self, clock: Clock, on_due: Callable[[MonitorEntry, float], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._heap: list[tuple[float, int, MonitorEntry]] = []
        self._last_timer_id = NO_TIMER
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at_s = float("inf")
        self._is_running = False

    def start(self) -> None:
        """Start the timers. Needs a running event loop."""
        self._is_running = True
        self.update_handle()

    def stop(self) -> None:
        """Stop the timers. May be called twice."""
        self._is_running = False
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def set(self, entry: MonitorEntry, due_at_s: float) -> None:
        """Replace the timer of this monitor. Call `update_handle` when all timers are set."""
        self._last_timer_id += 1
        entry.cycle.timer_id = self._last_timer_id
        entry.cycle.due_at_s = due_at_s
        heapq.heappush(self._heap, (due_at_s, entry.cycle.timer_id, entry))

    @staticmethod
    def clear(entry: MonitorEntry) -> None:
        """Remove the timer of this monitor."""
        entry.cycle.timer_id = NO_TIMER

    def update_handle(self) -> None:
        """Set the timer handle of the event loop to the earliest timer."""
        if not self._is_running:
            return
        self._drop_obsolete()
        earliest_s = self._heap[0][0] if self._heap else float("inf")
        if self._handle is not None:
            if earliest_s == self._handle_at_s:
                return
            self._handle.cancel()
            self._handle = None
        self._handle_at_s = earliest_s
        if self._heap:
            delay_s = max(0.0, earliest_s - self._clock.monotonic_s())
            self._handle = asyncio.get_running_loop().call_later(delay_s, self._fire)

    def overdue_s(self) -> float:
        """Return how long the earliest timer is overdue, in seconds; 0.0 if none is."""
        if not self._is_running:
            return 0.0
        self._drop_obsolete()
        return max(0.0, self._clock.monotonic_s() - self._heap[0][0]) if self._heap else 0.0

    def _fire(self) -> None:
        self._handle = None
        now_s = self._clock.monotonic_s() + TIMER_TOLERANCE_S
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            due_at_s, timer_id, entry = heapq.heappop(heap)
            if timer_id == entry.cycle.timer_id:
                self._on_due(entry, due_at_s)
        self.update_handle()

    def _drop_obsolete(self) -> None:
        heap, popped = self._heap, 0
        while heap and heap[0][1] != heap[0][2].cycle.timer_id:
            if popped == MAX_POPPED:
                heap[:] = [timer for timer in heap if timer[1] == timer[2].cycle.timer_id]
                heapq.heapify(heap)
                return
            heapq.heappop(heap)
            popped += 1
