"""The consumers of results: each is a `Sink`, and overrides the handlers of the events that it needs.

The pipeline has an ordered tuple of sinks and calls the handler of each event on all of them, in order. A handler must
not block. Its exceptions are logged, and that sink misses that event: neither the result nor the other sinks are
affected.
"""

from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.entry import MonitorEntry
from monitord.model import Incident, Result, Transition


class Sink:
    """Base class of the consumers of results. All handlers do nothing by default."""

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        """Called when a check has ended. A transition that follows from it is the next event."""

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        """Called when the state has changed: by a check, a pause, or too long a time without a conclusive result."""

    def on_update(self, entry: MonitorEntry) -> None:
        """Called when a detail other than the state has changed: a maintenance window, or the comment of a pause."""

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        """Called when an incident was opened, acknowledged, unacknowledged or closed."""

    def on_renamed(self, old: str, entry: MonitorEntry) -> None:
        """Called when a monitor continues under a new name."""

    def on_removed(self, entry: MonitorEntry) -> None:
        """Called when a monitor was removed. Its incident is closed already."""

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        """Called when this host seems to have lost connectivity, and when it has regained it."""

    def on_clock_step(self, step: ClockStep) -> None:
        """Called when the wall clock was set. The times of the monitors are shifted already."""
