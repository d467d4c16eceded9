"""The data of one monitor: evaluated by the pipeline, stored by the recorder, shown by `status`.

Times that are `float` are seconds of the monotonic clock.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from monitord.dispatch.clock_steps import ClockStep
from monitord.health import HealthState
from monitord.model import Incident, Result, State, Verdict


@dataclass(frozen=True, slots=True)
class Pause:
    """The checks of a monitor are stopped: by whom, since when and why."""

    by: str
    at: datetime
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """The maintenance window that is open for a monitor; `until` None: it has no known end."""

    name: str
    until: datetime | None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class MonitorState:
    """The state of a monitor after its last check. The pipeline replaces it; everything else reads it.

    `health` follows from the verdicts alone. `effective` is the state that is shown, recorded and notified: the same,
    unless the monitor is paused, or `is_unknown` because its last conclusive result (`conclusive_at`) is too old.

    `passed_at`: start of the last check that passed. `last_began_at_s`: start of the check of the last result of this
    run. `failing_since`: when the first of the failures that are not confirmed yet was found. Until `parents_until`,
    they are not confirmed before the parents have been checked after it.

    `was_late`: the last check failed while monitord itself was stalled, is inconclusive, and is repeated soon. `bug`:
    the exception of the monitor type at the last check. `is_slow_to_evaluate`: one evaluation of the conditions took
    long; None: they have not been evaluated yet.
    """

    health: HealthState = HealthState()  # noqa: RUF009 - frozen
    effective: State = State.PENDING
    effective_since: datetime | None = None
    conclusive_at: float = 0.0
    is_unknown: bool = False
    pause: Pause | None = None
    window: OpenWindow | None = None
    incident: Incident | None = None
    last: Result | None = None
    was_late: bool = False
    passed_at: datetime | None = None
    last_began_at_s: float = -math.inf
    failing_since: float = -math.inf
    parents_until: float = -math.inf
    bug: str | None = None
    is_slow_to_evaluate: bool | None = None

    @property
    def wants_retry(self) -> bool:
        """Whether the next check is due after `retry_every`."""
        return (self.health.is_soft or self.was_late) and self.pause is None

    def with_result(
        self,
        result: Result,
        health: HealthState,
        *,
        began_at_s: float,
        was_late: bool,
        conclusive_at: float,
        is_unknown: bool,
    ) -> "MonitorState":
        """The state after a check that began at `began_at_s`. Its effective state is the one before the check."""
        # Every check needs it, and dataclasses.replace takes twice as long.
        return MonitorState(
            health=health,
            effective=self.effective,
            effective_since=self.effective_since,
            conclusive_at=conclusive_at,
            is_unknown=is_unknown,
            pause=self.pause,
            window=self.window,
            incident=self.incident,
            last=result,
            was_late=was_late,
            passed_at=result.observation.started_at if result.verdict is Verdict.PASS else self.passed_at,
            last_began_at_s=began_at_s,
            failing_since=self.failing_since,
            parents_until=self.parents_until,
            bug=self.bug,
            is_slow_to_evaluate=self.is_slow_to_evaluate,
        )

    def with_other_settings(self) -> "MonitorState":
        """The state after a reload that has changed the settings of the monitor, but not its type."""
        return replace(self, was_late=False, last_began_at_s=-math.inf, bug=None, is_slow_to_evaluate=None)

    def with_other_type(self, now_s: float) -> "MonitorState":
        """The state after a reload that has changed the type: only a pause and a maintenance window remain."""
        initial = MonitorState(conclusive_at=now_s, pause=self.pause, window=self.window)
        if self.pause is None:
            return initial
        return replace(initial, effective=State.PAUSED, effective_since=self.pause.at)

    def after_clock_step(self, step: ClockStep) -> "MonitorState":
        """The same state, with the moments of this run in the new wall-clock time."""
        pause, incident = self.pause, self.incident
        return replace(
            self,
            health=replace(
                self.health,
                since=step.moment_or_none(self.health.since),
                streak_since=step.moment_or_none(self.health.streak_since),
            ),
            effective_since=step.moment_or_none(self.effective_since),
            passed_at=step.moment_or_none(self.passed_at),
            pause=None if pause is None else replace(pause, at=step.moment(pause.at)),
            incident=None
            if incident is None
            else replace(
                incident,
                opened_at=step.moment(incident.opened_at),
                acknowledged_at=step.moment_or_none(incident.acknowledged_at),
            ),
        )
