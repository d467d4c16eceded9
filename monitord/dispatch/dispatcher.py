"""Runs each monitor on its schedule, and lets none of them harm another.

One task for each check that runs. A check that is due (`alarms`)
takes a place (`places`), runs through the pipeline under a deadline, and is due again on its grid. A monitor
never overlaps itself: ticks that it overruns are skipped, counted and logged once. One that ignores its
cancellation is abandoned: the check is over for everybody but the task itself.

Nothing here waits for storage, alerts, the journal or a web client.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from monitord.clock import Clock
from monitord.dispatch.alarms import EARLY_S, Alarms
from monitord.dispatch.check_log import CheckLog
from monitord.dispatch.cycle import CheckCycle, Event, Phase
from monitord.dispatch.lateness import Lateness
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.places import Places
from monitord.dispatch.plan import Plan, plan_of
from monitord.dispatch.saved import SavedMonitor
from monitord.dispatch.schedule import first_due, grid_of, next_due
from monitord.dispatch.state import MonitorState, Pause
from monitord.dispatch.watched import Watched
from monitord.health import IsolationPolicy, Window
from monitord.model import Result, State
from monitord.monitors import Monitor, MonitorSettings

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 1.0
ABANDON_AFTER_S = 2.0
"""A check that is still there this long after its deadline ignored its cancellation."""

CANCEL_WAIT_S = 1.0
"""How long a stop waits for cancelled checks to clean up."""

Recall = Callable[[Monitor[Any]], SavedMonitor | None]
"""What is stored of a monitor that is new in this run; None: nothing."""


class Dispatcher:
    """Owns every `Watched`. `start`, then `apply` as often as the configuration changes, then `close`."""

    def __init__(
        self,
        pipeline: Pipeline,
        places: Places[Watched],
        clock: Clock,
        check_log: CheckLog,
        recall: Recall = lambda _: None,
    ) -> None:
        self._pipeline = pipeline
        self._places = places
        self._clock = clock
        self._log = check_log
        self._alarms = Alarms(clock, self._serve)
        self._sweeper: asyncio.TimerHandle | None = None
        self._swept_at = 0.0
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self.registry = pipeline.registry
        self.watched: Mapping[str, Watched] = pipeline.registry.watched
        self._extra: set[str] = set()
        self.lateness = Lateness()
        self.checks = 0
        self.skipped = 0
        self.abandoned = 0
        self._recall = recall

    # -- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        self._is_running = True
        self._alarms.start()
        self._swept_at = self._clock.monotonic_s()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)

    async def close(self, grace_s: float) -> None:
        """No new checks; those in flight get `grace_s`, then are cancelled. May be called twice."""
        self._is_running = False
        self._alarms.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCEL_WAIT_S)
        for watched in self.watched.values():
            watched.cycle.cancel_requests()
            await self._close_monitor(watched.monitor)
        for name in list(self.watched):
            self.registry.remove(name)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CANCEL_WAIT_S)

    def overdue_s(self) -> float:
        """How long ago something should have been done that was not: the pulse for the watchdog.

        Waiting for a place is not overdue; a dispatcher whose timer is lost is.
        """
        return self._alarms.overdue_s()

    def health_counts(self) -> Counter[State]:
        """How many monitors stand how."""
        return Counter(watched.state.stands for watched in self.watched.values())

    @property
    def in_flight(self) -> int:
        """How many checks run at this moment."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """How many checks wait for a place."""
        return self._places.waiting

    # -- configuration ------------------------------------------------------------------------------------

    def plan(
        self, wanted: Iterable[MonitorSettings], build: Callable[[MonitorSettings], Monitor[Any]]
    ) -> Plan:
        """Build what is new, aside. Whatever `build` raises leaves everything as it was."""
        return plan_of(self.watched, self._extra, wanted, build)

    def apply(
        self,
        plan: Plan,
        isolation: IsolationPolicy | None = None,
        windows: Sequence[Window] | None = None,
    ) -> None:
        """Apply a plan. Monitors that are not in it keep phase, streaks and connections. Cannot fail.

        `isolation` and `windows` replace the previous policy and maintenance windows; None keeps them.
        """
        now_s = self._clock.monotonic_s()
        removed: dict[str, Watched] = {}
        for name in plan.removed:
            removed[name] = previous = self.watched[name]
            self.registry.remove(name)
            self._let_go(previous)
        for monitor in plan.changed:
            previous = self.watched[monitor.name]
            self._let_go(previous)
            self._begin(self._successor(monitor, previous, now_s))
        for monitor in plan.added:
            renamed = removed.pop(monitor.settings.renamed_from or "", None)
            if renamed is not None:
                watched = self._successor(monitor, renamed, now_s)
                self._pipeline.rename(renamed.name, watched)
            else:
                watched = self._recalled(monitor, now_s)
            self._begin(watched)
        for previous in removed.values():
            self._pipeline.remove(previous)
        self._pipeline.configure(isolation, windows)
        self._alarms.aim()

    def follow_zone(self) -> None:
        """The local time zone of the host has changed: windows open or close, and calendars have other times."""
        self._pipeline.review(anew=True)
        for watched in list(self.watched.values()):
            if watched.monitor.uses_local_time:
                self._wake(watched)

    def put_extra(self, monitor: Monitor[Any]) -> None:
        """Have a monitor checked at once and from now on that no configuration names: plans leave it alone.

        One of the same name stands as the one before.
        """
        now_s = self._clock.monotonic_s()
        previous = self.watched.get(monitor.name)
        if previous is not None:
            self._let_go(previous)
        self._extra.add(monitor.name)
        watched = (
            self._recalled(monitor, now_s) if previous is None else self._successor(monitor, previous, now_s)
        )
        self._begin(watched)
        self._pipeline.review(anew=True)
        self._alarms.aim()
        self._wake(watched)

    def remove_extra(self, name: str) -> None:
        """The end of what `put_extra` began. One that is not there is no failure: the daemon may be stopping."""
        self._extra.discard(name)
        watched = self.registry.remove(name)
        if watched is not None:
            self._let_go(watched)
            self._pipeline.remove(watched)
            self._alarms.aim()

    def resize(self, in_all: int, per_host: int, own: Mapping[str, int] | None = None) -> None:
        """New bounds on checks at once."""
        self._start_all(self._places.resize(in_all, per_host, own))

    def _watch(
        self,
        monitor: Monitor[Any],
        state: MonitorState,
        memory: Mapping[str, Any] | None,
        due_at: float,
    ) -> Watched:
        cycle = CheckCycle(grid_of(monitor.name, monitor.settings.check_every_s), due_at)
        watched = Watched(monitor, cycle, state, request_check=self._wake)
        watched.remind(memory)
        self.registry.add(watched)
        if state.pause is None:
            self._alarms.set(watched, due_at)
        return watched

    def _recalled(self, monitor: Monitor[Any], now_s: float) -> Watched:
        """Watch a monitor that continues from an earlier run or configuration, if one knew it."""
        due_at = first_due(monitor.name, monitor.settings.check_every_s, now_s)
        saved = self._recall(monitor)
        if saved is None:
            return self._watch(monitor, MonitorState(conclusive_at=now_s), None, due_at)
        state = saved.state
        is_alerting = state.stands in {State.DOWN, State.DEGRADED} or state.health.flapping.is_flapping
        # A suppressed notification waits for the first check, so that one comes soon.
        if saved.due_at is not None and (saved.due_at < due_at or not is_alerting):
            due_at = saved.due_at
        return self._watch(monitor, state, saved.memory, due_at)

    def _successor(self, monitor: Monitor[Any], previous: Watched, now_s: float) -> Watched:
        """Watch a monitor that continues from the previous one. Of another type, it does not take over its state."""
        due_at = first_due(monitor.name, monitor.settings.check_every_s, now_s)
        if monitor.type_name == previous.monitor.type_name:
            return self._watch(monitor, previous.state.with_other_settings(), previous.dump_state(), due_at)
        watched = self._watch(monitor, previous.state.with_other_type(now_s), None, due_at)
        self._pipeline.remove(previous)
        return watched

    def _begin(self, watched: Watched) -> None:
        """What the monitor had to know of before is known; it may ask for checks."""
        try:
            watched.monitor.start(watched.wake)
        except Exception:
            log.exception("%s: starting the monitor failed", watched.name)

    def _wake(self, watched: Watched) -> None:
        """Check a monitor at once that reports a change; once more if it is being checked, possibly too early."""
        if not self._is_running or watched.state.pause is not None:
            return
        if watched.cycle.apply(Event.WOKEN) and watched.cycle.is_queued:
            self._queue(watched, self._clock.monotonic_s())

    def _let_go(self, watched: Watched) -> None:
        cycle = watched.cycle
        self._alarms.clear(watched)
        cycle.cancel_requests()
        before, check = cycle.phase, cycle.task
        cycle.apply(Event.REMOVED)
        if before is Phase.QUEUED:
            self._start_all(self._places.leave(watched, cycle.host))
        if check is not None:
            self._free_place(watched)
            check.cancel()
        closing = asyncio.ensure_future(self._close_monitor(watched.monitor, check))
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

    def _serve(self, watched: Watched, due_at: float) -> None:
        try:
            self._come_due(watched, due_at)
        except Exception:
            # A monitor's own `host` may raise; its schedule goes on, and so does everybody's.
            log.exception("%s: the check could not be started", watched.name)

    def _come_due(self, watched: Watched, due_at: float) -> None:
        now_s = self._clock.monotonic_s()
        cycle = watched.cycle
        grid = cycle.grid
        next_at = next_due(grid, due_at)
        missed = 0
        if next_at <= now_s:
            missed = grid.points_between(due_at, now_s)
            next_at = grid.next_after(now_s)
        self._alarms.set(watched, next_at)
        if self._overruns(watched, now_s):
            missed += 1
        if missed:
            self._skip(watched, missed)
        self._request(watched, due_at)

    @staticmethod
    def _overruns(watched: Watched, now_s: float) -> bool:
        """Whether a check takes longer than its period, and is not one out of turn that meets its grid."""
        cycle = watched.cycle
        if cycle.phase is Phase.IDLE:
            return False
        since_s = cycle.queued_at if cycle.is_queued else cycle.began_at
        return now_s - since_s >= cycle.grid.period_s - EARLY_S

    def _skip(self, watched: Watched, missed: int) -> None:
        cycle = watched.cycle
        if not cycle.skipped_since_on_time:
            self._log.skipped(watched)
        cycle.skipped += missed
        cycle.skipped_since_on_time += missed
        self.skipped += missed

    # -- checks -------------------------------------------------------------------------------------------

    def _request(self, watched: Watched, due_at: float) -> None:
        """Check a monitor that is due, or join its check that is queued or runs."""
        if watched.cycle.apply(Event.REQUESTED):
            self._queue(watched, due_at)

    def _queue(self, watched: Watched, due_at: float) -> None:
        """Take a place, or wait for one. The waiting is lateness, never response time."""
        cycle = watched.cycle
        try:
            cycle.host = watched.monitor.host
        except Exception:
            cycle.apply(Event.WITHDRAWN)
            raise
        cycle.queued_at = due_at
        if self._places.take(watched, cycle.host):
            self._start(watched)

    def _start_all(self, admitted: Sequence[Watched]) -> None:
        for watched in admitted:
            self._start(watched)

    def _start(self, watched: Watched) -> None:
        cycle = watched.cycle
        cycle.apply(Event.STARTED)
        cycle.began_at = self._clock.monotonic_s()
        self.lateness.add(cycle.began_at - cycle.queued_at)
        self.checks += 1
        cycle.task = task = asyncio.get_running_loop().create_task(self._check(watched))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self, watched: Watched) -> None:
        cycle, this = watched.cycle, asyncio.current_task()
        try:
            await self._pipeline.run(watched, lambda: cycle.task is this)
        except Exception:
            # What the pipeline itself does wrong; a monitor's own bug is an observation by then.
            log.exception("%s: the result of a check was lost", watched.name)
        finally:
            if cycle.task is this:
                self._end_check(watched)

    def _free_place(self, watched: Watched) -> None:
        """The check is over for the dispatcher, whatever its task still does."""
        watched.cycle.task = None
        admitted = self._places.free(watched.cycle.host)
        if self._is_running:
            self._start_all(admitted)

    def _end_check(self, watched: Watched) -> None:
        """Free the place, answer the clients that wait for the result, and plan the next check."""
        cycle, state = watched.cycle, watched.state
        is_woken = cycle.is_woken
        cycle.apply(Event.ENDED)
        self._free_place(watched)
        if cycle.skipped_since_on_time and self._clock.monotonic_s() < cycle.due_at:
            cycle.skipped_since_on_time = 0
        if state.last is not None:
            for request in cycle.requests:
                if not request.done():
                    request.set_result(state.last)
        cycle.cancel_requests()
        if is_woken:
            self._wake(watched)
        elif state.wants_retry and cycle.has_alarm:
            retry_every_s = watched.monitor.settings.retry_every_s
            retry_at = max(cycle.began_at + retry_every_s, self._clock.monotonic_s())
            if retry_at < cycle.due_at:
                self._alarms.set(watched, retry_at)
                self._alarms.aim()

    def _sweep(self) -> None:
        """Abandon what ignored its cancellation, so that its monitor can be checked again."""
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_EVERY_S, self._sweep)
        self._pipeline.review()
        now_s, swept_at = self._clock.monotonic_s(), self._swept_at
        self._swept_at = now_s
        if now_s - swept_at > 2 * SWEEP_EVERY_S:
            # The loop stood still: the deadlines that passed meanwhile had no turn yet.
            return
        for watched in list(self.watched.values()) if self._tasks else ():
            check = watched.cycle.task
            if check is None:
                continue
            late_s = now_s - watched.cycle.began_at - self._pipeline.deadline_s(watched) - ABANDON_AFTER_S
            if late_s < 0 or late_s < self._pipeline.lost_s(watched):
                continue
            self.abandoned += 1
            check.cancel()
            self._pipeline.conclude_abandoned(watched)
            self._end_check(watched)

    def pause(self, name: str, pause: Pause) -> None:
        """No checks of this monitor until `resume`; one that runs ends as usual. Raises KeyError if there is none."""
        watched = self.watched[name]
        cycle = watched.cycle
        self._alarms.clear(watched)
        # A client that waits for the check receives its result, as one does that requests a check during the pause.
        if cycle.is_queued and not cycle.requests:
            cycle.apply(Event.WITHDRAWN)
            self._start_all(self._places.leave(watched, cycle.host))
        self._pipeline.pause(watched, pause)
        self._alarms.aim()

    def resume(self, name: str) -> None:
        """Check again, at once and then as planned. Raises KeyError for an unknown name."""
        watched = self.watched[name]
        if watched.state.pause is None:
            return
        self._alarms.set(watched, self._clock.monotonic_s())
        self._pipeline.resume(watched)
        self._alarms.aim()

    async def check_now(self, name: str) -> Result:
        """Check at once, or join the check that runs. Raises KeyError for an unknown name, and
        CancelledError when the monitor leaves meanwhile."""
        watched = self.watched[name]
        request: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        watched.cycle.requests.append(request)
        self._request(watched, self._clock.monotonic_s())
        return await request
