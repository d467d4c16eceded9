"""Reads for the overview that go on without it: a page waits for them a moment, and shows what was known before.

So a history that is slow makes numbers old, and no page late.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from monitord.errors import HistoryError

log = logging.getLogger(__name__)

WAIT_S = 0.05


class BackgroundRead:
    """Owns the task that reads, of which there is at most one: `close` awaits it."""

    def __init__(self, what: str) -> None:
        """`what` is read, for the log."""
        self._what = what
        self._task: asyncio.Task[None] | None = None

    @property
    def is_going_on(self) -> bool:
        return self._task is not None

    def begin(self, read: Callable[[], Awaitable[None]]) -> None:
        """Unless one goes on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(read))

    async def wait(self) -> None:
        """Until what goes on has ended, but no longer than a moment."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=WAIT_S)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            await read()
        except HistoryError as error:
            log.warning("%s could not be read; what was known stays: %s", self._what, error)
        finally:
            self._task = None
