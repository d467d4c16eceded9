"""One monitor in the dispatcher's care: what is configured, how it stands, when it is due, what runs.

The dispatcher and the pipeline own these and change them; everybody else reads. Moments are seconds of the monotonic
clock.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.schedule import Grid
from monitord.health import HealthState
from monitord.model import Health, Incident, Result
from monitord.monitors import Monitor

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pause:
    """Who had the checks of a monitor stopped, when and why."""

    by: str
    at: datetime
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """The maintenance window that a monitor is in; `until` None: no end of it is known."""

    name: str
    until: datetime | None
    comment: str | None = None


@dataclass(slots=True, eq=False)
class Watched:
    """`ticket` names the alarm in force: an alarm with another one is out of date. `bug`: what the type
    raised at the last check. `is_slow_to_judge`: evaluating its conditions once took long;
    None: they were not evaluated yet.

    `was_late`: the last check failed while monitord itself stood still, says nothing, and is repeated soon.

    `last_began_at`: when the check began that produced the last result of this run. `failing_since`: when the first of
    the failures that are not confirmed yet was found. Until `parents_until`, they are not confirmed before the parents
    have been checked after it.

    `health` is what its verdicts say; `stands`, how it stands for everybody: the same, unless it is paused or nothing
    sure was heard for long.
    """

    monitor: Monitor[Any]
    grid: Grid
    due_at: float
    health: HealthState = HealthState()  # noqa: RUF009 - frozen
    stands: Health = Health.PENDING
    stands_since: datetime | None = None
    sure_at: float = 0.0
    is_unknown: bool = False
    pause: Pause | None = None
    window: OpenWindow | None = None
    incident: Incident | None = None
    last: Result | None = None
    was_late: bool = False
    ticket: int = 0
    check: asyncio.Task[None] | None = None
    check_host: str | None = None
    check_began_at: float = 0.0
    last_began_at: float = -math.inf
    failing_since: float = -math.inf
    parents_until: float = -math.inf
    is_waiting: bool = False
    wants_another: bool = False
    waits_since: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    bug: str | None = None
    is_slow_to_judge: bool | None = None
    asked: list[asyncio.Future[Result]] = field(default_factory=list)
    request_check: "Callable[[Watched], None]" = lambda _: None
    """Has it checked at once; given by the dispatcher."""

    def wake(self) -> None:
        """Have it checked at once, or once more if it is being checked; nothing while it is paused."""
        self.request_check(self)

    def follow_clock(self, step: ClockStep) -> None:
        """The wall clock was set."""
        self.health = replace(
            self.health,
            since=step.moment_or_none(self.health.since),
            streak_since=step.moment_or_none(self.health.streak_since),
        )
        self.stands_since = step.moment_or_none(self.stands_since)
        if self.pause is not None:
            self.pause = replace(self.pause, at=step.moment(self.pause.at))
        if self.incident is not None:
            self.incident = replace(
                self.incident,
                opened_at=step.moment(self.incident.opened_at),
                acknowledged_at=step.moment_or_none(self.incident.acknowledged_at),
            )

    def take_over(self, previous: "Watched") -> None:
        """Stand as the one before, unless it was of another type and so looked at something else."""
        self.pause, self.window = previous.pause, previous.window
        if previous.monitor.type_name == self.monitor.type_name:
            self.health, self.last = previous.health, previous.last
            self.stands, self.stands_since = previous.stands, previous.stands_since
            self.sure_at, self.is_unknown = previous.sure_at, previous.is_unknown
            self.incident = previous.incident
            self.failing_since, self.parents_until = previous.failing_since, previous.parents_until
            self.remind(previous.memory())
        elif self.pause is not None:
            self.stands, self.stands_since = Health.PAUSED, self.pause.at

    def memory(self) -> Mapping[str, Any] | None:
        """What the monitor wants to know again. Never raises."""
        try:
            return self.monitor.memory()
        except Exception:
            # The type may be a third party's; what it forgets is its own loss.
            log.exception("%s: memory of monitor type %s failed", self.name, self.monitor.type_name)
            return None

    def remind(self, memory: Mapping[str, Any] | None) -> None:
        """Never raises."""
        if memory is None:
            return
        try:
            self.monitor.remember(memory)
        except Exception:
            log.exception("%s: remember of monitor type %s failed", self.name, self.monitor.type_name)

    @property
    def name(self) -> str:
        return self.monitor.settings.name

    @property
    def wants_retry(self) -> bool:
        """The next check comes after `retry_every`."""
        return (self.health.is_soft or self.was_late) and self.pause is None

    @property
    def health_by_verdicts(self) -> Health:
        """How it stands, from all that is known but windows and silences, which change no state."""
        if self.pause is not None:
            return Health.PAUSED
        return Health.UNKNOWN if self.is_unknown else self.health.health
