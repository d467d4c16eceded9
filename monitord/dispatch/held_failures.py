"""Failures that are not confirmed before the state of their parents, or of this host, is known.

A failure is held while a parent has a soft failure or has not been checked since, and while this host may be isolated.
The monitors whose results decide about it are checked at once. It is released when they have decided.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from monitord.clock import Clock
from monitord.dispatch.connectivity import Connectivity
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.registry import Registry
from monitord.dispatch.state import MonitorState
from monitord.health import Parents
from monitord.model import Result, State, Verdict

PARENTS_MARGIN_S = 3.0
"""Additional time for a check of a parent until it is abandoned."""


class HeldFailures:
    """`confirm` is called with a monitor whose failure is no longer held, and the state of its parents.

    `concluding`: the monitor whose check has a result, but has not ended yet.
    """

    def __init__(
        self,
        clock: Clock,
        registry: Registry,
        connectivity: Connectivity,
        confirm: Callable[[MonitorEntry, Parents], None],
    ) -> None:
        self.concluding: MonitorEntry | None = None
        self._clock = clock
        self._registry = registry
        self._connectivity = connectivity
        self._confirm = confirm
        self._held: dict[str, bool] = {}
        """By monitor. True: a parent has a soft failure, so that failures found before it recovers prove nothing."""
        self._awaited: set[str] = set()
        """The monitors whose results may decide about the held failures."""
        self._awaits_suspicion = False

    def state_with_failure(self, entry: MonitorEntry) -> MonitorState:
        """The state with the time of the first unconfirmed failure. `entry` has just failed."""
        state, began_at_s = entry.state, entry.cycle.began_at_s
        if state.health.is_soft and state.failing_since > -math.inf:
            return replace(state, last_began_at_s=began_at_s)
        now_s = self._clock.monotonic_s()
        # A check of a parent that is running began before the failure, and has to end first.
        longest_s = max((source.time_limit_s for source in self._registry.sources(entry)), default=0.0)
        return replace(
            state,
            last_began_at_s=began_at_s,
            failing_since=now_s,
            parents_until=now_s + 2 * (longest_s + PARENTS_MARGIN_S),
        )

    def hold(self, entry: MonitorEntry, result: Result) -> Parents:
        """Hold the failure if its parents or this host are not known yet: then the parents count as FAILING."""
        if result.verdict is not Verdict.FAIL or entry.state.health.state is State.DOWN:
            return Parents.AVAILABLE
        parents = self._registry.parents(entry)
        is_failing = parents is Parents.FAILING
        if parents is Parents.AVAILABLE and self._clock.monotonic_s() <= entry.state.parents_until:
            parents = self._registry.parents(entry, lambda source: self._is_checked_since(source, entry))
        if self._connectivity.isolation.is_suspected and self._connectivity.is_evidence(entry, result):
            self._awaits_suspicion = True
            parents = max(parents, Parents.FAILING)
        if parents is Parents.FAILING:
            self._held[entry.name] = is_failing or self._held.get(entry.name, False)
            self._awaited.update(source.name for source in self._registry.sources(entry))
        return parents

    def wake_sources(self, entry: MonitorEntry) -> None:
        """Check the monitors at once that show whether the failure is the monitor's own."""
        for source in self._registry.sources(entry):
            is_being_checked = source.cycle.is_queued or (
                source.cycle.is_checking
                and source is not self.concluding
                and source.cycle.began_at_s >= entry.state.failing_since
            )
            if not is_being_checked and not self._is_checked_since(source, entry):
                source.wake()

    def release(self, after: MonitorEntry | None = None) -> None:
        """Release the failures that are decided. `after`: the monitor with a new result; None: time has passed."""
        if not self._held:
            return
        is_decided = self._awaits_suspicion and not self._connectivity.isolation.is_suspected
        if after is not None and after.name not in self._awaited and not is_decided:
            return
        self._awaits_suspicion = False
        self._awaited.clear()
        while [name for name in list(self._held) if self._release(name)]:
            pass  # a decision about a monitor may decide about its dependents

    def _release(self, name: str) -> bool:
        """Release the failure if it is decided. Return whether it is no longer held."""
        entry = self._registry.entries.get(name)
        last = None if entry is None else entry.state.last
        if entry is None or last is None or entry.state.pause is not None or not entry.state.health.is_soft:
            del self._held[name]
            return True
        if self._connectivity.isolation.is_isolated and self._connectivity.is_evidence(entry, last):
            del self._held[name]
            return True
        parents = self.hold(entry, last)
        if parents is Parents.FAILING:
            self.wake_sources(entry)
            return False
        if self._held.pop(name) and parents is Parents.AVAILABLE:
            # It may have failed because of the parent, which has recovered: only another check can show that.
            entry.wake()
        else:
            self._confirm(entry, parents)
        return True

    def _is_checked_since(self, parent: MonitorEntry, failing: MonitorEntry) -> bool:
        """Whether the check of the last result of the parent began after the failure."""
        if parent.state.last_began_at_s < failing.state.failing_since:
            return False
        # The state of a group follows from those of its members, and can be about to change.
        cycle = parent.cycle
        return not self._registry.is_group(parent) or not (
            cycle.is_queued or cycle.is_woken or (cycle.is_checking and parent is not self.concluding)
        )
