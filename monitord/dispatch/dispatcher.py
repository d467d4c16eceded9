"""Runs each monitor on its schedule, and lets none of them harm another.

One task for each check that runs. A check that is due (`alarms`)
takes a place (`places`), runs through the pipeline under a deadline, and is due again on its grid. A monitor
never overlaps itself: ticks that it overruns are skipped, counted and logged once. One that ignores its
cancellation is abandoned: the check is over for everybody but the task itself.

Nothing here waits for storage, alerts, the journal or a web client.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from monitord.clock import Clock
from monitord.dispatch.alarms import EARLY_S, NO_TICKET, Alarms
from monitord.dispatch.check_log import CheckLog
from monitord.dispatch.lateness import Lateness
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.places import Places
from monitord.dispatch.plan import Plan, plan_of
from monitord.dispatch.schedule import first_due, grid_of, next_due
from monitord.dispatch.watched import Pause, Watched
from monitord.health import IsolationPolicy, without_streak
from monitord.model import Health, Result
from monitord.monitors import Monitor, MonitorSettings

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 1.0
ABANDON_AFTER_S = 2.0
"""A check that is still there this long after its deadline ignored its cancellation."""

CANCEL_WAIT_S = 1.0
"""How long a stop waits for cancelled checks to clean up."""

Recall = Callable[[Watched], float | None]
"""Restores the stored state of a new monitor, and returns when it is due next; None: as any new monitor."""


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
        self.roster = pipeline.roster
        self.watched: dict[str, Watched] = pipeline.roster.watched
        self._extra: set[str] = set()
        self.lateness = Lateness()
        self.checks = 0
        self.skipped = 0
        self.abandoned = 0
        self._recall_state = recall
        self._isolation = IsolationPolicy()

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
            self._refuse_asked(watched)
            await self._close_monitor(watched.monitor)
        self.watched.clear()
        if self._closing:
            await asyncio.wait(self._closing, timeout=CANCEL_WAIT_S)

    def overdue_s(self) -> float:
        """How long ago something should have been done that was not: the pulse for the watchdog.

        Waiting for a place is not overdue; a dispatcher whose timer is lost is.
        """
        return self._alarms.overdue_s()

    def health_counts(self) -> Counter[Health]:
        """How many monitors stand how."""
        return Counter(watched.stands for watched in self.watched.values())

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

    def apply(self, plan: Plan, isolation: IsolationPolicy | None = None) -> None:
        """Put a plan in force. Monitors that are not in it keep phase, streaks and connections. Cannot fail.

        `isolation` replaces the policy in force; None keeps it.
        """
        self._isolation = isolation or self._isolation
        now_s = self._clock.monotonic_s()
        removed = {name: self.watched.pop(name) for name in plan.removed}
        for previous in removed.values():
            self._let_go(previous)
        for monitor in plan.changed:
            previous = self.watched[monitor.name]
            self._let_go(previous)
            watched = self._watch(monitor, now_s)
            self._succeed(watched, previous)
            self._begin(watched)
        for monitor in plan.added:
            watched = self._watch(monitor, now_s)
            renamed = removed.pop(monitor.settings.renamed_from or "", None)
            if renamed is not None:
                self._succeed(watched, renamed)
                self._pipeline.rename(renamed.name, watched)
            else:
                self._recall(watched)
            self._begin(watched)
        for previous in removed.values():
            self._pipeline.remove(previous)
        for watched in self.watched.values():
            if watched.pause is not None:
                self._alarms.clear(watched)
        self.roster.settle()
        periods_s = {
            name: one.monitor.settings.check_every_s
            for name, one in self.watched.items()
            if one.monitor.looks_outward and one.pause is None
        }
        self._pipeline.blindness.configure(periods_s, self._isolation)
        self._pipeline.measure_finely_for(
            min((one.monitor.settings.timeout_s for one in self.watched.values()), default=math.inf)
        )
        self._pipeline.review(anew=True)
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
        watched = self._watch(monitor, now_s)
        if previous is None:
            self._recall(watched)
        else:
            self._succeed(watched, previous)
        if watched.pause is not None:
            self._alarms.clear(watched)
        self._begin(watched)
        self.roster.settle()
        self._pipeline.review(anew=True)
        self._alarms.aim()
        self._wake(watched)

    def remove_extra(self, name: str) -> None:
        """The end of what `put_extra` began. One that is not there is no fault: the daemon may be stopping."""
        self._extra.discard(name)
        watched = self.watched.pop(name, None)
        if watched is not None:
            self._let_go(watched)
            self._pipeline.remove(watched)
            self.roster.settle()
            self._alarms.aim()

    def resize(self, in_all: int, per_host: int, own: Mapping[str, int] | None = None) -> None:
        """New bounds on checks at once."""
        self._start_all(self._places.resize(in_all, per_host, own))

    def _watch(self, monitor: Monitor[Any], now_s: float) -> Watched:
        period_s = monitor.settings.check_every_s
        due_at = first_due(monitor.name, period_s, now_s)
        grid = grid_of(monitor.name, period_s)
        watched = Watched(monitor, grid, due_at, sure_at=now_s, request_check=self._wake)
        self.watched[monitor.name] = watched
        self._alarms.set(watched, due_at)
        return watched

    def _recall(self, watched: Watched) -> None:
        """One that was watched before, in an earlier run or configuration, goes on from there."""
        due_at = self._recall_state(watched)
        is_alerting = watched.stands in {Health.DOWN, Health.DEGRADED} or watched.health.flapping.is_flapping
        # A notification that was held back waits for the first check, so that one comes soon.
        if due_at is not None and (due_at < watched.due_at or not is_alerting):
            self._alarms.set(watched, due_at)

    def _succeed(self, watched: Watched, previous: Watched) -> None:
        """Go on from the one before. What one of another type was about, nobody watches any more."""
        if watched.monitor.type_name != previous.monitor.type_name:
            self._pipeline.remove(previous)
        watched.take_over(previous)

    def _begin(self, watched: Watched) -> None:
        """What the monitor had to know of before is known; it may ask for checks."""
        try:
            watched.monitor.start(watched.wake)
        except Exception:
            log.exception("%s: starting the monitor failed", watched.name)

    def _wake(self, watched: Watched) -> None:
        """Check at once what asks for it. One that is being checked may have looked too early: it is checked again."""
        if self.watched.get(watched.name) is not watched or not self._is_running:
            return
        if watched.pause is not None:
            return
        if watched.check is not None:
            watched.wants_another = True
        elif not watched.is_waiting:
            self._enter(watched, self._clock.monotonic_s())

    def _let_go(self, watched: Watched) -> None:
        self._alarms.clear(watched)
        self._refuse_asked(watched)
        if watched.is_waiting:
            watched.is_waiting = False
            self._start_all(self._places.leave(watched, watched.check_host))
        check = self._end_check(watched)
        if check is not None:
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
        grid = watched.grid
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
        if watched.check is None and not watched.is_waiting:
            self._enter(watched, due_at)

    @staticmethod
    def _overruns(watched: Watched, now_s: float) -> bool:
        """Whether a check takes longer than its period, and is not one out of turn that meets its grid."""
        if watched.check is None and not watched.is_waiting:
            return False
        since_s = watched.waits_since if watched.is_waiting else watched.check_began_at
        return now_s - since_s >= watched.grid.period_s - EARLY_S

    def _skip(self, watched: Watched, missed: int) -> None:
        if not watched.skipped_in_a_row:
            self._log.skipped(watched)
        watched.skipped += missed
        watched.skipped_in_a_row += missed
        self.skipped += missed

    # -- checks -------------------------------------------------------------------------------------------

    def _enter(self, watched: Watched, due_at: float) -> None:
        """Take a place, or wait for one. The waiting is lateness, never response time."""
        watched.check_host = watched.monitor.host
        watched.waits_since = due_at
        if self._places.take(watched, watched.check_host):
            self._start(watched)
        else:
            watched.is_waiting = True

    def _start_all(self, admitted: Sequence[Watched]) -> None:
        for watched in admitted:
            self._start(watched)

    def _start(self, watched: Watched) -> None:
        watched.is_waiting = False
        watched.check_began_at = self._clock.monotonic_s()
        self.lateness.add(watched.check_began_at - watched.waits_since)
        self.checks += 1
        task = asyncio.get_running_loop().create_task(self._check(watched))
        watched.check = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self, watched: Watched) -> None:
        this = asyncio.current_task()
        try:
            await self._pipeline.run(watched, lambda: watched.check is this)
        except Exception:
            # What the pipeline itself does wrong; a monitor's own bug is an observation by then.
            log.exception("%s: the result of a check was lost", watched.name)
        finally:
            if watched.check is this:
                self._end_check(watched)
                self._after_check(watched)

    def _end_check(self, watched: Watched) -> asyncio.Task[None] | None:
        """The check is over for the dispatcher. Returns its task."""
        check, watched.check = watched.check, None
        if check is not None:
            admitted = self._places.free(watched.check_host)
            if self._is_running:
                self._start_all(admitted)
        return check

    def _after_check(self, watched: Watched) -> None:
        if watched.skipped_in_a_row and self._clock.monotonic_s() < watched.due_at:
            watched.skipped_in_a_row = 0
        for future in watched.asked:
            if not future.done() and watched.last is not None:
                future.set_result(watched.last)
        self._refuse_asked(watched)
        if watched.wants_another:
            watched.wants_another = False
            self._wake(watched)
            return
        settings = watched.monitor.settings
        if watched.wants_retry and watched.ticket != NO_TICKET:
            retry_at = max(watched.check_began_at + settings.retry_every_s, self._clock.monotonic_s())
            if retry_at < watched.due_at:
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
            check = watched.check
            if check is None:
                continue
            late_s = now_s - watched.check_began_at - self._pipeline.deadline_s(watched) - ABANDON_AFTER_S
            if late_s < 0 or late_s < self._pipeline.lost_s(watched):
                continue
            self.abandoned += 1
            check.cancel()
            self._pipeline.conclude_abandoned(watched)
            self._end_check(watched)
            self._after_check(watched)

    def pause(self, name: str, pause: Pause) -> None:
        """No checks of this monitor until `resume`; one that runs ends as usual. Raises KeyError if there is none."""
        watched = self.watched[name]
        watched.pause = pause
        self._alarms.clear(watched)
        # Who asks for a check gets it, as he would while it is paused.
        if watched.is_waiting and not watched.asked:
            watched.is_waiting = False
            self._start_all(self._places.leave(watched, watched.check_host))
        self._pipeline.blindness.forget(name)
        self._pipeline.restand(watched)
        self._alarms.aim()

    def resume(self, name: str) -> None:
        """Check again, at once and then as planned. Raises KeyError for an unknown name."""
        watched = self.watched[name]
        if watched.pause is None:
            return
        watched.pause = None
        # What was seen before the pause and what comes now are not in a row.
        watched.health = without_streak(watched.health)
        watched.sure_at = self._clock.monotonic_s()
        self._alarms.set(watched, watched.sure_at)
        self._pipeline.restand(watched)
        self._alarms.aim()

    async def check_now(self, name: str) -> Result:
        """Check at once, or join the check that runs. Raises KeyError for an unknown name, and
        CancelledError when the monitor leaves meanwhile."""
        watched = self.watched[name]
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        watched.asked.append(future)
        if watched.check is None and not watched.is_waiting:
            self._enter(watched, self._clock.monotonic_s())
        return await future

    @staticmethod
    def _refuse_asked(watched: Watched) -> None:
        for future in watched.asked:
            future.cancel()
        watched.asked.clear()
