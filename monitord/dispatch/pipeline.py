"""The steps of one check, from the check to the sinks: `Pipeline.run` and `Pipeline._conclude` contain all of them.

An expected failure is an observation. A bug of a monitor type is an exception, which becomes an observation here: only
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
from heapq import nsmallest

from monitord.clock import Clock
from monitord.conditions import Outcome
from monitord.dispatch.check_log import CheckLog
from monitord.dispatch.clock_steps import ClockStep, ClockSteps
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.judging import conditions_of, judge
from monitord.dispatch.registry import Registry
from monitord.dispatch.sink import Sink
from monitord.dispatch.stalls import StallDetector
from monitord.dispatch.state import MonitorState, OpenWindow, Pause
from monitord.health import (
    PROBE_SIZE,
    Isolation,
    IsolationPolicy,
    Parents,
    TimeWindow,
    advance,
    confirm,
    incident_after,
    maintenance_of,
    without_streak,
)
from monitord.model import Incident, Observation, Reason, Result, State, Transition, Verdict
from monitord.monitors import Stopwatch, lookup_of
from monitord.net.base.addressing import is_this_host
from monitord.net.base.deadline import Deadline
from monitord.units import format_duration

log = logging.getLogger(__name__)

DEADLINE_MARGIN_S = 0.25
"""Additional time for types that apply their timeout themselves, to report what they were waiting for."""

UNKNOWN_AFTER_INTERVALS = 3
"""The state is unknown after this number of intervals (`check_every`) without a conclusive verdict."""

SETTLE_AFTER_ISOLATION_S = 10.0

PROBE_MARGIN_S = 1.0
"""Additional time for a check of a probe to start and to be concluded."""

PARENTS_MARGIN_S = 3.0
"""Additional time for a check of a parent until it is abandoned."""

EVALUATION_SLICE_S = 0.005
"""The longest evaluation of conditions before other tasks run."""

_DOWN = (State.DOWN, State.UNREACHABLE)

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
        self.isolation = Isolation(is_isolated=was_isolated)
        self._was_isolated = was_isolated
        self._held: dict[str, bool] = {}
        """Monitors whose failures are not confirmed before the state of their parents, or of this host, is known. True:
        a parent has a soft failure, so that failures found before it recovers prove nothing."""
        self._awaited: set[str] = set()
        """The monitors whose results may decide about the held failures."""
        self._awaits_suspicion = False
        self._concluding: MonitorEntry | None = None
        """The monitor whose check has a result, but has not ended yet."""
        self._evaluating = asyncio.Lock()
        self._windows: Sequence[TimeWindow] = ()
        self._are_open: list[bool] = []
        self._clock_steps = ClockSteps(clock)
        self._last_step: ClockStep | None = None
        self._stepped_at_s = float("-inf")

    async def run(self, entry: MonitorEntry, is_current: Callable[[], bool]) -> None:
        """Run one check of one monitor. Raises CancelledError only.

        `is_current`: whether the check still counts; False after it was abandoned or its monitor was replaced.
        """
        watch = Stopwatch(self._clock)
        observation = await self._observe(entry, watch)
        if is_current():
            since_s, timeout_s = watch.began_s, entry.monitor.settings.timeout_s
            if not observation.duration_s:
                # A check that waits for nothing, as of a heartbeat, misses data that arrived before it and is unread.
                since_s, timeout_s = min(since_s, entry.cycle.queued_at), 0.0
            probe_error = self._stall_detector.probe_error_since(since_s, timeout_s)
            outcomes = None
            if observation.evidence is not None and observation.reason in _JUDGED_BY_CONDITIONS:
                outcomes = await self._evaluate(entry, observation)
                if not is_current():
                    return
            result = self._judge(entry, observation, probe_error, outcomes)
            was_late = probe_error is Reason.PROBER_LATE and result.verdict is Verdict.INCONCLUSIVE
            self._conclude(entry, result, was_late=was_late)

    def configure(
        self, isolation: IsolationPolicy | None = None, windows: Sequence[TimeWindow] | None = None
    ) -> None:
        """Adapt to changed monitors, and to settings for all of them; None keeps the previous settings."""
        self._windows = self._windows if windows is None else windows
        monitors = self.registry.entries.values()
        periods_s = {
            entry.name: entry.monitor.settings.check_every_s
            for entry in monitors
            if entry.monitor.uses_network and entry.state.pause is None
        }
        self.isolation.configure(periods_s, isolation or self.isolation.policy)
        # Fine enough for the shortest timeout.
        self._stall_detector.configure(
            min((entry.monitor.settings.timeout_s for entry in monitors), default=math.inf)
        )
        self.review(force=True)

    def deadline_s(self, entry: MonitorEntry) -> float:
        """The time limit of a check of this monitor."""
        return entry.monitor.settings.timeout_s + DEADLINE_MARGIN_S

    def lost_s(self, entry: MonitorEntry) -> float:
        """For how long the event loop was stalled during the current check."""
        return self._stall_detector.lost_since_s(entry.cycle.began_at)

    def conclude_abandoned(self, entry: MonitorEntry) -> None:
        """Conclude a check that has ignored its cancellation, without its result."""
        timeout = format_duration(entry.monitor.settings.timeout_s)
        detail = f"check ignored its cancellation after {timeout} and was abandoned"
        observation = Stopwatch(self._clock, entry.cycle.began_at).observation(Reason.MONITOR_BUG, detail)
        self._conclude(entry, self._judge(entry, observation, None))

    def review(self, *, force: bool = False) -> None:
        """Evaluate changes by time alone, such as of maintenance windows. Cheap if nothing has changed.

        `force`: evaluate the windows of all monitors, because monitors or windows have changed.
        """
        self.follow_clock()
        self.isolation.expire(self._clock.monotonic_s())
        self._publish_isolation()
        self._confirm_held()
        now = self._clock.now()
        are_open = [window.is_open(now) for window in self._windows]
        if are_open == self._are_open and not force:
            return
        self._are_open = are_open
        for entry in self.registry.entries.values():
            before, window = entry.state.window, self._window_of(entry, now)
            if window != before:
                entry.state = replace(entry.state, window=window)
                if before is None or window is None or before.name != window.name:
                    self._log.window_changed(entry, before)
                self.publish_state(entry)

    def _window_of(self, entry: MonitorEntry, at: datetime) -> OpenWindow | None:
        """The maintenance window that is open for this monitor; of several, the last to close."""
        window = maintenance_of(self._windows, entry.name, entry.monitor.settings.tags, at)
        return None if window is None else OpenWindow(window.name, window.closes_after(at), window.comment)

    def follow_clock(self) -> None:
        """Shift the times of this run if the wall clock was set. Cheap if it was not."""
        step = self._clock_steps.poll()
        if step is None:
            return
        self._last_step, self._stepped_at_s = step, self._clock.monotonic_s()
        self._log.clock_stepped(step.by)
        for entry in self.registry.entries.values():
            entry.state = entry.state.after_clock_step(step)
        self._publish("the wall clock", lambda sink: sink.on_clock_step(step))

    def pause(self, entry: MonitorEntry, pause: Pause) -> None:
        """Publish that the checks of this monitor are stopped."""
        entry.state = replace(entry.state, pause=pause)
        self.isolation.forget(entry.name)
        self.publish_state(entry)

    def resume(self, entry: MonitorEntry) -> None:
        """Publish that this monitor is checked again. Verdicts before and after a pause are not consecutive."""
        state = entry.state
        health, now_s = without_streak(state.health), self._clock.monotonic_s()
        entry.state = replace(state, pause=None, health=health, conclusive_at=now_s)
        self.publish_state(entry)

    def publish_state(self, entry: MonitorEntry) -> None:
        """Publish the state of a monitor after a change other than a check, such as a pause."""
        self.follow_clock()
        last = None if entry.state.last is None else entry.state.last.observation
        reason, detail = (Reason.OK, "") if last is None else (last.reason, last.detail)
        summary = "" if last is None else last.summary
        transition = self._update_state(entry, self._clock.now(), reason, detail)
        if transition is not None:
            self._log.changed(entry, transition, self.registry.silence_of(entry, self._clock.now()))
        if transition is None:
            self._publish(entry.name, lambda sink: sink.on_update(entry))
        else:
            self._publish_transition(entry, transition)
        self._follow_incident(entry, reason, summary)

    async def _observe(self, entry: MonitorEntry, watch: Stopwatch) -> Observation:
        timeout_s = entry.monitor.settings.timeout_s
        deadline = Deadline(timeout_s + DEADLINE_MARGIN_S, margin_s=DEADLINE_MARGIN_S)
        try:
            async with deadline:
                observation = await entry.monitor.check()
        except TimeoutError as error:
            if deadline.expired():
                return watch.observation(
                    Reason.TIMEOUT_RESPONSE, f"no result within {format_duration(timeout_s)}"
                )
            return self._bug(entry, error, watch)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The check itself was not cancelled, but a task that it awaited.
            return self._bug(entry, error, watch)
        except Exception as error:  # noqa: BLE001 - the boundary where a monitor's bug becomes an observation
            return self._bug(entry, error, watch)
        return observation

    def _bug(self, entry: MonitorEntry, error: BaseException, watch: Stopwatch) -> Observation:
        return watch.observation(Reason.MONITOR_BUG, self._log_bug(entry, error))

    def _log_bug(self, entry: MonitorEntry, error: BaseException) -> str:
        """Log the traceback, once per error; returns the detail."""
        monitor = entry.monitor
        if entry.state.bug != repr(error):
            entry.state = replace(entry.state, bug=repr(error))
            self._log.bug(monitor, error)
        return f"bug in monitor type {monitor.type_name!r}: {error!r}"

    async def _evaluate(self, entry: MonitorEntry, observation: Observation) -> Sequence[Outcome] | None:
        """Evaluate several conditions, and let other tasks run in between: each can take 50 ms on a body of 1 MiB.

        None: `judge` evaluates a single condition, or reports the error that a condition has raised.
        """
        conditions = conditions_of(entry.monitor.settings)
        if len(conditions) <= 1:
            return None
        lookup, mask = lookup_of(observation), entry.monitor.masking.mask_value
        outcomes: list[Outcome] = []
        was_slow = entry.state.is_slow_to_evaluate
        may_take_long, is_slow = was_slow is not False, was_slow is True
        # One monitor at a time: a parsed document of 1 MiB takes 30 MB until all conditions are evaluated.
        async with self._evaluating if may_take_long else contextlib.nullcontext():
            until_s = time.monotonic() + EVALUATION_SLICE_S
            try:
                for condition in conditions:
                    if may_take_long and time.monotonic() > until_s:
                        is_slow = True
                        await asyncio.sleep(0)
                        until_s = time.monotonic() + EVALUATION_SLICE_S
                    outcomes.append(condition.evaluate(lookup, mask))
            except Exception:  # noqa: BLE001 - evidence is the type's own code
                return None
        is_slow = is_slow or time.monotonic() > until_s
        if is_slow is not was_slow:
            entry.state = replace(entry.state, is_slow_to_evaluate=is_slow)
        return outcomes

    def _judge(
        self,
        entry: MonitorEntry,
        observation: Observation,
        probe_error: Reason | None,
        outcomes: Sequence[Outcome] | None = None,
    ) -> Result:
        settings, masking = entry.monitor.settings, entry.monitor.masking
        try:
            result = judge(observation, settings, probe_error, masking, outcomes)
        except Exception as error:  # noqa: BLE001 - the same boundary: evidence is the type's own code
            detail = self._log_bug(entry, error)
            bug = replace(observation, reason=Reason.MONITOR_BUG, detail=detail, evidence=None)
            return judge(bug, settings, None, masking)
        if entry.state.bug is not None and result.observation.reason is not Reason.MONITOR_BUG:
            entry.state = replace(entry.state, bug=None)
        return result

    def _conclude(self, entry: MonitorEntry, result: Result, *, was_late: bool = False) -> None:
        self._concluding = entry
        began_at = entry.cycle.began_at
        if result.verdict is not Verdict.PASS or entry.state.effective is not State.UP:
            # Its time may become the beginning of a state.
            self.follow_clock()
            if self._last_step is not None and self._stepped_at_s >= began_at:
                started_at = self._last_step.moment(result.observation.started_at)
                result = replace(result, observation=replace(result.observation, started_at=started_at))
        result = self._apply_isolation(entry, result)
        observation, settings = result.observation, entry.monitor.settings
        before = entry.state.health
        parents = Parents.AVAILABLE
        if result.verdict is Verdict.FAIL and before.state is not State.DOWN:
            entry.state = self._with_failure(entry, began_at)
            parents = self._parents(entry, result)
        step = advance(before, result.verdict, observation.started_at, settings.policy, parents)
        health = step.health
        if observation.reason is Reason.PROBER_ISOLATED and health.is_soft:
            # The earlier failures of this streak were probably failures of this host, too.
            health = without_streak(health)
        conclusive_at, is_unknown = self._conclusiveness(entry, result.verdict)
        entry.state = entry.state.with_result(
            result,
            health,
            began_at=began_at,
            was_late=was_late,
            conclusive_at=conclusive_at,
            is_unknown=is_unknown,
        )
        silence = self.registry.silence_of(entry, self._clock.now())
        transition = self._update_state(entry, observation.started_at, observation.reason, observation.detail)
        self._log.checked(
            entry, result, transition, recovered_by_retry=step.recovered_by_retry, silence=silence
        )
        if step.health.flapping.is_flapping is not before.flapping.is_flapping:
            self._log.flapping_changed(entry)
        for sink in self._result_sinks:
            try:
                sink.on_result(entry, result)
            except Exception:
                log.exception("%s: %s failed", entry.name, type(sink).__name__)
        if transition is not None:
            self._publish_transition(entry, transition)
        self._follow_incident(entry, observation.reason, observation.summary)
        if parents is Parents.FAILING or (step.health.is_soft and not before.is_soft):
            self._wake_sources(entry)
        self._confirm_held(entry)
        self._concluding = None

    def _apply_isolation(self, entry: MonitorEntry, result: Result) -> Result:
        """Make a failure inconclusive while this host is isolated."""
        isolation = self.isolation
        if not entry.monitor.uses_network:
            return result
        if result.verdict is Verdict.INCONCLUSIVE:
            isolation.skip(entry.name)
            return result
        is_failing = self._is_evidence_of_isolation(entry, result)
        # A paused monitor that is checked on request is likely to fail.
        if entry.state.pause is None:
            self._record_for_isolation(entry, is_failing=is_failing)
        if not (is_failing and isolation.is_isolated):
            return result
        observation = replace(result.observation, reason=Reason.PROBER_ISOLATED)
        return replace(result, observation=observation, verdict=Verdict.INCONCLUSIVE)

    def _record_for_isolation(self, entry: MonitorEntry, *, is_failing: bool) -> None:
        isolation = self.isolation
        was_down = entry.state.health.state in _DOWN
        is_fresh = is_failing and not was_down and not isolation.is_failing(entry.name)
        now_s = self._clock.monotonic_s()
        isolation.record(
            entry.name,
            is_failing=is_failing,
            at_s=now_s,
            was_down=was_down,
            began_s=entry.cycle.began_at,
        )
        self._publish_isolation()
        if is_fresh and isolation.needs_probe(now_s):
            self._probe(entry, now_s)

    def _is_evidence_of_isolation(self, entry: MonitorEntry, result: Result) -> bool:
        """Whether the check failed as it would if this host had lost connectivity: without a response.

        A canary fails only if this host is isolated, so any failure of it counts.
        """
        if result.verdict is not Verdict.FAIL or not entry.monitor.uses_network:
            return False
        if entry.name in self.isolation.policy.canaries:
            return True
        observation = result.observation
        if observation.address is not None and is_this_host(observation.address):
            return (
                True  # a local forwarder, such as a proxy or a stub resolver, responded instead of the target
            )
        shows_connectivity = observation.shows_connectivity
        return not (observation.reason.is_response if shows_connectivity is None else shows_connectivity)

    def _publish_isolation(self) -> None:
        is_isolated = self.isolation.is_isolated
        if is_isolated is self._was_isolated:
            return
        self._was_isolated = is_isolated
        if not is_isolated:
            self._stall_detector.settle(SETTLE_AFTER_ISOLATION_S, Reason.PROBER_ISOLATED)
        self._log.isolation_changed(is_isolated=is_isolated)
        self._publish("isolation", lambda sink: sink.on_isolation_change(is_isolated=is_isolated))

    def _probe(self, failing: MonitorEntry, now_s: float) -> None:
        """Check other monitors at once, to find out whether this host is isolated."""
        isolation = self.isolation
        others = [
            entry
            for entry in self.registry.entries.values()
            if entry is not failing
            and entry.monitor.uses_network
            and entry.state.pause is None
            and entry.state.effective not in _DOWN
            and not isolation.is_failing(entry.name)
        ]
        # A check that has passed and began after the failed check needs no repetition.
        began_at = failing.cycle.began_at
        passed = [entry.name for entry in others if _has_passed_since(entry, began_at)]
        candidates = (entry for entry in others if not _has_passed_since(entry, began_at))
        probed = nsmallest(
            max(0, PROBE_SIZE - len(passed)),
            candidates,
            # Canaries first, then the monitors whose last check is the oldest.
            key=lambda entry: (entry.name not in isolation.policy.canaries, entry.cycle.began_at),
        )
        longest_s = max(map(self.deadline_s, probed), default=0.0)
        until_s = now_s + longest_s + PROBE_MARGIN_S
        if isolation.probe([entry.name for entry in probed], now_s, until_s, passed=passed):
            for entry in probed:
                entry.wake()

    def _confirm_held(self, after: MonitorEntry | None = None) -> None:
        """Confirm held failures when the state of their parents, and of this host, is known.

        `after`: the monitor with a new result; None: time has passed.
        """
        if not self._held:
            return
        is_suspected = self.isolation.is_suspected
        is_decided = self._awaits_suspicion and not is_suspected
        if after is not None and after.name not in self._awaited and not is_decided:
            return
        self._awaits_suspicion = False
        self._awaited.clear()
        decided = [name for name in list(self._held) if self._decide_held(name)]
        while decided:
            # A decision about a monitor may decide about its dependents.
            decided = [name for name in list(self._held) if self._decide_held(name)]

    def _decide_held(self, name: str) -> bool:
        """Returns whether the failure is no longer held."""
        entry = self.registry.entries.get(name)
        last = None if entry is None else entry.state.last
        if entry is None or last is None or entry.state.pause is not None or not entry.state.health.is_soft:
            del self._held[name]
            return True
        if self.isolation.is_isolated and self._is_evidence_of_isolation(entry, last):
            del self._held[name]
            return True
        parents = self._parents(entry, last)
        if parents is Parents.FAILING:
            self._wake_sources(entry)
            return False
        has_parent_failed = self._held.pop(name)
        if has_parent_failed and parents is Parents.AVAILABLE:
            # It may have failed because of the parent, which has recovered: only another check can show that.
            entry.wake()
            return True
        state = entry.state
        after = confirm(state.health, entry.monitor.settings.policy, parents)
        if after is not state.health:
            entry.state = replace(state, health=after)
            self.publish_state(entry)
        return True

    def _with_failure(self, entry: MonitorEntry, began_at: float) -> MonitorState:
        """The state with the time of the first unconfirmed failure."""
        state = entry.state
        if state.health.is_soft and state.failing_since > -math.inf:
            return replace(state, last_began_at=began_at)
        now_s = self._clock.monotonic_s()
        # A check of a parent that is running began before the failure, and has to end first.
        longest_s = max(map(self.deadline_s, self.registry.sources(entry)), default=0.0)
        return replace(
            state,
            last_began_at=began_at,
            failing_since=now_s,
            parents_until=now_s + 2 * (longest_s + PARENTS_MARGIN_S),
        )

    def _parents(self, entry: MonitorEntry, result: Result) -> Parents:
        """The state of the parents, which holds the failure while it is FAILING: while one of them has a soft failure,
        or has not been checked after the failure, and while this host may be isolated."""
        if result.verdict is not Verdict.FAIL or entry.state.health.state is State.DOWN:
            return Parents.AVAILABLE
        parents = self.registry.parents(entry)
        is_failing = parents is Parents.FAILING
        if parents is Parents.AVAILABLE and self._clock.monotonic_s() <= entry.state.parents_until:
            parents = self.registry.parents(entry, lambda source: self._is_checked_since(source, entry))
        if self.isolation.is_suspected and self._is_evidence_of_isolation(entry, result):
            self._awaits_suspicion = True
            parents = max(parents, Parents.FAILING)
        if parents is Parents.FAILING:
            self._held[entry.name] = is_failing or self._held.get(entry.name, False)
            self._awaited.update(source.name for source in self.registry.sources(entry))
        return parents

    def _is_checked_since(self, parent: MonitorEntry, failing: MonitorEntry) -> bool:
        """Whether the check of the last result of the parent began after the failure."""
        if parent.state.last_began_at < failing.state.failing_since:
            return False
        # The state of a group follows from those of its members, and can be about to change.
        cycle = parent.cycle
        return not self.registry.is_group(parent) or not (
            cycle.is_queued or cycle.is_woken or (cycle.is_checking and parent is not self._concluding)
        )

    def _wake_sources(self, entry: MonitorEntry) -> None:
        """Check the monitors at once that show whether the failure is the monitor's own."""
        for source in self.registry.sources(entry):
            is_being_checked = source.cycle.is_queued or (
                source.cycle.is_checking
                and source is not self._concluding
                and source.cycle.began_at >= entry.state.failing_since
            )
            if not is_being_checked and not self._is_checked_since(source, entry):
                source.wake()

    def _conclusiveness(self, entry: MonitorEntry, verdict: Verdict) -> tuple[float, bool]:
        """The time of the last conclusive result, and whether it is too old to know the state."""
        state, now_s = entry.state, self._clock.monotonic_s()
        if verdict is not Verdict.INCONCLUSIVE:
            return now_s, False
        unknown_after_s = UNKNOWN_AFTER_INTERVALS * entry.monitor.settings.check_every_s
        return state.conclusive_at, state.is_unknown or now_s - state.conclusive_at >= unknown_after_s

    def _update_state(
        self, entry: MonitorEntry, at: datetime, reason: Reason, detail: str
    ) -> Transition | None:
        """Set the state that follows from verdicts, pause and age of the last conclusive result.

        Returns the transition, if the state has changed. Maintenance windows and silences change no state."""
        state = entry.state
        before, health = state.effective, state.health
        after = State.UNKNOWN if state.is_unknown else health.state
        if state.pause is not None:
            after = State.PAUSED
        if after is before:
            return None
        since = health.since if after is health.state else None
        # After a pause or an unknown state it begins now, although it was found earlier.
        if since is None or before is State.PAUSED or before is State.UNKNOWN:
            since = at
        entry.state = replace(state, effective=after, effective_since=since)
        return Transition(entry.name, before, after, at, since, reason, detail)

    def _follow_incident(self, entry: MonitorEntry, reason: Reason, summary: str) -> None:
        state = entry.state
        moment = state.health.since or self._clock.now()
        incident = incident_after(
            state.incident,
            entry.name,
            state.effective,
            since=moment,
            at=moment,
            reason=reason,
            detail=summary,
            in_maintenance=state.window is not None,
        )
        if incident is not state.incident:
            self.change_incident(entry, incident)

    def change_incident(self, entry: MonitorEntry, incident: Incident | None) -> None:
        """Replace the incident, and publish it."""
        self.follow_clock()
        is_open = incident is not None and incident.closed_at is None
        entry.state = replace(entry.state, incident=incident if is_open else None)
        if incident is not None:
            self._publish(entry.name, lambda sink: sink.on_incident(entry, incident))

    def rename(self, old: str, entry: MonitorEntry) -> None:
        """Publish that the monitor continues under a new name."""
        incident = entry.state.incident
        if incident is not None:
            entry.state = replace(entry.state, incident=replace(incident, monitor=entry.name))
        self._publish(entry.name, lambda sink: sink.on_renamed(old, entry))

    def remove(self, entry: MonitorEntry) -> None:
        """Publish that the monitor is removed. Its incident is closed, because no check will find its end."""
        incident = entry.state.incident
        if incident is not None:
            self.change_incident(entry, replace(incident, closed_at=self._clock.now()))
        self._publish(entry.name, lambda sink: sink.on_removed(entry))

    def _publish_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        self._publish(entry.name, lambda sink: sink.on_transition(entry, transition))
        for group in self.registry.groups_of(entry):
            group.wake()

    def _publish(self, subject: str, event: Callable[[Sink], None]) -> None:
        """Call the event on each sink, in order. An exception is logged, and the next sink is called."""
        for sink in self._sinks:
            try:
                event(sink)
            except Exception:
                log.exception("%s: %s failed", subject, type(sink).__name__)


def _has_passed_since(entry: MonitorEntry, moment_s: float) -> bool:
    last, cycle = entry.state.last, entry.cycle
    is_over = not cycle.is_checking and last is not None and last.verdict in {Verdict.PASS, Verdict.WARN}
    return is_over and cycle.began_at >= moment_s
