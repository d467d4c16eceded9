"""The replay: stored results through the pipeline and the alerts of the daemon, on a loop in virtual time.

A result is processed at the time at which its check ended. A check that the pipeline requests, to find out whether a
parent or this host is the cause of a failure, gets the next stored result of its monitor, if that followed within
`check_every` and MAX_LOOK_AHEAD: so a new dependency works although the parent was not checked at that moment. Groups
are evaluated.
"""

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar

from monitord.application import ApplicationContainer
from monitord.config import Table
from monitord.dispatch import CheckCycle, LoggedChecks, MonitorEntry, MonitorState
from monitord.dispatch.cycle import CycleEvent
from monitord.dispatch.dispatcher import SWEEP_EVERY_S
from monitord.dispatch.schedule import grid_of
from monitord.health import IsolationPolicy
from monitord.history.recorded import WINDOW_MS, RecordedResult
from monitord.model import Observation
from monitord.monitors import Monitor, MonitorSettings, Tools
from monitord.monitors.group import GroupMonitor
from monitord.replay.outcome import Outcome, OutcomeSink, recorder_of
from monitord.replay.plan import ReplayPlan
from monitord.replay.reconstruction import Reconstruction
from monitord.replay.virtual_time import VirtualClock, VirtualTimeLoop
from monitord.settings import LogSettings

DELIVERY_POLL_S = 1.0

MAX_LOOK_AHEAD = timedelta(milliseconds=WINDOW_MS)
"""A requested check gets no later result. This much has always been read, and a later state says little about now."""

Windows = Iterator[Sequence[RecordedResult]]
"""The results of consecutive windows of WINDOW_MS, each in the order of their start."""


def replay(
    plan: ReplayPlan,
    windows: Windows,
    start: datetime,
    end: datetime,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Replay the results of a period. Raises the exceptions of `windows`.

    `on_progress` is called with the number of results so far, after each window. Not to be called on an event loop.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_Replay(plan, start, end, on_progress, runner.get_loop()).run(windows))


class _RecordedMonitor(Monitor[Any]):
    """Returns stored results as observations, in place of a monitor of any type."""

    type_name: ClassVar[str] = ""

    def __init__(
        self, settings: MonitorSettings, tools: Tools, real: Monitor[Any], reconstruction: Reconstruction
    ) -> None:
        super().__init__(settings, tools)
        self.uses_network = real.uses_network
        self.masking = real.masking
        self.reconstruction = reconstruction
        self.observation: Observation | None = None

    @classmethod
    def read_options(cls, table: Table) -> Any:
        raise NotImplementedError

    def take(self, result: RecordedResult) -> None:
        """Set the result of the next check."""
        self.observation = self.reconstruction.observation(result, uses_network=self.uses_network)
        self.settings = self.reconstruction.settings_for(self.observation)

    async def check(self) -> Observation:
        if self.observation is None:
            raise RuntimeError("there is no stored result")
        return self.observation


@cache
def _class_of(type_name: str) -> type[_RecordedMonitor]:
    """The class for a type: routes select monitors by its name."""
    return type("_RecordedMonitor", (_RecordedMonitor,), {"type_name": type_name})


@dataclass(slots=True, eq=False)
class _Pending:
    """A result that has not been processed yet. `is_used`: a requested check has got it."""

    result: RecordedResult
    is_used: bool = False

    @property
    def ended_at(self) -> datetime:
        return self.result.at + timedelta(seconds=self.result.duration_s)


class _Replay:
    def __init__(
        self,
        plan: ReplayPlan,
        start: datetime,
        end: datetime,
        on_progress: Callable[[int], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._plan = plan
        self._start = start
        self._end = end
        self._on_progress = on_progress
        self._outcome = Outcome()
        self._clock = VirtualClock(loop, start)
        self._upcoming: dict[str, deque[_Pending]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Nothing is stored and nothing is logged: only the state in memory counts.
        settings = replace(
            plan.settings,
            log=LogSettings(checks=LoggedChecks.CHANGES),
            history=replace(plan.settings.history, enabled=False),
            cluster=None,  # the results are those of this host
        )
        container = ApplicationContainer(settings, environ={})
        container.override(ApplicationContainer.clock, self._clock)
        container.override(ApplicationContainer.history_path, None)
        container.override(ApplicationContainer.host_name, "localhost")
        container.override(ApplicationContainer.new_notifier, recorder_of(self._outcome))
        self._sink = OutcomeSink(self._outcome, container.alerts, self._clock)
        container.override(ApplicationContainer.sinks, (container.alert_sink, self._sink))
        self._container = container
        self._pipeline = container.pipeline

    async def run(self, windows: Windows) -> Outcome:
        container, settings = self._container, self._plan.settings
        # Links that act need a key on disk, and would lead nowhere.
        notifiers = tuple(replace(notifier, action_links=False) for notifier in settings.alerts.notifiers)
        container.alerts.apply(replace(settings.alerts, notifiers=notifiers))
        self._add_monitors()
        network = settings.network
        isolation = IsolationPolicy(network.isolation_threshold, frozenset(network.canaries))
        self._pipeline.configure(isolation, settings.maintenance)
        sweeps = asyncio.ensure_future(self._sweep())
        alerts = asyncio.ensure_future(container.alerts.run())
        try:
            await self._process(windows)
            await self._wait_until(self._end)
        finally:
            for task in (alerts, sweeps, *self._tasks):
                task.cancel()
            await asyncio.wait([alerts, sweeps, *self._tasks])
        # Wait for `group_wait` and the rate limits of notifications that are queued at the end.
        while any(  # noqa: ASYNC110 - there is no event for an empty queue
            container.alerts.queue_length(name) for name in container.alerts.workers
        ):
            await asyncio.sleep(DELIVERY_POLL_S)
        await container.alerts.close()
        await container.http_client.close()
        await container.processes.close()
        self._sink.close()
        return self._outcome

    def _add_monitors(self) -> None:
        for settings in self._plan.settings.monitors:
            reconstruction = self._plan.reconstructions.get(settings.name)
            is_group = settings.type_name == GroupMonitor.type_name
            if reconstruction is None and not is_group:
                continue  # it has no results
            monitor = self._container.build_monitor(settings)
            if reconstruction is not None:
                kind = _class_of(settings.type_name)
                monitor = kind(reconstruction.settings, self._container.tools, monitor, reconstruction)
            grid = grid_of(settings.name, settings.check_every_s)
            entry = MonitorEntry(monitor, CheckCycle(grid, 0.0), MonitorState(), on_wake=self._on_wake)
            self._pipeline.registry.add(entry)
            if is_group:
                self._start_task(self._check_group(entry))

    # -- results ------------------------------------------------------------------------------------------

    async def _process(self, windows: Windows) -> None:
        """Process the results in the order in which their checks ended, with one window in advance."""
        ending: list[tuple[datetime, int, _Pending]] = []
        number = 0
        window_end = self._start
        for window in windows:
            for result in window:
                if result.monitor in self._plan.names:
                    pending = _Pending(result)
                    number += 1
                    heapq.heappush(ending, (pending.ended_at, number, pending))
                    self._upcoming.setdefault(result.monitor, deque()).append(pending)
            await self._process_until(ending, window_end)
            window_end += timedelta(milliseconds=WINDOW_MS)
            self._on_progress(self._outcome.results)
        await self._process_until(ending, self._end)

    async def _process_until(self, ending: list[tuple[datetime, int, _Pending]], until: datetime) -> None:
        while ending and ending[0][0] < until:
            ended_at, _, pending = heapq.heappop(ending)
            await self._wait_until(ended_at)
            if not pending.is_used:
                started_at_s = (pending.result.at - self._start).total_seconds()
                await self._use(pending, pending.result, started_at_s)

    async def _wait_until(self, moment: datetime) -> None:
        delay_s = (moment - self._clock.now()).total_seconds()
        if delay_s > 0:
            await asyncio.sleep(delay_s)

    async def _use(self, pending: _Pending, result: RecordedResult, started_at_s: float) -> None:
        """Process a result, for each monitor that gets it. `started_at_s`: of its check, on the virtual clock."""
        pending.is_used = True
        upcoming = self._upcoming[result.monitor]
        while upcoming and upcoming[0].is_used:
            upcoming.popleft()
        self._outcome.results += 1
        for name in self._plan.names[result.monitor]:
            entry = self._pipeline.registry.entries[name]
            monitor = entry.monitor
            assert isinstance(monitor, _RecordedMonitor)  # noqa: S101 - only these are in `names`
            monitor.take(result)
            await self._check(entry, started_at_s)

    async def _check(self, entry: MonitorEntry, started_at_s: float) -> None:
        cycle = entry.cycle
        cycle.advance(CycleEvent.REQUESTED)
        cycle.advance(CycleEvent.STARTED)
        cycle.scheduled_at_s = cycle.started_at_s = started_at_s
        await self._pipeline.run(entry, lambda: True)
        is_woken = cycle.is_woken
        cycle.advance(CycleEvent.ENDED)
        if is_woken:
            entry.wake()

    # -- requested checks ---------------------------------------------------------------------------------

    def _on_wake(self, entry: MonitorEntry) -> None:
        if entry.cycle.advance(CycleEvent.WOKEN) and entry.cycle.is_queued:
            self._start_task(self._answer(entry))

    async def _answer(self, entry: MonitorEntry) -> None:
        """Process the next stored result of a monitor whose check is requested."""
        if not entry.cycle.is_queued:
            return  # a stored result has just been processed
        monitor, now = entry.monitor, self._clock.now()
        latest = now + min(timedelta(seconds=monitor.settings.check_every_s), MAX_LOOK_AHEAD)
        source = self._plan.former_names.get(entry.name, entry.name)
        pending = next((stored for stored in self._upcoming.get(source, ()) if not stored.is_used), None)
        if pending is None or pending.result.at > latest:
            entry.cycle.advance(CycleEvent.WITHDRAWN)
            return
        await self._use(pending, pending.result._replace(at=now), self._clock.monotonic_s())

    async def _check_group(self, entry: MonitorEntry) -> None:
        """Evaluate a group whenever a member changes, and every `check_every`."""
        woken = asyncio.Event()

        def wake(_: MonitorEntry) -> None:
            entry.cycle.advance(CycleEvent.WOKEN)
            woken.set()

        entry.on_wake = wake
        settings = entry.monitor.settings
        while True:
            woken.clear()
            await self._check(entry, self._clock.monotonic_s())
            after_s = settings.retry_every_s if entry.state.is_retry_due else settings.check_every_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(after_s):
                    await woken.wait()

    # -- time ---------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Update data that depends on time alone, as the dispatcher does."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            self._pipeline.refresh()

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
