"""When whose check is due: one heap of alarms, and one timer of the event loop aimed at the earliest.

A monitor has one alarm in force, named by its ticket; those before it stay in the heap until they come up, and are
passed over. Moments are seconds of the monotonic clock.
"""

import asyncio
import heapq
from collections.abc import Callable

from monitord.clock import Clock
from monitord.dispatch.cycle import NO_TICKET
from monitord.dispatch.watched import Watched

EARLY_S = 0.0015
"""A timer may fire this much early: uvloop counts whole milliseconds."""


class Alarms:
    """`come_due` is called with the monitor and the moment of its alarm, and must not raise."""

    def __init__(self, clock: Clock, come_due: Callable[[Watched, float], None]) -> None:
        self._clock = clock
        self._come_due = come_due
        self._heap: list[tuple[float, int, Watched]] = []
        self._tickets = NO_TICKET
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._is_running = False

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        self._is_running = True
        self.aim()

    def stop(self) -> None:
        """Nothing comes due any more. May be called twice."""
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def set(self, watched: Watched, due_at: float) -> None:
        """In place of the alarm that it had. Call `aim` when all are set."""
        self._tickets += 1
        watched.cycle.ticket = self._tickets
        watched.cycle.due_at = due_at
        heapq.heappush(self._heap, (due_at, watched.cycle.ticket, watched))

    @staticmethod
    def clear(watched: Watched) -> None:
        """It has no alarm any more."""
        watched.cycle.ticket = NO_TICKET

    def aim(self) -> None:
        """Aim the timer at the earliest alarm."""
        if not self._is_running:
            return
        self._drop_stale()
        earliest = self._heap[0][0] if self._heap else float("inf")
        if self._timer is not None:
            if earliest == self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_at = earliest
        if self._heap:
            delay_s = max(0.0, earliest - self._clock.monotonic_s())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def overdue_s(self) -> float:
        """How long ago the earliest alarm should have been served; 0.0 where none is late."""
        if not self._is_running:
            return 0.0
        self._drop_stale()
        return max(0.0, self._clock.monotonic_s() - self._heap[0][0]) if self._heap else 0.0

    def _tick(self) -> None:
        self._timer = None
        now_s = self._clock.monotonic_s() + EARLY_S
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            due_at, ticket, watched = heapq.heappop(heap)
            if ticket == watched.cycle.ticket:
                self._come_due(watched, due_at)
        self.aim()

    def _drop_stale(self) -> None:
        heap = self._heap
        while heap and heap[0][1] != heap[0][2].cycle.ticket:
            heapq.heappop(heap)
