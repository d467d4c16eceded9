"""Reads for the overview in the background: a page waits for WAIT_S, and then shows the previous data.

A slow history makes the data old, but does not delay a page.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from monitord.errors import HistoryError

log = logging.getLogger(__name__)

WAIT_S = 0.05


class BackgroundRead:
    """Owns the task that reads, at most one at a time; `close` awaits it."""

    def __init__(self, subject: str) -> None:
        """`subject`: the data that is read, for the log."""
        self._subject = subject
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None

    def begin(self, read: Callable[[], Awaitable[None]]) -> None:
        """Start to read, unless a read is running."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(read))

    async def wait(self) -> None:
        """Wait until the running read has ended, for at most WAIT_S."""
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
            log.warning("%s could not be read; the previous data is shown: %s", self._subject, error)
        finally:
            self._task = None
