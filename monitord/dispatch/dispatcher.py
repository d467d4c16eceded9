"""The scheduler: runs the checks of each monitor on time, independently of all other monitors.

Each running check has a task. A check that is due (`check_timers`) takes a slot (`slots`), runs through the pipeline
under a deadline, and is due again at the next point of its grid. Checks of a monitor never overlap: points of the grid
that a check overruns, or at which this process did not run, are skipped, counted and logged once. A check that ignores
its cancellation is abandoned: its monitor continues without it. `cycle` contains the table of the stages of a check.

Nothing here waits for storage, alerts, the journal or a web client.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from monitord.clock import Clock
from monitord.dispatch.check_log import CheckLog
from monitord.dispatch.check_timers import TIMER_TOLERANCE_S, CheckTimers
from monitord.dispatch.cycle import CheckCycle, CycleEvent, CycleStage
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.lateness import Lateness
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.placement import LocalPlacement, Placement
from monitord.dispatch.plan import ReloadPlan, plan_of
from monitord.dispatch.saved import SavedMonitor
from monitord.dispatch.schedule import TAKEOVER_WITHIN_S, first_due, grid_of, next_due
from monitord.dispatch.slots import Slots
from monitord.dispatch.state import ClusterState, MonitorState, Pause
from monitord.health import IsolationPolicy, TimeWindow
from monitord.model import Result, State
from monitord.monitors import Monitor, MonitorSettings

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 1.0
ABANDON_AFTER_S = 2.0
"""A check that still runs this long after its deadline has ignored its cancellation."""

CANCEL_WAIT_S = 1.0
"""A stop waits this long for cancelled checks to clean up."""

ClaimSavedMonitor = Callable[[Monitor[Any]], SavedMonitor | None]
"""Returns the stored data of a monitor, once; None if there is none, or if it has been returned already."""


class Dispatcher:
    """The scheduler, which owns all monitors. `start`, then `apply` for each configuration, then `close`."""

    def __init__(
        self,
        pipeline: Pipeline,
        slots: Slots[MonitorEntry],
        clock: Clock,
        check_log: CheckLog,
        claim_saved_monitor: ClaimSavedMonitor = lambda _: None,
        placement: Placement | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._slots = slots
        self._clock = clock
        self._log = check_log
        self._timers = CheckTimers(clock, self._on_due)
        self._sweeper: asyncio.TimerHandle | None = None
        self._swept_at_s = 0.0
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self.registry = pipeline.registry
        self.entries: Mapping[str, MonitorEntry] = pipeline.registry.entries
        self.lateness = Lateness()
        self.check_count = 0
        self.skipped_count = 0
        self.abandoned_count = 0
        self._claim_saved_monitor = claim_saved_monitor
        self._placement = LocalPlacement() if placement is None else placement
        self._on_wake = self._wake  # bound once, not once per monitor

    # -- lifetime -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the checks. Needs a running event loop."""
        self._is_running = True
        self._timers.start()
        self._swept_at_s = self._clock.monotonic_s()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)

    async def close(self, grace_s: float) -> None:
        """Start no more checks; cancel running ones after `grace_s`. May be called twice."""
        self._is_running = False
        self._timers.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCEL_WAIT_S)
        for entry in self.entries.values():
            entry.cycle.cancel_requests()
            await self._close_monitor(entry.monitor)
        for name in list(self.entries):
            self.registry.remove(name)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CANCEL_WAIT_S)

    def overdue_s(self) -> float:
        """Return how long the earliest check timer is overdue, in seconds; a check that is queued for a slot is not."""
        return self._timers.overdue_s()

    def state_counts(self) -> Counter[State]:
        """The number of monitors in each state."""
        return Counter(entry.state.effective for entry in self.entries.values())

    @property
    def in_flight(self) -> int:
        """The number of checks that are running."""
        return len(self._tasks)

    @property
    def queued(self) -> int:
        """The number of checks that are queued for a slot."""
        return self._slots.queued

    # -- configuration ------------------------------------------------------------------------------------

    def plan(
        self, wanted: Iterable[MonitorSettings], build: Callable[[MonitorSettings], Monitor[Any]]
    ) -> ReloadPlan:
        """Build new and changed monitors without any effect yet. Propagates exceptions of `build`."""
        return plan_of(self.entries, wanted, build)

    def apply(
        self,
        plan: ReloadPlan,
        isolation: IsolationPolicy | None = None,
        windows: Sequence[TimeWindow] | None = None,
    ) -> None:
        """Apply a plan. Monitors that are not in it keep grid offset, streaks and connections. Cannot fail.

        `isolation` and `windows` replace the previous policy and maintenance windows; None keeps them.
        """
        now_s = self._clock.monotonic_s()
        removed: dict[str, MonitorEntry] = {}
        for name in plan.removed:
            removed[name] = previous = self.entries[name]
            self.registry.remove(name)
            self._detach(previous)
        for monitor in plan.changed:
            previous = self.entries[monitor.name]
            self._detach(previous)
            self._start_monitor(self._add_successor(monitor, previous, now_s))
        for monitor in plan.added:
            renamed = removed.pop(monitor.settings.renamed_from or "", None)
            if renamed is not None:
                entry = self._add_successor(monitor, renamed, now_s)
                self._pipeline.rename(renamed.name, entry)
            else:
                entry = self._add_saved(monitor, now_s)
            self._start_monitor(entry)
        for previous in removed.values():
            self._pipeline.remove(previous)
        self._reassign_all()
        self._pipeline.configure(isolation, windows)
        self._timers.update_handle()

    def refresh_local_times(self) -> None:
        """Evaluate maintenance windows, and check monitors that use local times, after a change of the time zone."""
        self._pipeline.refresh(force=True)
        for entry in list(self.entries.values()):
            if entry.monitor.uses_local_time:
                self._wake(entry)

    def add_automatic(self, monitor: Monitor[Any], *, is_checked_at_once: bool = False) -> None:
        """Add a monitor of a source, or replace the monitor of this name and continue its state.

        Call `commit_automatic` after the last call of this method and of `remove_automatic`.
        """
        now_s = self._clock.monotonic_s()
        previous = self.entries.get(monitor.name)
        if previous is None:
            entry = self._add_saved(monitor, now_s)
        else:
            self._detach(previous)
            entry = self._add_successor(monitor, previous, now_s)
        self._start_monitor(entry)
        self._pipeline.refresh_maintenance(entry)
        if is_checked_at_once:
            self._wake(entry)

    def remove_automatic(self, name: str) -> None:
        """Remove a monitor of a source. No error if it does not exist: the daemon may be stopping."""
        entry = self.registry.remove(name)
        if entry is not None:
            self._detach(entry)
            self._pipeline.remove(entry)

    def commit_automatic(self) -> None:
        """Update isolation and stall detection, and the timer handle, after changes of automatic monitors."""
        if self._is_running:
            self._reassign_all()
            self._pipeline.configure_monitors()
            self._timers.update_handle()

    def reassign(self, names: Iterable[str]) -> None:
        """Start or stop the checks of these monitors after the placement has changed.

        First checks are spread over TAKEOVER_WITHIN_S. A check that runs continues.
        """
        now_s, has_changed = self._clock.monotonic_s(), False
        for name in names:
            entry = self.entries.get(name)
            if entry is None:
                continue
            was_checked_here = entry.is_checked_here
            # A node that has to know at once whether a parent is down checks it as well. It has no vote on it.
            entry.is_checked_here = self._is_placed_here(entry) or self.registry.is_needed_as_parent(entry)
            if entry.is_checked_here is was_checked_here:
                continue
            has_changed = True
            if not entry.is_checked_here:
                self._stop_checks(entry)
                self._pipeline.isolation.forget(name)
            elif entry.state.pause is None:
                self._pipeline.begin_checks(entry)
                period_s = entry.monitor.settings.check_every_s
                self._timers.set(entry, first_due(name, period_s, now_s, TAKEOVER_WITHIN_S))
        if has_changed:
            self._pipeline.configure_monitors()
            self._timers.update_handle()

    def _reassign_all(self) -> None:
        """Reassign after a change of the monitors: others may have become parents."""
        if not isinstance(self._placement, LocalPlacement):
            self.reassign(list(self.entries))

    def is_shared(self, name: str) -> bool:
        """Whether a cluster decides the state of this monitor. Raises KeyError if it does not exist."""
        return self._placement.is_shared(self.entries[name].monitor)

    def _stop_checks(self, entry: MonitorEntry) -> None:
        """Clear the timer, and withdraw a check that is queued unless it was requested."""
        cycle = entry.cycle
        self._timers.clear(entry)
        if cycle.is_queued and not cycle.requests:
            cycle.advance(CycleEvent.WITHDRAWN)
            self._start_all(self._slots.cancel(entry, cycle.pool))

    def resize(self, total: int, per_pool: int, limits: Mapping[str, int] | None = None) -> None:
        """Change the limits of concurrent checks."""
        self._start_all(self._slots.resize(total, per_pool, limits))

    def _add(
        self,
        monitor: Monitor[Any],
        state: MonitorState,
        type_state: Mapping[str, Any] | None,
        due_at_s: float,
    ) -> MonitorEntry:
        cycle = CheckCycle(grid_of(monitor.name, monitor.settings.check_every_s), due_at_s)
        if state.cluster is not None and not self._placement.is_shared(monitor):
            state = replace(state, cluster=None)
        entry = MonitorEntry(monitor, cycle, state, on_wake=self._on_wake)
        entry.is_checked_here = self._is_placed_here(entry)
        entry.restore_state(type_state)
        self.registry.add(entry)
        if entry.is_scheduled:
            self._timers.set(entry, due_at_s)
        return entry

    def _is_placed_here(self, entry: MonitorEntry) -> bool:
        return not self._placement.is_shared(entry.monitor) or self._placement.is_checked_here(entry.name)

    def _as_placed(self, monitor: Monitor[Any], state: MonitorState) -> MonitorState:
        """Return the first state of a monitor. A shared monitor keeps its last state until a decision arrives."""
        if state.cluster is not None or not self._placement.is_shared(monitor):
            return state
        last = state.health.state if state.effective is State.PAUSED else state.effective
        return replace(state, cluster=ClusterState(last, state.effective_since))

    def _add_saved(self, monitor: Monitor[Any], now_s: float) -> MonitorEntry:
        """Add a monitor with the state of an earlier run or configuration, if one is stored."""
        due_at_s = first_due(monitor.name, monitor.settings.check_every_s, now_s)
        saved = self._claim_saved_monitor(monitor)
        if saved is None:
            initial = self._as_placed(monitor, MonitorState(conclusive_at_s=now_s))
            return self._add(monitor, initial, None, due_at_s)
        state = self._as_placed(monitor, saved.state)
        is_alerting = state.effective in {State.DOWN, State.DEGRADED} or state.is_flapping
        # Suppressed notifications are sent after the first check, so that check must be soon if there is an open alert.
        if saved.due_at_s is not None and (saved.due_at_s < due_at_s or not is_alerting):
            due_at_s = saved.due_at_s
        return self._add(monitor, state, saved.type_state, due_at_s)

    def _add_successor(self, monitor: Monitor[Any], previous: MonitorEntry, now_s: float) -> MonitorEntry:
        """Add a monitor that replaces a previous monitor, with its state unless the type has changed."""
        due_at_s = first_due(monitor.name, monitor.settings.check_every_s, now_s)
        if monitor.type_name == previous.monitor.type_name:
            return self._add(monitor, previous.state.with_other_settings(), previous.dump_state(), due_at_s)
        initial = self._as_placed(monitor, previous.state.with_other_type(now_s))
        entry = self._add(monitor, initial, None, due_at_s)
        self._pipeline.remove(previous)
        return entry

    def _start_monitor(self, entry: MonitorEntry) -> None:
        try:
            entry.monitor.start(entry.wake)
        except Exception:
            log.exception("%s: starting the monitor failed", entry.name)

    def _wake(self, entry: MonitorEntry) -> None:
        """Queue a check of a monitor that reports a change; after a running check, which may have started before it."""
        if not self._is_running or not entry.is_scheduled:
            return
        if entry.cycle.advance(CycleEvent.WOKEN) and entry.cycle.is_queued:
            self._queue(entry, self._clock.monotonic_s())

    def _detach(self, entry: MonitorEntry) -> None:
        """Stop the timer and the check of a monitor that is removed or replaced, and close the monitor."""
        cycle = entry.cycle
        self._timers.clear(entry)
        cycle.cancel_requests()
        before, check = cycle.stage, cycle.task
        cycle.advance(CycleEvent.REMOVED)
        if before is CycleStage.QUEUED:
            self._start_all(self._slots.cancel(entry, cycle.pool))
        if check is not None:
            self._free_slot(entry)
            check.cancel()
        closing = asyncio.ensure_future(self._close_monitor(entry.monitor, check))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close_monitor(self, monitor: Monitor[Any], check: asyncio.Task[None] | None = None) -> None:
        if check is not None:
            await asyncio.wait([check], timeout=CANCEL_WAIT_S)
        try:
            async with asyncio.timeout(CANCEL_WAIT_S):
                await monitor.close()
        except Exception:
            log.exception("%s: closing the monitor failed", monitor.name)

    # -- schedule -----------------------------------------------------------------------------------------

    def _on_due(self, entry: MonitorEntry, due_at_s: float) -> None:
        try:
            now_s, cycle, grid = self._clock.monotonic_s(), entry.cycle, entry.cycle.grid
            next_at_s, missed = next_due(grid, due_at_s), 0
            is_late = next_at_s <= now_s
            if is_late:
                missed = grid.points_between(due_at_s, now_s)
                next_at_s = grid.next_after(now_s)
            self._timers.set(entry, next_at_s)
            if cycle.stage is not CycleStage.IDLE:
                since_s = cycle.scheduled_at_s if cycle.is_queued else cycle.started_at_s
                if now_s - since_s >= grid.period_s - TIMER_TOLERANCE_S:  # not a recent requested check
                    missed += 1
            if missed:
                if is_late:
                    self._log.log_lateness(now_s, now_s - due_at_s)
                elif not cycle.skipped_since_on_time:
                    self._log.log_skipped_check(entry)
                cycle.skipped += missed
                cycle.skipped_since_on_time += missed
                self.skipped_count += missed
            self._request(entry, due_at_s)
        except Exception:
            # The type's `pool` can raise an exception: the schedule continues, including that of this monitor.
            log.exception("%s: the check could not be started", entry.name)

    # -- checks -------------------------------------------------------------------------------------------

    def _request(self, entry: MonitorEntry, due_at_s: float) -> None:
        """Queue a check, unless one is queued or runs."""
        if entry.cycle.advance(CycleEvent.REQUESTED):
            self._queue(entry, due_at_s)

    def _queue(self, entry: MonitorEntry, due_at_s: float) -> None:
        """Take a slot, or wait for one. This time is lateness, and not part of the response time."""
        cycle = entry.cycle
        try:
            cycle.pool = entry.monitor.pool
        except Exception:
            cycle.advance(CycleEvent.WITHDRAWN)
            raise
        cycle.scheduled_at_s = due_at_s
        if self._slots.take(entry, cycle.pool):
            self._start(entry)

    def _start_all(self, admitted: Sequence[MonitorEntry]) -> None:
        for entry in admitted:
            self._start(entry)

    def _start(self, entry: MonitorEntry) -> None:
        cycle = entry.cycle
        cycle.advance(CycleEvent.STARTED)
        cycle.started_at_s = self._clock.monotonic_s()
        self.lateness.add(cycle.started_at_s - cycle.scheduled_at_s)
        self.check_count += 1
        cycle.task = task = asyncio.get_running_loop().create_task(self._check(entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self, entry: MonitorEntry) -> None:
        cycle, this = entry.cycle, asyncio.current_task()
        try:
            await self._pipeline.run(entry, lambda: cycle.task is this)
        except Exception:
            # A bug in the pipeline; a bug in a monitor type becomes an observation.
            log.exception("%s: the result of a check was lost", entry.name)
        finally:
            if cycle.task is this:
                self._end_check(entry)

    def _free_slot(self, entry: MonitorEntry) -> None:
        """Start the next checks instead of this one, even if its task still runs."""
        entry.cycle.task = None
        admitted = self._slots.free(entry.cycle.pool)
        if self._is_running:
            self._start_all(admitted)

    def _end_check(self, entry: MonitorEntry) -> None:
        """Free the slot, pass the result to the clients that wait for it, and plan a retry or another check."""
        cycle, state = entry.cycle, entry.state
        is_woken = cycle.is_woken
        cycle.advance(CycleEvent.ENDED)
        self._free_slot(entry)
        if cycle.skipped_since_on_time and self._clock.monotonic_s() < cycle.due_at_s:
            cycle.skipped_since_on_time = 0
        if state.last is not None:
            for request in cycle.requests:
                if not request.done():
                    request.set_result(state.last)
        cycle.cancel_requests()
        if is_woken:
            self._wake(entry)
        elif state.is_retry_due and cycle.has_timer:
            retry_every_s = entry.monitor.settings.retry_every_s
            retry_at_s = max(cycle.started_at_s + retry_every_s, self._clock.monotonic_s())
            if retry_at_s < cycle.due_at_s:
                self._timers.set(entry, retry_at_s)
                self._timers.update_handle()

    def _sweep(self) -> None:
        """Refresh time-dependent state, and abandon checks that have ignored their cancellation.

        Called every SWEEP_EVERY_S.
        """
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)
        self._pipeline.refresh()
        now_s, swept_at_s = self._clock.monotonic_s(), self._swept_at_s
        self._swept_at_s = now_s
        if now_s - swept_at_s > 2 * SWEEP_EVERY_S:
            # The loop was stalled: deadlines that have passed since then have not been handled yet.
            return
        for entry in list(self.entries.values()) if self._tasks else ():
            check = entry.cycle.task
            if check is None:
                continue
            late_s = now_s - entry.cycle.started_at_s - entry.time_limit_s - ABANDON_AFTER_S
            if late_s < 0 or late_s < self._pipeline.stalled_s(entry):
                continue
            self.abandoned_count += 1
            check.cancel()
            self._pipeline.record_abandoned(entry)
            self._end_check(entry)

    def pause(self, name: str, pause: Pause) -> None:
        """Stop the checks of this monitor until `resume`; a running check continues. Raises KeyError if it does not
        exist."""
        entry = self.entries[name]
        # A requested check is not withdrawn; it can be requested during the pause as well.
        self._stop_checks(entry)
        self._pipeline.pause(entry, pause)
        self._timers.update_handle()

    def resume(self, name: str) -> None:
        """Check the monitor again, at once and then on schedule. Raises KeyError if it does not exist."""
        entry = self.entries[name]
        if entry.state.pause is None:
            return
        if entry.is_checked_here:
            self._timers.set(entry, self._clock.monotonic_s())
        self._pipeline.resume(entry)
        self._timers.update_handle()

    async def check_now(self, name: str) -> Result:
        """Check the monitor at once, or wait for the check that is queued or runs.

        Raises KeyError if the monitor does not exist, and CancelledError if it is removed before the result.
        """
        entry = self.entries[name]
        request: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        entry.cycle.requests.append(request)
        self._request(entry, self._clock.monotonic_s())
        return await request
