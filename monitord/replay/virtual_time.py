"""An event loop in virtual time: when it would wait for a timer, its time jumps to that timer. And its clock.

Nothing on this loop may wait for a file descriptor or a thread: there is no real time in which that could happen.
"""

import asyncio
import selectors
from datetime import datetime, timedelta

RESOLUTION_S = 1e-6
"""Added to each jump. The loop runs a timer when its time is reached, and a sum of floats can be slightly below it."""


class _JumpingSelector(selectors.SelectSelector):
    """Advances the time of the loop instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("no timer is set: the loop would wait forever")
        if timeout > 0:
            self.now_s += timeout + RESOLUTION_S
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time begins at 0 and advances without waiting."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


class VirtualClock:
    """The clock of a loop in virtual time, which begins at `start`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime) -> None:
        self._loop = loop
        self._start = start

    def monotonic_s(self) -> float:
        return self._loop.time()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time())

    def suspended_s(self) -> float:
        return 0.0
