"""Connects the pipeline with the alerts: `Standings` provides what they evaluate, `AlertPublisher` starts evaluations.

`Standings` decides what suppresses notifications: a maintenance window, a silence, an acknowledgement.
"""

from datetime import datetime

from monitord.alerts import Alerts, Standing, Suppression, SuppressionReason
from monitord.clock import Clock
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink
from monitord.dispatch.watched import Watched
from monitord.model import Incident, Reason, Result, State, Transition, Verdict


class Standings:
    """Provides the data of each monitor that the alerts evaluate."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self.checked: set[str] = set()
        """Monitors whose restored state was confirmed by a check in this run. No problem of other monitors is notified.
        The `AlertPublisher` updates it."""

    def of(self, name: str) -> Standing | None:
        """None: the monitor does not exist."""
        watched = self._registry.watched.get(name)
        if watched is None:
            return None
        now = self._clock.now()
        state = watched.state
        last = state.last.observation if state.last is not None else None
        is_notified_state = state.effective in {State.UP, State.DEGRADED, State.DOWN}
        return Standing(
            monitor=name,
            type_name=watched.monitor.type_name,
            tags=watched.monitor.settings.tags,
            health=state.effective,
            since=state.effective_since or now,
            reason=Reason.OK if last is None else last.reason,
            detail="" if last is None else last.detail,
            is_flapping=is_notified_state and state.health.flapping.is_flapping,
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
        if watched.name not in self.checked:
            return Suppression(SuppressionReason.NOT_CHECKED)
        return None


class AlertPublisher(Sink):
    """Evaluates the alerts of a monitor after each change. Follows the recorder, so that both are stored together."""

    def __init__(self, alerts: Alerts, standings: Standings, registry: Registry) -> None:
        self._alerts = alerts
        self._registry = registry
        self._checked = standings.checked
        self._flapping: set[str] = set()

    def evaluate_all(self, *, is_isolated: bool) -> None:
        """Evaluate all monitors at the end of a start, and alerts of monitors that were removed or renamed."""
        watched = self._registry.watched
        for monitor in watched.values():
            old_name = monitor.monitor.settings.renamed_from
            if old_name is not None and old_name not in watched:
                self._alerts.rename(old_name, monitor.name)
        self._alerts.settle(watched, is_isolated=is_isolated)

    def on_result(self, watched: Watched, result: Result) -> None:
        name = watched.name
        is_conclusive = result.verdict is not Verdict.INCONCLUSIVE or watched.state.effective is State.UNKNOWN
        if is_conclusive and name not in self._checked:
            # The restored state is confirmed: evaluate it although there is no transition.
            self._checked.add(name)
            self._evaluate(watched)
        else:
            self.on_update(watched)

    def on_transition(self, watched: Watched, transition: Transition) -> None:
        if transition.before is State.PAUSED:
            # The state before the pause may be outdated: it is notified after a check.
            self._checked.discard(watched.name)
        self._evaluate(watched)

    def on_update(self, watched: Watched) -> None:
        # The alerts evaluate changes by time alone themselves.
        if watched.state.health.flapping.is_flapping is not (watched.name in self._flapping):
            self._evaluate(watched)

    def on_incident(self, watched: Watched, incident: Incident) -> None:
        del incident
        self._alerts.look(watched.name)

    def on_renamed(self, old: str, watched: Watched) -> None:
        self._forget(old)
        self._alerts.rename(old, watched.name)

    def on_removed(self, watched: Watched) -> None:
        self._forget(watched.name)
        self._alerts.retire(watched.name)

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        self._alerts.see(is_isolated=is_isolated)

    def on_clock_step(self, step: ClockStep) -> None:
        self._alerts.follow_clock(step.moment)

    def _evaluate(self, watched: Watched) -> None:
        is_flapping = watched.state.health.flapping.is_flapping
        (self._flapping.add if is_flapping else self._flapping.discard)(watched.name)
        self._alerts.look(watched.name)

    def _forget(self, name: str) -> None:
        self._flapping.discard(name)
        self._checked.discard(name)
