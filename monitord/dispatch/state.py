"""The data of one monitor: evaluated by the pipeline, stored by the recorder, shown by `status`.

Times in seconds (`_s`) are on the monotonic clock.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from monitord.dispatch.clock_steps import ClockStep
from monitord.health import HealthState
from monitord.model import Incident, Reason, Result, State, Verdict


@dataclass(frozen=True, slots=True)
class Pause:
    """The checks of a monitor are stopped: by whom, since when and why."""

    by: str
    at: datetime
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class OpenMaintenance:
    """The maintenance window that is open for a monitor. `until` None: the end is not known."""

    name: str
    until: datetime | None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The state of a shared monitor as the cluster has decided it. `version`: number of the decision, 0 before any.

    `is_flapping`: the decision has changed too often.
    """

    state: State
    since: datetime | None
    reason: Reason = Reason.OK
    detail: str = ""
    version: int = 0
    is_flapping: bool = False


@dataclass(frozen=True, slots=True)
class MonitorState:
    """The state of a monitor after its last check. The pipeline replaces it; everything else reads it.

    `health` follows from the verdicts alone. `effective` is the state that is shown, recorded and reported: the same,
    unless the monitor is paused, or `is_unknown` because its last conclusive result (`conclusive_at_s`) is too old.
    The effective state of a monitor that nodes of a cluster share is that of `cluster`; None: it is decided here.

    `passed_at`: start of the last check that passed. `last_started_at_s`: start of the check of the last result of this
    run. `failing_since_s`: time of the first unconfirmed failure. Until `parents_deadline_s`, the failure is not
    confirmed before each parent has a result from a check that started after `failing_since_s`.

    `was_stalled`: the last check failed while the event loop was stalled; it is inconclusive and is retried. `bug`: the
    exception of the monitor type in the last check. `is_slow_to_evaluate`: an evaluation of the conditions took
    long; None: they have not been evaluated yet.
    """

    health: HealthState = HealthState()  # noqa: RUF009 - frozen
    effective: State = State.PENDING
    effective_since: datetime | None = None
    conclusive_at_s: float = 0.0
    is_unknown: bool = False
    pause: Pause | None = None
    maintenance: OpenMaintenance | None = None
    incident: Incident | None = None
    last: Result | None = None
    was_stalled: bool = False
    passed_at: datetime | None = None
    last_started_at_s: float = -math.inf
    failing_since_s: float = -math.inf
    parents_deadline_s: float = -math.inf
    bug: str | None = None
    is_slow_to_evaluate: bool | None = None
    cluster: ClusterState | None = None

    @property
    def local_state(self) -> State:
        """The state that follows from the checks of this node, of a shared monitor as well; not paused."""
        return State.UNKNOWN if self.is_unknown else self.health.state

    @property
    def is_flapping(self) -> bool:
        """Whether notifications are suppressed because of flapping: of a shared monitor, that of the decision."""
        return self.health.flapping.is_flapping if self.cluster is None else self.cluster.is_flapping

    @property
    def is_retry_due(self) -> bool:
        """Whether the next check is due after `retry_every`."""
        return (self.health.is_soft or self.was_stalled) and self.pause is None

    def with_result(
        self,
        result: Result,
        health: HealthState,
        *,
        started_at_s: float,
        was_stalled: bool,
        conclusive_at_s: float,
        is_unknown: bool,
    ) -> "MonitorState":
        """Return the state after a check that started at `started_at_s`. The effective state is not changed."""
        # Every check needs it, and dataclasses.replace takes twice as long.
        return MonitorState(
            health=health,
            effective=self.effective,
            effective_since=self.effective_since,
            conclusive_at_s=conclusive_at_s,
            is_unknown=is_unknown,
            pause=self.pause,
            maintenance=self.maintenance,
            incident=self.incident,
            last=result,
            was_stalled=was_stalled,
            passed_at=result.observation.started_at if result.verdict is Verdict.PASS else self.passed_at,
            last_started_at_s=started_at_s,
            failing_since_s=self.failing_since_s,
            parents_deadline_s=self.parents_deadline_s,
            bug=self.bug,
            is_slow_to_evaluate=self.is_slow_to_evaluate,
            cluster=self.cluster,
        )

    def with_other_settings(self) -> "MonitorState":
        """The state after a reload that has changed the settings of the monitor, but not its type."""
        return replace(
            self, was_stalled=False, last_started_at_s=-math.inf, bug=None, is_slow_to_evaluate=None
        )

    def with_other_type(self, now_s: float) -> "MonitorState":
        """The state after a reload that has changed the type: only a pause and a maintenance window remain."""
        initial = MonitorState(conclusive_at_s=now_s, pause=self.pause, maintenance=self.maintenance)
        if self.pause is None:
            return initial
        return replace(initial, effective=State.PAUSED, effective_since=self.pause.at)

    def after_clock_step(self, step: ClockStep) -> "MonitorState":
        """Return the same state, with the times of this run on the new wall clock."""
        pause, incident = self.pause, self.incident
        if self.cluster is not None:
            # Decided by other clocks as well, which were not set.
            health, passed_at = self.health, step.shift_past_or_none(self.passed_at)
            return replace(self, health=_shifted(health, step), passed_at=passed_at)
        return replace(
            self,
            health=_shifted(self.health, step),
            effective_since=step.shift_past_or_none(self.effective_since),
            passed_at=step.shift_past_or_none(self.passed_at),
            pause=None if pause is None else replace(pause, at=step.shift_past(pause.at)),
            incident=None
            if incident is None
            else replace(
                incident,
                opened_at=step.shift_past(incident.opened_at),
                acknowledged_at=step.shift_past_or_none(incident.acknowledged_at),
            ),
        )


def _shifted(health: HealthState, step: ClockStep) -> HealthState:
    return replace(
        health,
        since=step.shift_past_or_none(health.since),
        streak_since=step.shift_past_or_none(health.streak_since),
    )
