"""The connection of the pipeline with the alerts.

`AlertInputs` returns what the alert of a monitor is evaluated from, with what suppresses notifications: maintenance, a
silence, an acknowledgement. `AlertPublisher` is the sink that has alerts evaluated.
"""

from datetime import datetime

from monitord.alerts import AlertInput, Alerts, Suppression, SuppressionReason
from monitord.clock import Clock
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink
from monitord.dispatch.watched import Watched
from monitord.model import Incident, Reason, Result, State, Transition, Verdict


class AlertInputs:
    """Notifications about a monitor are suppressed until a check of this run, or after a pause, has confirmed its
    state: `confirm`, and `discard` after a pause."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._confirmed: set[str] = set()

    def confirm(self, name: str) -> bool:
        """A check has confirmed the state of this monitor. Returns False if it was confirmed before."""
        is_new = name not in self._confirmed
        self._confirmed.add(name)
        return is_new

    def discard(self, name: str) -> None:
        """The state of this monitor may be outdated."""
        self._confirmed.discard(name)

    def of(self, name: str) -> AlertInput | None:
        """None if the monitor does not exist."""
        watched = self._registry.watched.get(name)
        if watched is None:
            return None
        now = self._clock.now()
        state = watched.state
        last = state.last.observation if state.last is not None else None
        can_flap = state.effective in {State.UP, State.DEGRADED, State.DOWN}
        return AlertInput(
            monitor=name,
            type_name=watched.monitor.type_name,
            tags=watched.monitor.settings.tags,
            state=state.effective,
            since=state.effective_since or now,
            reason=Reason.OK if last is None else last.reason,
            detail="" if last is None else last.detail,
            is_flapping=can_flap and state.health.flapping.is_flapping,
            suppression=self._suppression(watched, now),
        )

    def _suppression(self, watched: Watched, now: datetime) -> Suppression | None:
        if watched.state.window is not None:
            return Suppression(SuppressionReason.MAINTENANCE, window=watched.state.window.name)
        silence = self._registry.silence_of(watched, now)
        if silence is not None:
            return Suppression(SuppressionReason.SILENCED, by=silence.by, until=silence.until)
        incident = watched.state.incident
        if incident is not None and incident.acknowledged_by is not None:
            return Suppression(SuppressionReason.ACKNOWLEDGED, by=incident.acknowledged_by)
        if watched.name not in self._confirmed:
            return Suppression(SuppressionReason.NOT_CHECKED)
        return None


class AlertPublisher(Sink):
    """Placed after the recorder, so that a change of state and its notifications are stored together."""

    def __init__(self, alerts: Alerts, inputs: AlertInputs, registry: Registry) -> None:
        self._alerts = alerts
        self._registry = registry
        self._inputs = inputs
        self._flapping: set[str] = set()

    def evaluate_all(self, *, is_isolated: bool) -> None:
        """Evaluate the alerts of all monitors after a start, and of monitors that were removed or renamed meanwhile."""
        watched = self._registry.watched
        for name, renamed in watched.items():
            old_name = renamed.monitor.settings.renamed_from
            if old_name is not None and old_name not in watched:
                self._alerts.rename(old_name, name)
        self._alerts.evaluate_all(watched, is_isolated=is_isolated)

    def on_result(self, watched: Watched, result: Result) -> None:
        is_conclusive = result.verdict is not Verdict.INCONCLUSIVE or watched.state.effective is State.UNKNOWN
        if is_conclusive and self._inputs.confirm(watched.name):
            # The restored state is confirmed: its alert is evaluated although there is no transition.
            self._evaluate(watched)
        else:
            self.on_update(watched)

    def on_transition(self, watched: Watched, transition: Transition) -> None:
        if transition.before is State.PAUSED:
            # The state from before the pause may be outdated: wait for a check.
            self._inputs.discard(watched.name)
        self._evaluate(watched)

    def on_update(self, watched: Watched) -> None:
        # Changes by time alone are evaluated by the alerts themselves.
        if watched.state.health.flapping.is_flapping is not (watched.name in self._flapping):
            self._evaluate(watched)

    def on_incident(self, watched: Watched, incident: Incident) -> None:
        del incident
        self._alerts.evaluate(watched.name)

    def on_renamed(self, old: str, watched: Watched) -> None:
        self._discard(old)
        self._alerts.rename(old, watched.name)

    def on_removed(self, watched: Watched) -> None:
        self._discard(watched.name)
        self._alerts.remove(watched.name)

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        self._alerts.update_isolation(is_isolated=is_isolated)

    def on_clock_step(self, step: ClockStep) -> None:
        self._alerts.adjust_times(step.moment)

    def _evaluate(self, watched: Watched) -> None:
        is_flapping = watched.state.health.flapping.is_flapping
        (self._flapping.add if is_flapping else self._flapping.discard)(watched.name)
        self._alerts.evaluate(watched.name)

    def _discard(self, name: str) -> None:
        self._flapping.discard(name)
        self._inputs.discard(name)
