"""Unconfirmed failures that wait for the state of their parents or of this host.

A failure is held while a parent has a soft failure or has not been checked since, and while this host may be isolated.
The monitors whose results decide whether it is confirmed are checked at once.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from monitord.clock import Clock
from monitord.dispatch.connectivity import Connectivity
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.registry import Registry
from monitord.dispatch.state import MonitorState
from monitord.health import ParentState
from monitord.model import Result, State, Verdict

PARENTS_MARGIN_S = 3.0
"""Additional time for a check of a parent until it is abandoned."""


class HeldFailures:
    """Failures that wait for the state of their parents or of this host.

    `confirm` is called with a monitor whose failure is no longer held, and the state of its parents. `processing`: the
    monitor whose result is being processed; its check has not ended yet.
    """

    def __init__(
        self,
        clock: Clock,
        registry: Registry,
        connectivity: Connectivity,
        confirm: Callable[[MonitorEntry, ParentState], None],
    ) -> None:
        self.processing: MonitorEntry | None = None
        self._clock = clock
        self._registry = registry
        self._connectivity = connectivity
        self._confirm = confirm
        self._held: dict[str, bool] = {}
        """By monitor. True: a parent had a soft failure, so the failure is rechecked instead of confirmed when the
        parent recovers."""
        self._awaited: set[str] = set()
        """The monitors whose results can release held failures."""
        self._waits_for_isolation = False

    def state_with_failure(self, entry: MonitorEntry) -> MonitorState:
        """Return the state with the time of the first unconfirmed failure. `entry` has just failed."""
        state, started_at_s = entry.state, entry.cycle.started_at_s
        if state.health.is_soft and state.failing_since_s > -math.inf:
            return replace(state, last_started_at_s=started_at_s)
        now_s = self._clock.monotonic_s()
        # A check of a parent that is running started before the failure, and has to end first.
        longest_s = max(
            (parent.time_limit_s for parent in self._registry.parents_to_check(entry)), default=0.0
        )
        return replace(
            state,
            last_started_at_s=started_at_s,
            failing_since_s=now_s,
            parents_deadline_s=now_s + 2 * (longest_s + PARENTS_MARGIN_S),
        )

    def hold(self, entry: MonitorEntry, result: Result) -> ParentState:
        """Hold the failure if the state of its parents, or of this host, is not known yet.

        Return the state of the parents; FAILING if the failure is held.
        """
        if result.verdict is not Verdict.FAIL or entry.state.health.state is State.DOWN:
            return ParentState.AVAILABLE
        parent_state = self._registry.parent_state(entry)
        is_failing = parent_state is ParentState.FAILING
        if (
            parent_state is ParentState.AVAILABLE
            and self._clock.monotonic_s() <= entry.state.parents_deadline_s
        ):
            parent_state = self._registry.parent_state(
                entry, lambda parent: self._is_checked_since(parent, entry)
            )
        if self._connectivity.isolation.is_suspected and self._connectivity.indicates_isolation(
            entry, result
        ):
            self._waits_for_isolation = True
            parent_state = max(parent_state, ParentState.FAILING)
        if parent_state is ParentState.FAILING:
            self._held[entry.name] = is_failing or self._held.get(entry.name, False)
            self._awaited.update(parent.name for parent in self._registry.parents_to_check(entry))
        return parent_state

    def wake_parents(self, entry: MonitorEntry) -> None:
        """Check the parents at once, to find out whether a parent caused the failure."""
        for parent in self._registry.parents_to_check(entry):
            is_being_checked = parent.cycle.is_queued or (
                parent.cycle.is_checking
                and parent is not self.processing
                and parent.cycle.started_at_s >= entry.state.failing_since_s
            )
            if not is_being_checked and not self._is_checked_since(parent, entry):
                parent.wake()

    def release(self, updated: MonitorEntry | None = None) -> None:
        """Confirm or discard held failures whose cause is now known.

        `updated`: the monitor with a new result; None if only time has passed.
        """
        if not self._held:
            return
        is_isolation_known = self._waits_for_isolation and not self._connectivity.isolation.is_suspected
        if updated is not None and updated.name not in self._awaited and not is_isolation_known:
            return
        self._waits_for_isolation = False
        self._awaited.clear()
        while [name for name in list(self._held) if self._release(name)]:
            pass  # the new state of a monitor can release its dependents

    def _release(self, name: str) -> bool:
        """Confirm or discard the failure if its cause is known. Return whether it is no longer held."""
        entry = self._registry.entries.get(name)
        last = None if entry is None else entry.state.last
        if entry is None or last is None or entry.state.pause is not None or not entry.state.health.is_soft:
            del self._held[name]
            return True
        if self._connectivity.isolation.is_isolated and self._connectivity.indicates_isolation(entry, last):
            del self._held[name]
            return True
        parent_state = self.hold(entry, last)
        if parent_state is ParentState.FAILING:
            self.wake_parents(entry)
            return False
        if self._held.pop(name) and parent_state is ParentState.AVAILABLE:
            # It may have failed because of the parent, which has recovered: only another check can show that.
            entry.wake()
        else:
            self._confirm(entry, parent_state)
        return True

    def _is_checked_since(self, parent: MonitorEntry, failing: MonitorEntry) -> bool:
        """Return whether the check of the last result of the parent started after the failure."""
        if parent.state.last_started_at_s < failing.state.failing_since_s:
            return False
        # The state of a group follows from the states of its members, and can be about to change.
        cycle = parent.cycle
        return not self._registry.is_group(parent) or not (
            cycle.is_queued or cycle.is_woken or (cycle.is_checking and parent is not self.processing)
        )
