"""The steps of one check, from the check to the sinks. `Pipeline.run` and `Pipeline._process_result` contain all steps.

An expected failure is an observation. A bug in a monitor type is an exception, which becomes an observation here: only
this check of this monitor is affected.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from monitord.clock import Clock
from monitord.conditions import ConditionResult
from monitord.dispatch.check_log import CheckLog
from monitord.dispatch.clock_steps import ClockStep, ClockSteps
from monitord.dispatch.connectivity import Connectivity
from monitord.dispatch.entry import DEADLINE_MARGIN_S, MonitorEntry
from monitord.dispatch.held_failures import HeldFailures
from monitord.dispatch.judging import conditions_of, judge
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink
from monitord.dispatch.stalls import StallDetector
from monitord.dispatch.state import ClusterState, OpenMaintenance, Pause
from monitord.health import (
    IsolationPolicy,
    ParentState,
    TimeWindow,
    advance,
    confirm,
    incident_after,
    maintenance_of,
    without_streak,
)
from monitord.model import Incident, Observation, Reason, Result, State, Transition, Verdict
from monitord.monitors import Stopwatch, lookup_of
from monitord.net.base.deadline import Deadline
from monitord.units import format_duration

log = logging.getLogger(__name__)

UNKNOWN_AFTER_INTERVALS = 3
"""The state is unknown after this number of intervals (`check_every`) without a conclusive verdict."""

IGNORE_AFTER_ISOLATION_S = 10.0

EVALUATION_SLICE_S = 0.005
"""The longest evaluation of conditions before other tasks run."""

_JUDGED_BY_CONDITIONS = frozenset({Reason.OK, Reason.CONDITION_FAILED})


class Pipeline:
    """check → observation → verdict → state → transition → incident → log and sinks.

    `was_isolated`: whether this host was isolated when the last run ended.
    """

    def __init__(
        self,
        clock: Clock,
        stall_detector: StallDetector,
        check_log: CheckLog,
        registry: Registry | None = None,
        sinks: tuple[Sink, ...] = (),
        *,
        was_isolated: bool = False,
    ) -> None:
        self._clock = clock
        self._stall_detector = stall_detector
        self._log = check_log
        self.registry = Registry() if registry is None else registry
        self._sinks = sinks
        # Only sinks that override `on_result` are called for each result.
        self._result_sinks = [sink for sink in sinks if type(sink).on_result is not Sink.on_result]
        self._connectivity = Connectivity(clock, self.registry, was_isolated=was_isolated)
        self.isolation = self._connectivity.isolation
        self._published_isolation = was_isolated
        self._held = HeldFailures(clock, self.registry, self._connectivity, self._confirm)
        self._evaluation_lock = asyncio.Lock()
        self._maintenance_windows: Sequence[TimeWindow] = ()
        self._open_flags: list[bool] = []
        self._clock_steps = ClockSteps(clock)
        self._last_step: ClockStep | None = None
        self._stepped_at_s = float("-inf")

    async def run(self, entry: MonitorEntry, still_counts: Callable[[], bool]) -> None:
        """Run one check of one monitor. Raises CancelledError only.

        `still_counts`: whether the check still counts; False after it was abandoned or its monitor was replaced.
        """
        watch = Stopwatch(self._clock)
        deadline = Deadline(entry.time_limit_s, margin_s=DEADLINE_MARGIN_S)
        try:
            async with deadline:
                observation = await entry.monitor.check()
        except TimeoutError as error:
            if not deadline.expired():
                observation = watch.observation(Reason.MONITOR_BUG, self._log_bug(entry, error))
            else:
                timeout = format_duration(entry.monitor.settings.timeout_s)
                observation = watch.observation(Reason.TIMEOUT_RESPONSE, f"no result within {timeout}")
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                raise
            # A bug in the type. With CancelledError, a task that the check awaited was cancelled, not the check itself.
            observation = watch.observation(Reason.MONITOR_BUG, self._log_bug(entry, error))
        if still_counts():
            since_s, timeout_s = watch.began_s, entry.monitor.settings.timeout_s
            if not observation.duration_s:
                # A check without I/O, such as of a heartbeat, misses a report that arrived but has not been read yet,
                # so a stall since the scheduled time counts as well.
                since_s, timeout_s = min(since_s, entry.cycle.scheduled_at_s), 0.0
            probe_error = self._stall_detector.probe_error_since(since_s, timeout_s)
            condition_results = None
            if observation.response_data is not None and observation.reason in _JUDGED_BY_CONDITIONS:
                condition_results = await self._evaluate(entry, observation)
                if not still_counts():
                    return
            result = self._judge(entry, observation, probe_error, condition_results)
            was_stalled = probe_error is Reason.PROBER_STALLED and result.verdict is Verdict.INCONCLUSIVE
            self._process_result(entry, result, was_stalled=was_stalled)

    @property
    def windows(self) -> Sequence[TimeWindow]:
        """The configured maintenance windows."""
        return self._maintenance_windows

    def configure(
        self, isolation: IsolationPolicy | None = None, windows: Sequence[TimeWindow] | None = None
    ) -> None:
        """Adapt to changed monitors, and to settings for all of them; None keeps the previous settings."""
        self._maintenance_windows = self._maintenance_windows if windows is None else windows
        self.configure_monitors(isolation)
        self.refresh(force=True)

    def configure_monitors(self, isolation: IsolationPolicy | None = None) -> None:
        """Adapt to added and removed monitors, except for their maintenance windows: see `refresh_maintenance`."""
        self._connectivity.configure(isolation)
        timeouts_s = (entry.monitor.settings.timeout_s for entry in self.registry.entries.values())
        self._stall_detector.configure(min(timeouts_s, default=math.inf))  # fine enough for the shortest

    def stalled_s(self, entry: MonitorEntry) -> float:
        """Return how long the event loop was stalled during the current check, in seconds."""
        return self._stall_detector.lag_since_s(entry.cycle.started_at_s)

    def record_abandoned(self, entry: MonitorEntry) -> None:
        """Record a check that has ignored its cancellation, which has no result, as a bug in the monitor type."""
        timeout = format_duration(entry.monitor.settings.timeout_s)
        detail = f"check ignored its cancellation after {timeout} and was abandoned"
        observation = Stopwatch(self._clock, entry.cycle.started_at_s).observation(Reason.MONITOR_BUG, detail)
        self._process_result(entry, self._judge(entry, observation, None))

    def refresh(self, *, force: bool = False) -> None:
        """Update data that depends on time alone, such as maintenance windows. Cheap if nothing has changed.

        `force`: evaluate the windows of all monitors, because monitors or windows have changed.
        """
        self.apply_clock_step()
        self.isolation.expire(self._clock.monotonic_s())
        self._publish_isolation()
        self._held.release()
        now = self._clock.now()
        open_flags = [window.is_open(now) for window in self._maintenance_windows]
        if open_flags == self._open_flags and not force:
            return
        self._open_flags = open_flags
        for entry in self.registry.entries.values():
            self._refresh_maintenance(entry, now)

    def refresh_maintenance(self, entry: MonitorEntry) -> None:
        """Update the maintenance window of a monitor that was added."""
        self._refresh_maintenance(entry, self._clock.now())

    def _refresh_maintenance(self, entry: MonitorEntry, now: datetime) -> None:
        before, maintenance = entry.state.maintenance, None
        window = maintenance_of(self._maintenance_windows, entry.name, entry.monitor.settings.tags, now)
        if window is not None:
            maintenance = OpenMaintenance(window.name, window.closes_after(now), window.comment)
        if maintenance != before:
            entry.state = replace(entry.state, maintenance=maintenance)
            if before is None or maintenance is None or before.name != maintenance.name:
                self._log.log_maintenance(entry, before)
            self.publish_state(entry)

    def apply_clock_step(self) -> None:
        """Shift the times of this run if the wall clock was set. Cheap if it was not."""
        step = self._clock_steps.poll()
        if step is None:
            return
        self._last_step, self._stepped_at_s = step, self._clock.monotonic_s()
        self._log.log_clock_step(step.by)
        for entry in self.registry.entries.values():
            entry.state = entry.state.after_clock_step(step)
        self._publish("the wall clock", lambda sink: sink.on_clock_step(step))

    def pause(self, entry: MonitorEntry, pause: Pause) -> None:
        """Set the pause, and publish the new state."""
        entry.state = replace(entry.state, pause=pause)
        self.isolation.forget(entry.name)
        self.publish_state(entry)

    def resume(self, entry: MonitorEntry) -> None:
        """Clear the pause and the streak, and publish the new state.

        Verdicts before and after a pause are not consecutive.
        """
        state = entry.state
        health, now_s = without_streak(state.health), self._clock.monotonic_s()
        entry.state = replace(state, pause=None, health=health, conclusive_at_s=now_s)
        self.publish_state(entry)

    def set_cluster_state(self, entry: MonitorEntry, cluster: ClusterState | None) -> None:
        """Set the state that the cluster has decided, and publish it; None: this node decides.

        No effect if the monitor has this cluster state already.
        """
        state = entry.state
        if cluster == state.cluster:
            return
        since = state.effective_since
        if cluster is not None and cluster.state is state.effective:
            since = cluster.since
        entry.state = replace(state, cluster=cluster, effective_since=since)
        self.publish_state(entry)
        was_flapping = state.cluster is not None and state.cluster.is_flapping
        if cluster is not None and cluster.is_flapping is not was_flapping:
            self._log.log_flapping_decision(entry)

    def set_local_state(self, entry: MonitorEntry, state: State, since: datetime | None) -> None:
        """Set the state by the checks at this location, where another node checks the monitor.

        Dependents use it, and the checks of this node will continue from it. The effective state of a shared monitor
        does not change. No effect if the local state is the same.
        """
        before = entry.state
        if state is before.local_state:
            return
        health, is_unknown = without_streak(before.health), state is State.UNKNOWN
        if not is_unknown:
            health = replace(health, state=state, since=since)
        entry.state = replace(
            before, health=health, is_unknown=is_unknown, conclusive_at_s=self._clock.monotonic_s()
        )
        self.publish_state(entry)
        self._held.release(entry)

    def begin_checks(self, entry: MonitorEntry) -> None:
        """Prepare a monitor for the checks of this node, after another node has checked it.

        Verdicts of different times are not consecutive, and the time without verdicts of this node does not count.
        """
        health, now_s = without_streak(entry.state.health), self._clock.monotonic_s()
        entry.state = replace(entry.state, health=health, conclusive_at_s=now_s)

    def publish_state(self, entry: MonitorEntry) -> None:
        """Update and publish the state of a monitor after a change other than a check, such as a pause."""
        self.apply_clock_step()
        last = None if entry.state.last is None else entry.state.last.observation
        reason, detail = (Reason.OK, "") if last is None else (last.reason, last.detail)
        summary = "" if last is None else last.summary
        if entry.state.cluster is not None:
            reason, detail = entry.state.cluster.reason, entry.state.cluster.detail
        transition = self._update_state(entry, self._clock.now(), reason, detail)
        if transition is None:
            self._publish(entry.name, lambda sink: sink.on_update(entry))
        else:
            self._log.log_transition(entry, transition, self.registry.silence_of(entry, self._clock.now()))
            self._publish_transition(entry, transition)
        self._update_incident(entry, reason, summary)

    def _log_bug(self, entry: MonitorEntry, error: BaseException) -> str:
        """Log the traceback, once per error, and return the detail."""
        monitor = entry.monitor
        if entry.state.bug != repr(error):
            entry.state = replace(entry.state, bug=repr(error))
            self._log.log_bug(monitor, error)
        return f"bug in monitor type {monitor.type_name!r}: {error!r}"

    async def _evaluate(
        self, entry: MonitorEntry, observation: Observation
    ) -> Sequence[ConditionResult] | None:
        """Evaluate several conditions, and let other tasks run in between: each can take 50 ms on a body of 1 MiB.

        None: `judge` evaluates a single condition, or reports the error that a condition has raised.
        """
        conditions = conditions_of(entry.monitor.settings)
        if len(conditions) <= 1:
            return None
        lookup, mask = lookup_of(observation), entry.monitor.masking.mask_value
        condition_results: list[ConditionResult] = []
        was_slow = entry.state.is_slow_to_evaluate
        may_take_long, is_slow = was_slow is not False, was_slow is True
        # One monitor at a time: a parsed document of 1 MiB takes 30 MB until all conditions are evaluated.
        async with self._evaluation_lock if may_take_long else contextlib.nullcontext():
            until_s = time.monotonic() + EVALUATION_SLICE_S
            try:
                for condition in conditions:
                    if may_take_long and time.monotonic() > until_s:
                        is_slow = True
                        await asyncio.sleep(0)
                        until_s = time.monotonic() + EVALUATION_SLICE_S
                    condition_results.append(condition.evaluate(lookup, mask))
            except Exception:  # noqa: BLE001 - `response_data` is code of the type
                return None
        is_slow = is_slow or time.monotonic() > until_s
        if is_slow is not was_slow:
            entry.state = replace(entry.state, is_slow_to_evaluate=is_slow)
        return condition_results

    def _judge(
        self,
        entry: MonitorEntry,
        observation: Observation,
        probe_error: Reason | None,
        condition_results: Sequence[ConditionResult] | None = None,
    ) -> Result:
        settings, masking = entry.monitor.settings, entry.monitor.masking
        try:
            result = judge(observation, settings, probe_error, masking, condition_results)
        except Exception as error:  # noqa: BLE001 - `response_data` is code of the type
            detail = self._log_bug(entry, error)
            bug = replace(observation, reason=Reason.MONITOR_BUG, detail=detail, response_data=None)
            return judge(bug, settings, None, masking)
        if entry.state.bug is not None and result.observation.reason is not Reason.MONITOR_BUG:
            entry.state = replace(entry.state, bug=None)
        return result

    def _process_result(self, entry: MonitorEntry, result: Result, *, was_stalled: bool = False) -> None:
        self._held.processing = entry
        started_at_s = entry.cycle.started_at_s
        if result.verdict is not Verdict.PASS or entry.state.effective is not State.UP:
            # The start time of the check may become the start of a state, so it has to be on the current clock.
            self.apply_clock_step()
            if self._last_step is not None and self._stepped_at_s >= started_at_s:
                started_at = self._last_step.shift_past(result.observation.started_at)
                result = replace(result, observation=replace(result.observation, started_at=started_at))
        result = self._connectivity.record(entry, result)
        self._publish_isolation()
        observation, settings = result.observation, entry.monitor.settings
        before = entry.state.health
        parent_state = ParentState.AVAILABLE
        if result.verdict is Verdict.FAIL and before.state is not State.DOWN:
            entry.state = self._held.state_with_failure(entry)
            parent_state = self._held.hold(entry, result)
        step = advance(before, result.verdict, observation.started_at, settings.policy, parent_state)
        health = step.health
        if observation.reason is Reason.PROBER_ISOLATED and health.is_soft:
            # The earlier failures of this streak were probably failures of this host as well.
            health = without_streak(health)
        now_s, is_conclusive = self._clock.monotonic_s(), result.verdict is not Verdict.INCONCLUSIVE
        conclusive_at_s = now_s if is_conclusive else entry.state.conclusive_at_s
        unknown_after_s = UNKNOWN_AFTER_INTERVALS * settings.check_every_s
        entry.state = entry.state.with_result(
            result,
            health,
            started_at_s=started_at_s,
            was_stalled=was_stalled,
            conclusive_at_s=conclusive_at_s,
            is_unknown=not is_conclusive
            and (entry.state.is_unknown or now_s - conclusive_at_s >= unknown_after_s),
        )
        silence = self.registry.silence_of(entry, self._clock.now())
        transition = self._update_state(entry, observation.started_at, observation.reason, observation.detail)
        self._log.log_check(
            entry, result, transition, recovered_by_retry=step.recovered_by_retry, silence=silence
        )
        if step.health.flapping.is_flapping is not before.flapping.is_flapping:
            self._log.log_flapping(entry)
        for sink in self._result_sinks:
            try:
                sink.on_result(entry, result)
            except Exception:
                log.exception("%s: %s failed", entry.name, type(sink).__name__)
        if transition is not None:
            self._publish_transition(entry, transition)
        self._update_incident(entry, observation.reason, observation.summary)
        if parent_state is ParentState.FAILING or (step.health.is_soft and not before.is_soft):
            self._held.wake_parents(entry)
        self._held.release(entry)
        self._held.processing = None

    def _publish_isolation(self) -> None:
        is_isolated = self.isolation.is_isolated
        if is_isolated is self._published_isolation:
            return
        self._published_isolation = is_isolated
        if not is_isolated:
            self._stall_detector.ignore_failures_for(IGNORE_AFTER_ISOLATION_S, Reason.PROBER_ISOLATED)
        self._log.log_isolation(is_isolated=is_isolated)
        self._publish("isolation", lambda sink: sink.on_isolation_change(is_isolated=is_isolated))

    def _confirm(self, entry: MonitorEntry, parent_state: ParentState) -> None:
        """Confirm a soft failure that is no longer held."""
        health = confirm(entry.state.health, entry.monitor.settings.policy, parent_state)
        if health is not entry.state.health:
            entry.state = replace(entry.state, health=health)
            self.publish_state(entry)

    def _update_state(
        self, entry: MonitorEntry, at: datetime, reason: Reason, detail: str
    ) -> Transition | None:
        """Set the state that follows from verdicts, pause and age of the last conclusive result.

        Return the transition, if the state has changed. Maintenance windows and silences do not change the state.
        """
        state = entry.state
        before, health = state.effective, state.health
        after = State.UNKNOWN if state.is_unknown else health.state
        since = health.since if after is health.state else None
        if state.cluster is not None:
            after, since = state.cluster.state, state.cluster.since
        if state.pause is not None:
            after, since = State.PAUSED, None
        if after is before:
            return None
        # After a pause or the state unknown, the new state starts now, even if its first verdict is older.
        if since is None or before is State.PAUSED or before is State.UNKNOWN:
            since = at
        entry.state = replace(state, effective=after, effective_since=since)
        return Transition(entry.name, before, after, at, since, reason, detail)

    def _update_incident(self, entry: MonitorEntry, reason: Reason, summary: str) -> None:
        state = entry.state
        since = state.health.since
        if state.cluster is not None:
            since, reason, summary = state.cluster.since, state.cluster.reason, state.cluster.detail
        moment = since or self._clock.now()
        incident = incident_after(
            state.incident,
            entry.name,
            state.effective,
            since=moment,
            at=moment,
            reason=reason,
            detail=summary,
            in_maintenance=state.maintenance is not None,
        )
        if incident is not state.incident:
            self.change_incident(entry, incident)

    def change_incident(self, entry: MonitorEntry, incident: Incident | None) -> None:
        """Replace the incident, and publish it."""
        self.apply_clock_step()
        is_open = incident is not None and incident.closed_at is None
        entry.state = replace(entry.state, incident=incident if is_open else None)
        if incident is not None:
            self._publish(entry.name, lambda sink: sink.on_incident(entry, incident))

    def rename(self, old: str, entry: MonitorEntry) -> None:
        """Move the incident to the new name, and publish the rename."""
        incident = entry.state.incident
        if incident is not None:
            entry.state = replace(entry.state, incident=replace(incident, monitor=entry.name))
        self._publish(entry.name, lambda sink: sink.on_renamed(old, entry))

    def remove(self, entry: MonitorEntry) -> None:
        """Close the incident, because no later check can detect the recovery, and publish the removal."""
        incident = entry.state.incident
        if incident is not None:
            self.change_incident(entry, replace(incident, closed_at=self._clock.now()))
        self._publish(entry.name, lambda sink: sink.on_removed(entry))

    def _publish_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        self._publish(entry.name, lambda sink: sink.on_transition(entry, transition))
        for group in self.registry.groups_of(entry):
            group.wake()

    def _publish(self, subject: str, call: Callable[[Sink], None]) -> None:
        """Call a handler on each sink, in order. An exception is logged, and the next sink is called."""
        for sink in self._sinks:
            try:
                call(sink)
            except Exception:
                log.exception("%s: %s failed", subject, type(sink).__name__)
