"""A deadline that distinguishes a slow peer from an event loop that did not run.

A timer that fires late shows that the event loop did not run (SIGSTOP, a virtual machine without CPU, a long call).
The response may already be in a socket buffer, but an ordinary timeout would be handled first. Such a deadline is
therefore extended once by the lost time, at most by LONGEST_EXTENSION_S.
"""

import asyncio
from types import TracebackType
from typing import Self

LATE_S = 0.005
"""A smaller delay is normal for a timer. A larger delay extends a real timeout by no more than the same time."""

LONGEST_EXTENSION_S = 1.0


class Deadline:
    """A replacement for `asyncio.timeout(after_s)`: `async with Deadline(after_s)`. Raises TimeoutError.

    `margin_s` is added to an extension, so that an outer deadline expires after the inner deadlines.
    """

    __slots__ = ("_after_s", "_due_at", "_is_extended", "_loop", "_margin_s", "_timeout", "_timer")

    def __init__(self, after_s: float, margin_s: float = 0.0) -> None:
        self._after_s = after_s
        self._margin_s = margin_s
        self._is_extended = False
        self._timeout = asyncio.timeout(None if after_s > 0 else 0.0)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._due_at = self._loop.time() + self._after_s
        await self._timeout.__aenter__()
        if self._after_s > 0:
            self._timer = self._loop.call_at(self._due_at, self._fire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def expired(self) -> bool:
        return self._timeout.expired()

    def _fire(self) -> None:
        now = self._loop.time()
        extended_by_s = 0.0 if self._is_extended else extension_s(now - self._due_at)
        if extended_by_s:
            self._is_extended = True
            self._timer = self._loop.call_later(extended_by_s + self._margin_s, self._fire)
        else:
            self._timeout.reschedule(now)


def extension_s(late_s: float) -> float:
    """Return the extension for a timer that fired `late_s` late; 0.0 for a normal delay."""
    return min(late_s, LONGEST_EXTENSION_S) if late_s > LATE_S else 0.0
