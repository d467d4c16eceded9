"""One monitor in the dispatcher's care: what is configured, how it stands, when it is due, what runs.

The dispatcher owns these and changes them; everybody else reads. Moments are seconds of the monotonic clock.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from monitord.dispatch.schedule import Grid
from monitord.health import HealthState
from monitord.model import Result
from monitord.monitors import Monitor


@dataclass(slots=True, eq=False)
class Watched:
    """`ticket` names the alarm in force: an alarm with another one is out of date. `bug`: what the type
    raised at the last check."""

    monitor: Monitor[Any]
    grid: Grid
    due_at: float
    health: HealthState = HealthState()  # noqa: RUF009 - frozen
    last: Result | None = None
    ticket: int = 0
    check: asyncio.Task[None] | None = None
    check_host: str | None = None
    check_began_at: float = 0.0
    is_waiting: bool = False
    wants_another: bool = False
    waits_since: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    bug: str | None = None
    asked: list[asyncio.Future[Result]] = field(default_factory=list)

    def take_over(self, previous: "Watched") -> None:
        """Stand as the one before, unless it was of another type and so looked at something else."""
        if previous.monitor.type_name == self.monitor.type_name:
            self.health, self.last = previous.health, previous.last
            memory = previous.monitor.memory()
            if memory is not None:
                self.monitor.remember(memory)

    @property
    def name(self) -> str:
        return self.monitor.settings.name
