"""The check cycle of a monitor: its timer, the stage of its check, and waiting clients. Owned by the dispatcher.

| stage          | requested | woken          | started  | withdrawn | ended | removed |
|----------------|-----------|----------------|----------|-----------|-------|---------|
| idle           | queued    | queued         |          |           |       | removed |
| queued         | queued    | queued         | checking | idle      |       | removed |
| checking       | checking  | checking_woken |          |           | idle  | removed |
| checking_woken | checking_woken | checking_woken |     |           | idle  | removed |
| removed        |           | removed        |          |           |       |         |

*requested*: the monitor is due, or a client requests a check; a check that is queued or runs is joined. *woken*: the
monitor reports a change; a check that runs may have started before it, so another check follows (`checking_woken`).
*started*: there is a slot for the check. *withdrawn*: the monitor was paused while its check was queued,
or its `pool` raised an exception.
*ended*: the check has a result, was lost, or was abandoned because it ignored its cancellation. *removed*: the monitor
was removed, or replaced by a monitor with other settings; a check that still runs has no effect.

An event that is not in the table cannot happen: `CheckCycle.advance` raises KeyError for it.
"""

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from monitord.dispatch.schedule import Grid
from monitord.model import Result


class CycleStage(Enum):
    IDLE = "idle"
    QUEUED = "queued"
    CHECKING = "checking"
    CHECKING_WOKEN = "checking_woken"
    REMOVED = "removed"


class CycleEvent(Enum):
    REQUESTED = "requested"
    WOKEN = "woken"
    STARTED = "started"
    WITHDRAWN = "withdrawn"
    ENDED = "ended"
    REMOVED = "removed"


TRANSITIONS = {
    CycleStage.IDLE: {
        CycleEvent.REQUESTED: CycleStage.QUEUED,
        CycleEvent.WOKEN: CycleStage.QUEUED,
        CycleEvent.REMOVED: CycleStage.REMOVED,
    },
    CycleStage.QUEUED: {
        CycleEvent.REQUESTED: CycleStage.QUEUED,
        CycleEvent.WOKEN: CycleStage.QUEUED,
        CycleEvent.STARTED: CycleStage.CHECKING,
        CycleEvent.WITHDRAWN: CycleStage.IDLE,
        CycleEvent.REMOVED: CycleStage.REMOVED,
    },
    CycleStage.CHECKING: {
        CycleEvent.REQUESTED: CycleStage.CHECKING,
        CycleEvent.WOKEN: CycleStage.CHECKING_WOKEN,
        CycleEvent.ENDED: CycleStage.IDLE,
        CycleEvent.REMOVED: CycleStage.REMOVED,
    },
    CycleStage.CHECKING_WOKEN: {
        CycleEvent.REQUESTED: CycleStage.CHECKING_WOKEN,
        CycleEvent.WOKEN: CycleStage.CHECKING_WOKEN,
        CycleEvent.ENDED: CycleStage.IDLE,
        CycleEvent.REMOVED: CycleStage.REMOVED,
    },
    CycleStage.REMOVED: {
        CycleEvent.WOKEN: CycleStage.REMOVED,
    },
}

NO_TIMER = 0
"""No timer: timers are numbered from 1."""


@dataclass(slots=True, eq=False)
class CheckCycle:
    """Timer, check and waiting clients of one monitor. The dispatcher changes it; others read `is_checking`,
    `is_queued`, `is_woken`, `due_at_s`, `started_at_s`, `scheduled_at_s` and `skipped`.

    Times are seconds of the monotonic clock. `timer_id`: the current timer; timers with another id are obsolete.
    `due_at_s`: the time of that timer. `scheduled_at_s`: scheduled time of the last check that was queued.
    `started_at_s`: its start. `task` and `pool` are those of the check that runs. `requests`: clients that wait for its
    result. `skipped`: number of grid points without a check, because the previous check was still queued or running, or
    this process did not run. `skipped_since_on_time`: the same number since a check last ended before the next grid
    point.
    """

    grid: Grid
    due_at_s: float
    stage: CycleStage = CycleStage.IDLE
    timer_id: int = NO_TIMER
    scheduled_at_s: float = 0.0
    started_at_s: float = 0.0
    pool: str | None = None
    task: asyncio.Task[None] | None = None
    requests: list[asyncio.Future[Result]] = field(default_factory=list)
    skipped: int = 0
    skipped_since_on_time: int = 0

    @property
    def is_checking(self) -> bool:
        return self.stage in _CHECKING

    @property
    def is_queued(self) -> bool:
        """Whether a check is due and waits for a slot."""
        return self.stage is CycleStage.QUEUED

    @property
    def is_woken(self) -> bool:
        """Whether another check follows the current one."""
        return self.stage is CycleStage.CHECKING_WOKEN

    @property
    def has_timer(self) -> bool:
        return self.timer_id != NO_TIMER

    def advance(self, event: CycleEvent) -> bool:
        """Advance to the next stage. Return whether the stage has changed.

        Raises KeyError if the table has no such transition.
        """
        before = self.stage
        self.stage = TRANSITIONS[before][event]
        return self.stage is not before

    def cancel_requests(self) -> None:
        """Cancel the requests of clients, because there will be no result."""
        for request in self.requests:
            request.cancel()
        self.requests.clear()


_CHECKING = (CycleStage.CHECKING, CycleStage.CHECKING_WOKEN)
