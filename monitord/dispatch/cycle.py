"""The check cycle of a monitor: its timer, the stage of its check, and waiting clients. Owned by the dispatcher.

| stage          | requested | woken          | started  | withdrawn | ended | removed |
|----------------|-----------|----------------|----------|-----------|-------|---------|
| idle           | queued    | queued         |          |           |       | removed |
| queued         | queued    | queued         | checking | idle      |       | removed |
| checking       | checking  | checking_woken |          |           | idle  | removed |
| checking_woken | as before | as before      |          |           | idle  | removed |
| removed        |           | removed        |          |           |       |         |

*requested*: the monitor is due, or a client requests a check; a check that is queued or runs is joined. *woken*: the
monitor reports a change; a check that runs may have begun before it, so another one follows (`checking_woken`).
*started*: there is a slot for the check. *withdrawn*: the monitor was paused while it was queued, or has no host.
*ended*: the check has a result, was lost, or was abandoned because it ignored its cancellation. *removed*: the monitor
was removed, or replaced by one with other settings; a check that still runs has no effect.

An event that is not in the table cannot happen: `CheckCycle.apply` raises KeyError for it.
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

NO_TICKET = 0
"""No timer: tickets are numbered from 1."""


@dataclass(slots=True, eq=False)
class CheckCycle:
    """Timer, check and waiting clients of one monitor. The dispatcher changes it; others read `is_checking`,
    `is_queued`, `is_woken`, `due_at_s`, `began_at_s`, `queued_at_s` and `skipped`.

    Moments are seconds of the monotonic clock. `ticket`: the current timer; timers with another ticket are obsolete.
    `due_at_s`: the moment of that timer. `queued_at_s`: when the last check was due. `began_at_s`: when it started.
    `task` and `host` are those of the check that runs. `requests`: clients that wait for its result. `skipped`: grid
    points at which the previous check was not over; `skipped_since_on_time`: those since it last was.
    """

    grid: Grid
    due_at_s: float
    stage: CycleStage = CycleStage.IDLE
    ticket: int = NO_TICKET
    queued_at_s: float = 0.0
    began_at_s: float = 0.0
    host: str | None = None
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
        return self.ticket != NO_TICKET

    def apply(self, event: CycleEvent) -> bool:
        """Go to the next stage. Returns whether it is another one. Raises KeyError if the table has no such event."""
        before = self.stage
        self.stage = TRANSITIONS[before][event]
        return self.stage is not before

    def cancel_requests(self) -> None:
        """Cancel the requests of clients, because there will be no result."""
        for request in self.requests:
            request.cancel()
        self.requests.clear()


_CHECKING = (CycleStage.CHECKING, CycleStage.CHECKING_WOKEN)
