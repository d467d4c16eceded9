"""Records events in the history, and returns the stored states of an earlier run.

All calls of the history return at once, even if its disk does not respond. The state of a removed monitor remains
stored, so that a typo followed by a reload loses nothing; its incident is closed, because no check would detect the
recovery.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from monitord.clock import Clock
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.registry import Registry
from monitord.dispatch.saved import SavedMonitor, encode, restore, result_to_record
from monitord.dispatch.sink import Sink
from monitord.dispatch.state import MonitorState
from monitord.history import History, SavedState
from monitord.model import Incident, Result, State, Transition
from monitord.monitors import Monitor

MAX_REMOVED = 20_000
"""Stored states of removed monitors. Automatic monitors can have a new name each time."""

ISOLATION = "isolation"
"""The key under which the isolation of this host is stored; absent while it is not isolated."""


class Recorder(Sink):
    """Records every event. `saved_state`: the stored data of an earlier run."""

    def __init__(
        self,
        history: History,
        registry: Registry,
        clock: Clock,
        saved_state: SavedState,
        max_removed: int = MAX_REMOVED,
    ) -> None:
        self._history = history
        self._registry = registry
        self._clock = clock
        self._max_removed = max_removed
        self._unclaimed_states: dict[str, Mapping[str, Any]] = dict(saved_state.states)
        self._incidents = {incident.monitor: incident for incident in saved_state.open_incidents}
        self._saved: MonitorState | None = None
        """The state that was saved last."""

    def claim_saved_monitor(self, monitor: Monitor[Any]) -> SavedMonitor | None:
        """Return the stored state of this monitor from an earlier run or configuration; None if there is none.

        The state and its open incident are removed from the unclaimed states. The history of a monitor that was renamed
        is renamed, and the time span of the restored state continues. If the state cannot be used, because it is
        unreadable or the type of the monitor has changed, its incident is closed.
        """
        settings = monitor.settings
        names = (settings.name, settings.renamed_from)
        name = next((name for name in names if name is not None and name in self._unclaimed_states), None)
        if name is None:
            return None
        if name != settings.name:
            self._history.rename(name, settings.name)
        incident, now = self._incidents.pop(name, None), self._clock.now()
        saved = restore(self._unclaimed_states.pop(name), settings, now, self._clock.monotonic_s())
        if saved is None:
            if incident is not None:
                # The monitor has another type now, or its state cannot be read: no check would detect the recovery.
                self._history.add_incident(replace(incident, monitor=settings.name, closed_at=now))
            return None
        if incident is not None:
            saved = replace(
                saved, state=replace(saved.state, incident=replace(incident, monitor=settings.name))
            )
        if saved.state.effective is not State.PENDING:
            self._history.record_state(settings.name, saved.state.effective, in_maintenance=False, at=now)
        return saved

    def close_other_incidents(self) -> None:
        """At the end of a start, close the stored incidents of monitors that are no longer configured."""
        for incident in self._incidents.values():
            self._history.add_incident(replace(incident, closed_at=self._clock.now()))
        self._incidents.clear()
        self._forget_oldest_removed()

    def save(self) -> None:
        """Before a stop, store the data of types that changes between checks, such as the last heartbeat."""
        for entry in self._registry.entries.values():
            self._save(entry)

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        # The span of a new state begins with its transition, which is the next event.
        record = result_to_record(result)
        self._history.add_result(entry.name, result, entry.state.effective, record)
        self._save(entry, record)

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        # If the clock was changed in the meantime, open spans are ended and continued before this one begins.
        self._history.tick(self._clock.now())
        self._history.add_transition(transition)
        self._record_span(entry, transition)
        if self._saved is not entry.state:  # else saved with the result of this transition
            self._save(entry)

    def on_update(self, entry: MonitorEntry) -> None:
        self._record_span(entry)
        self._save(entry)

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        del entry  # an incident is not part of the stored state
        self._history.add_incident(incident)

    def on_renamed(self, old: str, entry: MonitorEntry) -> None:
        self._history.rename(old, entry.name)
        self._record_span(entry)
        self._save(entry)

    def on_removed(self, entry: MonitorEntry) -> None:
        self._history.end_span(entry.name, self._clock.now())
        self._unclaimed_states.pop(entry.name, None)
        self._unclaimed_states[entry.name] = self._encode_state(entry)
        self._forget_oldest_removed()

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        since = {"since": self._clock.now().timestamp()}
        self._history.save_daemon_state(ISOLATION, since if is_isolated else None)

    def on_clock_step(self, step: ClockStep) -> None:
        del step
        for entry in self._registry.entries.values():
            if entry.state.incident is not None:
                self._history.add_incident(entry.state.incident)
            self._save(entry)

    def _forget_oldest_removed(self) -> None:
        while len(self._unclaimed_states) > self._max_removed:
            name = next(iter(self._unclaimed_states))
            del self._unclaimed_states[name]
            self._history.remove(name)

    def _record_span(self, entry: MonitorEntry, transition: Transition | None = None) -> None:
        # Downtime counts from the first of the failures.
        at = self._clock.now() if transition is None else transition.since
        state = entry.state
        if state.effective is not State.PENDING or transition is not None:
            in_maintenance = state.maintenance is not None
            self._history.record_state(entry.name, state.effective, in_maintenance=in_maintenance, at=at)

    def _save(self, entry: MonitorEntry, last: Mapping[str, Any] | None = None) -> None:
        self._saved = entry.state
        self._history.save_state(entry.name, self._encode_state(entry, last))

    def _encode_state(self, entry: MonitorEntry, last: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return encode(
            entry.state,
            type_name=entry.monitor.type_name,
            type_state=entry.dump_state(),
            due_at_s=entry.cycle.due_at_s,
            now=self._clock.now(),
            now_s=self._clock.monotonic_s(),
            last=last,
        )
