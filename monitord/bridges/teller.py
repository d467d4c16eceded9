"""Hands what happens to monitors on to those who tell people: the one place where both meet.

It decides what suppresses notifications: a maintenance window, a silence, an acknowledgement.
"""

from datetime import datetime

from monitord.alerts import Alerts, Standing, Suppression, SuppressionReason
from monitord.clock import Clock
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.watched import Watched
from monitord.model import Health, Incident, Reason, Result, Transition, Verdict


class Teller:
    """Listens to the pipeline from `attach` on; after the recorder, so that both are kept together."""

    def __init__(self, alerts: Alerts, pipeline: Pipeline, clock: Clock) -> None:
        self._alerts = alerts
        self._pipeline = pipeline
        self._roster = pipeline.roster
        self._clock = clock
        self._flapping: set[str] = set()
        self._checked: set[str] = set()
        """Monitors with a conclusive check since they were started, or found unknown by one: only those are evaluated
        from what holds now."""

    def attach(self) -> None:
        self._alerts.standing_of = self._standing_of
        self._pipeline.listeners.append(self._hear)
        self._pipeline.incident_listeners.append(self._hear_incident)
        self._pipeline.rename_listeners.append(self._hear_rename)
        self._pipeline.retire_listeners.append(self._hear_end)
        self._pipeline.clock_listeners.append(self._hear_clock)
        self._pipeline.blindness_listeners.append(lambda is_blind: self._alerts.see(is_blind=is_blind))

    def _hear_clock(self, step: ClockStep) -> None:
        self._alerts.follow_clock(step.moment)

    def settle(self) -> None:
        """Evaluate all monitors at the end of a start, and the alerts of those that were removed or renamed."""
        watched = self._roster.watched
        for one in watched.values():
            before = one.monitor.settings.renamed_from
            if before is not None and before not in watched:
                self._alerts.rename(before, one.name)
        self._alerts.settle(watched, is_blind=self._pipeline.blindness.is_blind)

    def _hear(self, watched: Watched, result: Result | None, transition: Transition | None) -> None:
        name = watched.name
        is_flapping = watched.health.flapping.is_flapping
        if transition is not None and transition.before is Health.PAUSED:
            # The state from before the pause may be long over: a check comes first.
            self._checked.discard(name)
        if (
            name not in self._checked
            and result is not None
            and (result.verdict is not Verdict.UNSURE or watched.stands is Health.UNKNOWN)
        ):
            # The state that it was restored with holds: evaluate it although there is no transition.
            self._checked.add(name)
        elif is_flapping is (name in self._flapping) and transition is None:
            return  # what the time alone changes the alerts see to themselves
        (self._flapping.add if is_flapping else self._flapping.discard)(name)
        self._alerts.look(name)

    def _hear_incident(self, watched: Watched, _: Incident) -> None:
        self._alerts.look(watched.name)

    def _hear_rename(self, old: str, watched: Watched) -> None:
        self._forget(old)
        self._alerts.rename(old, watched.name)

    def _hear_end(self, watched: Watched) -> None:
        self._forget(watched.name)
        self._alerts.retire(watched.name)

    def _forget(self, name: str) -> None:
        self._flapping.discard(name)
        self._checked.discard(name)

    def _standing_of(self, name: str) -> Standing | None:
        self._pipeline.follow_clock()
        watched = self._roster.watched.get(name)
        if watched is None:
            return None
        now = self._clock.now()
        settings = watched.monitor.settings
        last = watched.last.observation if watched.last is not None else None
        is_told_well = watched.stands in {Health.UP, Health.DEGRADED, Health.DOWN}
        return Standing(
            monitor=name,
            type_name=watched.monitor.type_name,
            tags=settings.tags,
            health=watched.stands,
            since=watched.stands_since or now,
            reason=Reason.OK if last is None else last.reason,
            detail="" if last is None else last.detail,
            is_flapping=is_told_well and watched.health.flapping.is_flapping,
            suppression=self._suppression(watched, now),
        )

    def _suppression(self, watched: Watched, now: datetime) -> Suppression | None:
        if watched.window is not None:
            return Suppression(SuppressionReason.MAINTENANCE, window=watched.window.name)
        silence = self._roster.silence_of(watched, now)
        if silence is not None:
            return Suppression(SuppressionReason.SILENCED, by=silence.by, until=silence.until)
        incident = watched.incident
        if incident is not None and incident.acknowledged_by is not None:
            return Suppression(SuppressionReason.ACKNOWLEDGED, by=incident.acknowledged_by)
        if watched.name not in self._checked:
            return Suppression(SuppressionReason.NOT_CHECKED)
        return None
