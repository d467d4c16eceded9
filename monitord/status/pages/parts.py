"""The parts of the daemon that the pages read and change."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from monitord.alerts import Alerts
from monitord.clock import Clock
from monitord.dispatch import Dispatcher, Pipeline
from monitord.errors import HistoryError
from monitord.posts import Posts
from monitord.status.access.operations import DaemonOperations, InterventionOperations
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.read_model import ReadModel
from monitord.status.pages.past import PageHistory

T = TypeVar("T")

HISTORY_WAIT_S = 3.0
CHECK_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class PageParts:
    """`history_wait_s`, `check_wait_s`: how long a page waits for the history, and for a check."""

    dispatcher: Dispatcher
    pipeline: Pipeline
    model: ReadModel
    status: DaemonStatus
    control: DaemonOperations
    interventions: InterventionOperations
    alerts: Alerts
    posts: Posts
    past: PageHistory
    clock: Clock
    history_wait_s: float = HISTORY_WAIT_S
    check_wait_s: float = CHECK_WAIT_S

    async def bounded(self, read: Awaitable[T]) -> T | None:
        """The result of a read of the history; None if it fails or exceeds the time limit of a page."""
        try:
            async with asyncio.timeout(self.history_wait_s):
                return await read
        except (TimeoutError, HistoryError):
            return None
