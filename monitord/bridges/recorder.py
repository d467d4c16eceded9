"""Hands what happens to the history, and what the history kept back to the monitors: the one place where both meet.

All calls into the history return at once, whatever its disk does. What a monitor that leaves the configuration was
stays known, so that a typo and a reload lose nothing; its incident is closed, as nobody looks any more.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitord.clock import Clock
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.registry import Registry
from monitord.dispatch.saved import SavedMonitor, encode, restore, result_record
from monitord.dispatch.sink import Sink
from monitord.dispatch.state import MonitorState
from monitord.dispatch.watched import Watched
from monitord.history import History, Kept
from monitord.model import Incident, Result, State, Transition
from monitord.monitors import Monitor

MOST_GONE = 20_000
"""Monitors that are not there any more whose states are kept: those that come by themselves may all have new names."""

ISOLATION = "isolation"
"""The key under which it is stored that this host is isolated; absent while it is not."""


class Recorder(Sink):
    """Records every event. `kept`: what an earlier run has stored."""

    def __init__(
        self, history: History, registry: Registry, clock: Clock, kept: Kept, most_gone: int = MOST_GONE
    ) -> None:
        self._history = history
        self._registry = registry
        self._clock = clock
        self._most_gone = most_gone
        self._states: dict[str, Mapping[str, Any]] = dict(kept.states)
        self._incidents = {incident.monitor: incident for incident in kept.open_incidents}
        self._saved: MonitorState | None = None
        """The state that was saved last."""

    def recall(self, monitor: Monitor[Any]) -> SavedMonitor | None:
        """What an earlier run, or an earlier configuration, has stored of this monitor."""
        settings = monitor.settings
        names = (settings.name, settings.renamed_from)
        name = next((name for name in names if name is not None and name in self._states), None)
        if name is None:
            return None
        if name != settings.name:
            self._history.rename(name, settings.name)
        incident, now = self._incidents.pop(name, None), self._clock.now()
        saved = restore(self._states.pop(name), settings, now, self._clock.monotonic_s())
        if saved is None:
            if incident is not None:
                # Nobody will see its end: the monitor is of another type now, or its state cannot be read.
                self._history.add_incident(replace(incident, monitor=settings.name, closed_at=now))
            return None
        if incident is not None:
            saved = replace(
                saved, state=replace(saved.state, incident=replace(incident, monitor=settings.name))
            )
        if saved.state.stands is not State.PENDING:
            self._history.stand(settings.name, saved.state.stands, in_maintenance=False, at=now)
        return saved

    def close_other_incidents(self) -> None:
        """At the end of the start: close the stored incidents of monitors that are not configured any more."""
        for incident in self._incidents.values():
            self._history.add_incident(replace(incident, closed_at=self._clock.now()))
        self._incidents.clear()
        self._forget_the_oldest()

    def save(self) -> None:
        """Before a stop: what monitors remember beside their checks, such as the last beat."""
        for watched in self._registry.watched.values():
            self._save(watched)

    def on_result(self, watched: Watched, result: Result) -> None:
        # The span of the new state begins with the transition, which comes next if there is one.
        record = result_record(result)
        self._history.add_result(watched.name, result, watched.state.stands, record)
        self._save(watched, record)

    def on_transition(self, watched: Watched, transition: Transition) -> None:
        # Where the clock was set meanwhile, spans that are open end and begin before this one.
        self._history.tick(self._clock.now())
        self._history.add_transition(transition)
        self._stand(watched, transition)
        if self._saved is not watched.state:  # saved with the result that has caused the transition
            self._save(watched)

    def on_update(self, watched: Watched) -> None:
        self._stand(watched)
        self._save(watched)

    def on_incident(self, watched: Watched, incident: Incident) -> None:
        del watched  # an incident is no part of the stored state
        self._history.add_incident(incident)

    def on_renamed(self, old: str, watched: Watched) -> None:
        self._history.rename(old, watched.name)
        self._stand(watched)
        self._save(watched)

    def on_removed(self, watched: Watched) -> None:
        self._history.leave(watched.name, self._clock.now())
        self._states.pop(watched.name, None)
        self._states[watched.name] = self._record(watched)
        self._forget_the_oldest()

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        since = {"since": self._clock.now().timestamp()}
        self._history.save_own(ISOLATION, since if is_isolated else None)

    def on_clock_step(self, step: ClockStep) -> None:
        del step
        for watched in self._registry.watched.values():
            if watched.state.incident is not None:
                self._history.add_incident(watched.state.incident)
            self._save(watched)

    def _forget_the_oldest(self) -> None:
        while len(self._states) > self._most_gone:
            name = next(iter(self._states))
            del self._states[name]
            self._history.forget(name)

    def _stand(self, watched: Watched, transition: Transition | None = None) -> None:
        # A fall began with the first of its failures, and its time counts from there.
        at = self._clock.now() if transition is None else transition.since
        state = watched.state
        if state.stands is not State.PENDING or transition is not None:
            in_maintenance = state.window is not None
            self._history.stand(watched.name, state.stands, in_maintenance=in_maintenance, at=at)

    def _save(self, watched: Watched, last: Mapping[str, Any] | None = None) -> None:
        self._saved = watched.state
        self._history.save_state(watched.name, self._record(watched, last))

    def _record(self, watched: Watched, last: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return encode(
            watched.state,
            type_name=watched.monitor.type_name,
            memory=watched.dump_state(),
            due_at=watched.cycle.due_at,
            now=self._clock.now(),
            now_s=self._clock.monotonic_s(),
            last=last,
        )
