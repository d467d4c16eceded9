"""Requests for checks by types that receive events."""

import asyncio
from collections.abc import Callable

WAKE_EVERY_S = 1.0
"""Minimum interval of checks that events request, for targets that change all the time."""


class CheckRequester:
    """Requests checks when events occur: at once, but at most once in WAKE_EVERY_S.

    To be used on the event loop only.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._last_s = -WAKE_EVERY_S
        self._planned: asyncio.TimerHandle | None = None
        # uvloop's handles do not expose their time.
        self._planned_at = 0.0

    def request(self, after_s: float = 0.0) -> None:
        """Request a check after this number of seconds. The earliest of several requests counts."""
        loop = asyncio.get_running_loop()
        at = max(loop.time() + after_s, self._last_s + WAKE_EVERY_S)
        if self._planned is not None:
            if self._planned_at <= at:
                return
            self._planned.cancel()
        self._planned_at = at
        self._planned = loop.call_at(at, self._fire)

    def close(self) -> None:
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None

    def _fire(self) -> None:
        self._planned = None
        self._last_s = asyncio.get_running_loop().time()
        self._wake()
