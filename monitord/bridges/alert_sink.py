"""The connection of the pipeline with the alerts.

`AlertInputs` returns the data from which the alert of a monitor is evaluated, including suppression by maintenance, a
silence or an acknowledgement. `AlertSink` is the sink that evaluates alerts.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from monitord.alerts import AlertInput, Alerts, Suppression, SuppressionReason
from monitord.clock import Clock
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink
from monitord.model import Incident, Reason, Result, State, Transition, Verdict
from monitord.notifiers import MAX_RELATED, NotificationContext
from monitord.text import shortened

MAX_EXCERPT_CHARACTERS = 500
"""Characters of the response excerpt in a notification."""
_NOT_UP = frozenset({State.DOWN, State.DEGRADED, State.UNREACHABLE})


class AlertInputs:
    """Source of the data from which alerts are evaluated.

    Notifications about a monitor are suppressed until a check of this run has set its state (`mark_checked`), and
    after a pause until the next check (`mark_unchecked`).
    """

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._checked: set[str] = set()

    def mark_checked(self, name: str) -> bool:
        """Record that a check of this run has set the state. Return False if it was recorded before."""
        is_new = name not in self._checked
        self._checked.add(name)
        return is_new

    def mark_unchecked(self, name: str) -> None:
        """Suppress notifications until the next check."""
        self._checked.discard(name)

    def of(self, name: str) -> AlertInput | None:
        """Return the data of a monitor; None if it does not exist."""
        entry = self._registry.entries.get(name)
        if entry is None:
            return None
        now = self._clock.now()
        state = entry.state
        last = state.last.observation if state.last is not None else None
        reason, detail = (Reason.OK, "") if last is None else (last.reason, last.detail)
        can_flap = state.effective in {State.UP, State.DEGRADED, State.DOWN}
        if state.cluster is not None:
            # The checks of this node, if there are any, are only one of the votes.
            reason, detail = state.cluster.reason, state.cluster.detail
        return AlertInput(
            monitor=name,
            type_name=entry.monitor.type_name,
            tags=entry.monitor.settings.tags,
            state=state.effective,
            since=state.effective_since or now,
            reason=reason,
            detail=detail,
            is_flapping=can_flap and state.is_flapping,
            suppression=self._suppression(entry, now),
            context=entry.monitor.settings.context,
        )

    def context_of(self, name: str) -> NotificationContext | None:
        """Return the context of a notification about a monitor; None if the monitor does not exist."""
        entry = self._registry.entries.get(name)
        if entry is None:
            return None
        settings, entries = entry.monitor.settings, self._registry.entries
        names = dict.fromkeys((*settings.depends_on, *settings.depends_on_any))
        last = entry.state.last
        excerpt = None if last is None else last.observation.excerpt
        return NotificationContext(
            settings=settings.context,
            excerpt=shortened(excerpt or "", MAX_EXCERPT_CHARACTERS),
            passed_at=entry.state.passed_at,
            parents=_names_not_up(entries[name] for name in names if name in entries),
            siblings=_names_not_up(self._registry.siblings(entry)),
            dependents=tuple(entry.name for entry in self._registry.dependents(name)[:MAX_RELATED]),
        )

    def _suppression(self, entry: MonitorEntry, now: datetime) -> Suppression | None:
        if entry.state.maintenance is not None:
            return Suppression(SuppressionReason.MAINTENANCE, window=entry.state.maintenance.name)
        silence = self._registry.silence_of(entry, now)
        if silence is not None:
            return Suppression(SuppressionReason.SILENCED, by=silence.by, until=silence.until)
        incident = entry.state.incident
        if incident is not None and incident.acknowledged_by is not None:
            return Suppression(SuppressionReason.ACKNOWLEDGED, by=incident.acknowledged_by)
        if entry.state.cluster is None and entry.name not in self._checked:
            return Suppression(SuppressionReason.NOT_CHECKED)
        return None


def _names_not_up(entries: Iterable[MonitorEntry]) -> tuple[str, ...]:
    return tuple(islice((entry.name for entry in entries if entry.state.effective in _NOT_UP), MAX_RELATED))


class AlertSink(Sink):
    """Sink that evaluates the alert of a monitor when its state changes."""

    def __init__(self, alerts: Alerts, inputs: AlertInputs, registry: Registry) -> None:
        self._alerts = alerts
        self._registry = registry
        self._inputs = inputs
        self._flapping: set[str] = set()

    def evaluate_all(self, *, is_isolated: bool) -> None:
        """Evaluate the alerts of all monitors after a start, and of monitors removed or renamed in the meantime."""
        entries = self._registry.entries
        for name, entry in entries.items():
            old_name = entry.monitor.settings.renamed_from
            if old_name is not None and old_name not in entries:
                self._alerts.rename(old_name, name)
        self._alerts.evaluate_all(entries, is_isolated=is_isolated)

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        settles_state = result.verdict is not Verdict.INCONCLUSIVE or entry.state.effective is State.UNKNOWN
        if settles_state and self._inputs.mark_checked(entry.name):
            # The first check after a restart or pause: the alert is evaluated although there may be no transition.
            self._evaluate(entry)
        else:
            self.on_update(entry)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        if transition.before is State.PAUSED:
            # The state from before the pause may be outdated: wait for a check.
            self._inputs.mark_unchecked(entry.name)
        self._evaluate(entry)

    def on_update(self, entry: MonitorEntry) -> None:
        # Changes by time alone are evaluated by the alerts themselves.
        if entry.state.is_flapping is not (entry.name in self._flapping):
            self._evaluate(entry)

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        del incident
        self._alerts.evaluate(entry.name)

    def on_renamed(self, old: str, entry: MonitorEntry) -> None:
        self._discard(old)
        self._alerts.rename(old, entry.name)

    def on_removed(self, entry: MonitorEntry) -> None:
        self._discard(entry.name)
        self._alerts.remove(entry.name)

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        self._alerts.update_isolation(is_isolated=is_isolated)

    def on_clock_step(self, step: ClockStep) -> None:
        self._alerts.adjust_times(step.shift_past)

    def _evaluate(self, entry: MonitorEntry) -> None:
        is_flapping = entry.state.is_flapping
        (self._flapping.add if is_flapping else self._flapping.discard)(entry.name)
        self._alerts.evaluate(entry.name)

    def _discard(self, name: str) -> None:
        self._flapping.discard(name)
        self._inputs.mark_unchecked(name)
