"""Hands what happens to the history, and what the history kept back to the monitors: the one place where both meet.

All calls into the history return at once, whatever its disk does. What a monitor that leaves the configuration was
stays known, so that a typo and a reload lose nothing; its incident is closed, as nobody looks any more.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitord.clock import Clock
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.saved import restore, result_record, saved
from monitord.dispatch.watched import Watched
from monitord.history import History, Kept
from monitord.model import Health, Incident, Result, Transition

MOST_GONE = 20_000
"""Monitors that are not there any more whose states are kept: those that come by themselves may all have new names."""

ISOLATION = "isolation"
"""The key under which it is stored that this host is isolated; absent while it is not."""


class Recorder:
    """Listens to the pipeline. `kept` before the first monitor is watched, then `attach`."""

    def __init__(
        self, history: History, pipeline: Pipeline, clock: Clock, most_gone: int = MOST_GONE
    ) -> None:
        self._history = history
        self._pipeline = pipeline
        self._clock = clock
        self._most_gone = most_gone
        self._states: dict[str, Mapping[str, Any]] = {}
        self._incidents: dict[str, Incident] = {}

    def attach(self, kept: Kept) -> None:
        """Begin to listen. `kept` is what an earlier run has left."""
        self._states = dict(kept.states)
        self._incidents = {incident.monitor: incident for incident in kept.open_incidents}
        self._pipeline.listeners.append(self._hear)
        self._pipeline.incident_listeners.append(self._hear_incident)
        self._pipeline.rename_listeners.append(self._hear_rename)
        self._pipeline.retire_listeners.append(self._hear_end)
        if ISOLATION in kept.own:
            self._pipeline.restore_blindness()
        self._pipeline.blindness_listeners.append(self._hear_blindness)
        self._pipeline.clock_listeners.append(self._hear_clock)

    def recall(self, watched: Watched) -> float | None:
        """See `Dispatcher.recall`."""
        names = (watched.name, watched.monitor.settings.renamed_from)
        name = next((name for name in names if name is not None and name in self._states), None)
        if name is None:
            return None
        if name != watched.name:
            self._history.rename(name, watched.name)
        incident = self._incidents.pop(name, None)
        if incident is not None:
            incident = replace(incident, monitor=watched.name)
        record = self._states.pop(name)
        due_at = restore(watched, record, incident, self._clock.now(), self._clock.monotonic_s())
        if incident is not None and watched.incident is None:
            # It was of another type, or could not be read: what it was about is not watched any more.
            self._history.add_incident(replace(incident, closed_at=self._clock.now()))
        self._stand(watched)
        return due_at

    def settle(self) -> None:
        """All monitors are there: incidents of those that are not, are over."""
        for incident in self._incidents.values():
            self._history.add_incident(replace(incident, closed_at=self._clock.now()))
        self._incidents.clear()
        self._forget_the_oldest()

    def save(self) -> None:
        """Before a stop: what monitors remember beside their checks, such as the last beat."""
        for watched in self._pipeline.roster.watched.values():
            self._save(watched)

    def _hear(self, watched: Watched, result: Result | None, transition: Transition | None) -> None:
        record = None
        if result is not None:
            record = result_record(result)
            self._history.add_result(watched.name, result, watched.stands, record)
        if transition is not None:
            # Where the clock was set meanwhile, spans that are open end and begin before this one.
            self._history.tick(self._clock.now())
            self._history.add_transition(transition)
        self._stand(watched, transition)
        self._save(watched, record)

    def _hear_incident(self, watched: Watched, incident: Incident) -> None:
        self._history.add_incident(incident)
        self._save(watched)

    def _hear_clock(self, _: ClockStep) -> None:
        for watched in self._pipeline.roster.watched.values():
            if watched.incident is not None:
                self._history.add_incident(watched.incident)
            self._save(watched)

    def _hear_blindness(self, is_blind: bool) -> None:  # noqa: FBT001 - a listener
        since = {"since": self._clock.now().timestamp()}
        self._history.save_own(ISOLATION, since if is_blind else None)

    def _hear_rename(self, old: str, watched: Watched) -> None:
        self._history.rename(old, watched.name)
        self._save(watched)

    def _hear_end(self, watched: Watched) -> None:
        now = self._clock.now()
        if watched.incident is not None:
            self._pipeline.change_incident(watched, replace(watched.incident, closed_at=now))
        self._history.leave(watched.name, now)
        self._states.pop(watched.name, None)
        self._states[watched.name] = self._record(watched)
        self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        while len(self._states) > self._most_gone:
            name = next(iter(self._states))
            del self._states[name]
            self._history.forget(name)

    def _stand(self, watched: Watched, transition: Transition | None = None) -> None:
        # A fall began with the first of its failures, and its time counts from there.
        at = self._clock.now() if transition is None else transition.since
        in_maintenance = watched.window is not None
        if watched.stands is not Health.PENDING or transition is not None:
            self._history.stand(watched.name, watched.stands, in_maintenance=in_maintenance, at=at)

    def _save(self, watched: Watched, last: Mapping[str, Any] | None = None) -> None:
        self._history.save_state(watched.name, self._record(watched, last))

    def _record(self, watched: Watched, last: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return saved(watched, self._clock.now(), self._clock.monotonic_s(), last)
